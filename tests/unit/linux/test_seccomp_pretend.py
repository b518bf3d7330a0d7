"""Giving files away seemingly: only that, only to who is nobody, on every architecture."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seccomp_machine import ALLOW, AUDIT, COMPANION, run, table

from pyengine.linux.seccomp_pretend import CALLS, filter_of

DONE = 0x50000
MACHINES = ("x86_64", "aarch64")
ids = st.sampled_from((0, 2**32 - 1, 1, 1000, 2**31, 2**32 - 2)) | st.integers(0, 2**32 - 1)
above = st.integers(0, 2**32 - 1)

givings = [
    (machine, architecture, name)
    for machine in MACHINES
    for architecture in (machine, COMPANION[machine])
    for name in CALLS[architecture]
]


@pytest.mark.parametrize(("machine", "architecture", "name"), givings)
@given(ids, ids, above, above)
def test_it_seems_done_where_one_of_both_is_somebody_else(
    machine, architecture, name, user, group, noise, more_noise
):
    at = 2 if name == "fchownat" else 1
    arguments = [7, 7, 7, 7, 7, 7]
    arguments[at], arguments[at + 1] = noise << 32 | user, more_noise << 32 | group
    stays = all(one in (0, 2**32 - 1) for one in (user, group))
    number = table(architecture)[name]
    verdict, _ = run(filter_of(machine).program, AUDIT[architecture], number, tuple(arguments))
    assert verdict == (ALLOW if stays else DONE)


@pytest.mark.parametrize("machine", MACHINES)
def test_no_other_call_is_answered(machine):
    strange = (1000,) * 6
    for architecture in (machine, COMPANION[machine]):
        for name, number in table(architecture).items():
            if name not in CALLS[architecture]:
                verdict, _ = run(filter_of(machine).program, AUDIT[architecture], number, strange)
                assert verdict == ALLOW, name


@pytest.mark.parametrize("machine", MACHINES)
def test_another_convention_is_left_to_others(machine):
    assert run(filter_of(machine).program, 0x1234, 92, (1000,) * 6)[0] == ALLOW
