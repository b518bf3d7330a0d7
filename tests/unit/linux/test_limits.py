"""Docker's numbers become the kernel's."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.linux.limits import cpu_weight, device_number, io_weight, limits, quota, swap_limit
from pyengine.model.spec import DEFAULT_PIDS_LIMIT, Resources, Throttle

V1 = frozenset(("cpu", "cpuset", "memory", "blkio", "pids"))
V2 = frozenset(("cpu", "cpuset", "memory", "io", "pids"))
NONE: frozenset[str] = frozenset()

shares = st.integers(2, 262_144)
weights = st.integers(10, 1000)


def written(writes):
    return {write.choices[0][0]: write.choices[0][1].decode() for write in writes}


@given(shares, shares)
def test_more_shares_never_weigh_less(one, other):
    low, high = sorted((one, other))
    assert 1 <= cpu_weight(low) <= cpu_weight(high) <= 10_000


@pytest.mark.parametrize(("given_shares", "weight"), [(2, 1), (1024, 100), (262_144, 10_000)])
def test_the_curve_of_weights_goes_through_its_three_points(given_shares, weight):
    assert cpu_weight(given_shares) == weight


@given(weights, weights)
def test_more_block_weight_never_weighs_less(one, other):
    low, high = sorted((one, other))
    assert 1 <= io_weight(low) <= io_weight(high) <= 10_000


@given(st.integers(1, 1 << 40), st.none() | st.just(-1) | st.integers(1, 1 << 41))
def test_swap_is_never_negative_and_memory_plus_swap_is_what_was_asked(memory, total):
    swap = swap_limit(memory, total)
    if total == -1:
        assert swap is None
    elif total is None:
        assert swap == memory
    else:
        assert swap == max(total - memory, 0)


@given(st.integers(10_000_000, 256 * 10**9))
def test_the_quota_of_cpus_is_their_share_of_the_period(nano):
    amount, period = quota(Resources(nano_cpus=nano))
    assert period == 100_000
    assert amount == nano * 100_000 // 10**9


def test_fewer_cpus_than_a_hundredth_are_refused_before_the_kernel_does():
    with pytest.raises(InvalidRequest, match="cpus"):
        quota(Resources(nano_cpus=1_000_000))


def test_defaults_ask_for_a_limit_on_processes_and_nothing_else():
    assert written(limits(Resources(), V1, NONE).v1) == {"pids.max": str(DEFAULT_PIDS_LIMIT)}
    assert written(limits(Resources(), NONE, V2).v2) == {"pids.max": str(DEFAULT_PIDS_LIMIT)}


FULL = Resources(
    memory=64 << 20,
    memory_swap=96 << 20,
    memory_reservation=32 << 20,
    cpu_period=50_000,
    cpu_quota=25_000,
    cpu_shares=512,
    cpuset_cpus="0-1",
    cpuset_mems="0",
    pids=100,
    blkio_weight=500,
)


def test_version_2_gets_its_own_words():
    assert written(limits(FULL, NONE, V2).v2) == {
        "cpuset.cpus": "0-1",
        "cpuset.mems": "0",
        "memory.max": str(64 << 20),
        "memory.swap.max": str(32 << 20),
        "memory.low": str(32 << 20),
        "cpu.weight": "59",
        "cpu.max": "25000 50000",
        "io.bfq.weight": "500",
        "pids.max": "100",
    }


def test_version_1_gets_its_own_words():
    assert written(limits(FULL, V1, NONE).v1) == {
        "cpuset.cpus": "0-1",
        "cpuset.mems": "0",
        "memory.limit_in_bytes": str(64 << 20),
        "memory.memsw.limit_in_bytes": str(96 << 20),
        "memory.soft_limit_in_bytes": str(32 << 20),
        "cpu.shares": "512",
        "cpu.cfs_period_us": "50000",
        "cpu.cfs_quota_us": "25000",
        "blkio.bfq.weight": "500",
        "pids.max": "100",
    }


def test_version_1_hears_of_memory_before_memory_and_swap():
    files = list(written(limits(FULL, V1, NONE).v1))
    assert files.index("memory.limit_in_bytes") < files.index("memory.memsw.limit_in_bytes")


def test_each_controller_is_asked_in_the_tree_that_has_it():
    found = limits(FULL, frozenset(("memory", "blkio", "cpuset")), frozenset(("cpu", "pids")))
    assert {write.controller for write in found.v1} == {"memory", "blkio", "cpuset"}
    assert {write.controller for write in found.v2} == {"cpu", "pids"}


@pytest.mark.parametrize(
    "resources",
    [
        Resources(memory=64 << 20),
        Resources(nano_cpus=10**9),
        Resources(cpu_shares=2),
        Resources(cpuset_cpus="0"),
        Resources(blkio_weight=10),
        Resources(pids=7),
    ],
)
def test_a_limit_that_nothing_can_enforce_is_refused(resources):
    (refused,) = limits(resources, NONE, NONE).refused[:1]
    assert refused.required
    assert refused.controller in refused.missing
    assert limits(resources, NONE, NONE)[:2] == ((), ())


def test_only_our_own_default_gives_way_and_says_so():
    (refused,) = limits(Resources(), NONE, NONE).refused
    assert (refused.option, refused.required) == ("pids", False)


def test_no_limit_on_processes_needs_no_controller():
    assert limits(Resources(pids=None), NONE, NONE).refused == ()


@pytest.mark.parametrize(
    "resources",
    [
        Resources(memory_swappiness=10),
        Resources(oom_kill_disable=True),
        Resources(cpu_rt_runtime=1000),
    ],
)
def test_what_only_version_1_can_do_is_refused_in_version_2(resources):
    (refused,) = limits(resources, NONE, V2).refused
    assert "version 2" in refused.missing
    assert limits(resources, V1, NONE).v1


def test_unset_swappiness_is_not_written():
    files = written(limits(Resources(memory_swappiness=-1), V1, NONE).v1)
    assert "memory.swappiness" not in files


def test_a_throttle_names_its_device_by_number(tmp_path):
    with pytest.raises(InvalidRequest, match="block device"):
        device_number(str(tmp_path / "missing"))
    with pytest.raises(InvalidRequest, match="not a block device"):
        limits(Resources(device_read_bps=(Throttle("/dev/null", 1),)), NONE, V2)


resources = st.builds(
    Resources,
    memory=st.none() | st.integers(6 << 20, 1 << 40),
    memory_swap=st.none() | st.just(-1) | st.integers(6 << 20, 1 << 41),
    nano_cpus=st.none() | st.integers(10_000_000, 10**12),
    cpu_shares=st.none() | st.integers(0, 1 << 20),
    pids=st.none() | st.integers(-1, 1 << 22),
)


@settings(max_examples=60)
@given(resources)
def test_what_is_written_is_always_one_line_of_printable_text(given_resources):
    for found in (limits(given_resources, V1, NONE).v1, limits(given_resources, NONE, V2).v2):
        for write in found:
            for _, content in write.choices:
                assert content.decode().isprintable()
                assert content
