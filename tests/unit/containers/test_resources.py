"""An update changes what it names and nothing else."""

from __future__ import annotations

import pytest
from attrs import asdict
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.containers.resources import merged
from pyengine.errors import InvalidRequest
from pyengine.model.spec import Resources

MEGABYTE = 1 << 20


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(sorted(asdict(Resources()))), st.sampled_from((0, "", ()))))
def test_nothing_leaves_everything_as_it_is_but_for_processes(changes):
    changes.pop("pids", None)
    current = Resources(memory=64 * MEGABYTE, memory_swap=128 * MEGABYTE, cpu_shares=5)
    assert merged(current, changes) == current


@pytest.mark.parametrize("pids", [0, -1, None])
def test_no_processes_means_any_number_of_them(pids):
    assert merged(Resources(pids=7), {"pids": pids}).pids is None


def test_a_new_limit_takes_the_place_of_the_old():
    changed = merged(Resources(cpu_shares=5, pids=9), {"cpu_shares": 6, "memory": 64 * MEGABYTE})
    assert changed == Resources(cpu_shares=6, pids=9, memory=64 * MEGABYTE)


@pytest.mark.parametrize(
    ("current", "changes"),
    [
        (Resources(nano_cpus=10**9), {"cpu_quota": 50_000}),
        (Resources(nano_cpus=10**9), {"cpu_period": 50_000}),
        (Resources(cpu_quota=50_000), {"nano_cpus": 10**9}),
        (Resources(), {"nano_cpus": 10**9, "cpu_quota": 50_000}),
        (Resources(memory=64 * MEGABYTE, memory_swap=64 * MEGABYTE), {"memory": 65 * MEGABYTE}),
        (Resources(memory=64 * MEGABYTE), {"memory_swap": 63 * MEGABYTE}),
        (Resources(), {"memory_swap": 63 * MEGABYTE}),
        (Resources(), {"memory": MEGABYTE}),
        (Resources(memory=64 * MEGABYTE), {"memory_reservation": 65 * MEGABYTE}),
        (Resources(), {"memmory": 65 * MEGABYTE}),
    ],
)
def test_what_contradicts_itself_is_refused(current, changes):
    with pytest.raises(InvalidRequest):
        merged(current, changes)


def test_memory_and_swap_rise_together():
    current = Resources(memory=64 * MEGABYTE, memory_swap=64 * MEGABYTE)
    changed = merged(current, {"memory": 99 * MEGABYTE, "memory_swap": -1})
    assert (changed.memory, changed.memory_swap) == (99 * MEGABYTE, -1)
