"""Capabilities are named, counted and given as Docker does it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest, KernelError, Unsupported
from pyengine.linux import capabilities
from pyengine.linux.capabilities import (
    DEFAULT,
    NAMES,
    adjust,
    bounding,
    held,
    last_cap,
    mask,
    names_of,
)

names = st.sampled_from(NAMES)
sets = st.lists(names, unique=True)
with_all = st.lists(st.sampled_from([*NAMES, "ALL"]), max_size=5)
LAST = len(NAMES) - 1

modest = settings(max_examples=60, deadline=None)


def test_each_capability_has_the_kernel_s_number():
    numbers = {"CAP_CHOWN": 0, "CAP_SETPCAP": 8, "CAP_SYS_ADMIN": 21, "CAP_SETFCAP": 31}
    numbers |= {"CAP_AUDIT_READ": 37, "CAP_BPF": 39, "CAP_CHECKPOINT_RESTORE": 40}
    assert {name: NAMES.index(name) for name in numbers} == numbers
    assert len(NAMES) == len(set(NAMES)) == 41


def test_the_default_is_docker_s_fourteen():
    assert mask(DEFAULT) == 0xA80425FB
    assert len(DEFAULT) == 14


@modest
@given(sets)
def test_a_mask_reads_back_as_the_names_it_was_made_of(chosen):
    assert names_of(mask(chosen)) == tuple(sorted(chosen, key=NAMES.index))
    assert mask(frozenset(chosen)) == mask(tuple(chosen))


@modest
@given(st.integers(0, 2**64 - 1))
def test_every_bit_has_a_name(bits):
    assert len(names_of(bits)) == bits.bit_count()


def test_a_bit_newer_than_the_table_is_called_by_its_number():
    assert names_of(1 << 41 | 1) == ("CAP_CHOWN", "CAP_41")


def test_a_name_that_is_none_has_no_bit():
    for wrong in ("CHOWN", "ALL", "CAP_FLY", ""):
        with pytest.raises(InvalidRequest, match="capability"):
            mask((wrong,))


@modest
@given(sets, sets, sets)
def test_what_is_dropped_goes_and_what_is_added_comes(base, add, drop):
    assert set(adjust(base, add, drop)) == set(base) - set(drop) | set(add)


@modest
@given(sets, sets, sets)
def test_with_all_dropped_exactly_what_is_added_is_left(base, add, drop):
    assert set(adjust(base, add, [*drop, "ALL"])) == set(add)


@modest
@given(sets, with_all, sets)
def test_with_all_added_everything_is_there_but_what_is_dropped(base, add, drop):
    assert set(adjust(base, [*add, "ALL"], drop)) == set(NAMES) - set(drop)


@modest
@given(sets, with_all, with_all)
def test_privileged_is_everything_whatever_else_was_asked(base, add, drop):
    assert adjust(base, add, drop, privileged=True) == NAMES


@modest
@given(sets, with_all, with_all, st.integers(31, LAST))
def test_nothing_is_given_that_the_kernel_does_not_know(base, add, drop, last):
    known = NAMES[: last + 1]
    assert adjust(base, [], drop, privileged=True, last_cap=last) == known
    try:
        given_names = adjust(base, add, drop, last_cap=last)
    except Unsupported:
        assert not {*add, "ALL"} <= {*known, "ALL"}
    else:
        assert set(given_names) <= set(known)
        assert list(given_names) == sorted(given_names, key=NAMES.index)


def test_what_the_kernel_is_too_old_for_is_told():
    with pytest.raises(Unsupported, match="CAP_BPF"):
        adjust(DEFAULT, ["CAP_BPF"], [], last_cap=37)
    assert adjust(DEFAULT, [], ["CAP_BPF"], last_cap=37) == adjust(DEFAULT, [], [])


@pytest.mark.parametrize("privileged", [False, True])
def test_a_name_that_nobody_knows_is_refused(privileged):
    for add, drop in ((["CAP_FLY"], []), ([], ["CAP_FLY"]), (["chown"], [])):
        with pytest.raises(InvalidRequest, match="unknown capability"):
            adjust(DEFAULT, add, drop, privileged=privileged)


def test_this_process_hands_on_what_it_has():
    fields = {}
    with open("/proc/self/status") as file:
        for line in file:
            fields[line.partition(":")[0]] = line.partition(":")[2].strip()
    assert bounding() == int(fields["CapBnd"], 16)
    assert held() == int(fields["CapPrm"], 16) & int(fields["CapBnd"], 16)
    assert 31 <= last_cap() <= LAST


def test_a_host_without_procfs_is_told(monkeypatch):
    monkeypatch.setattr(capabilities, "_STATUS", "/nowhere/status")
    monkeypatch.setattr(capabilities, "_LAST", "/nowhere/cap_last_cap")
    last_cap.cache_clear()
    for ask in (bounding, held, last_cap):
        with pytest.raises(KernelError, match="/nowhere"):
            ask()
