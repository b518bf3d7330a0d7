import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.model.options import ContainerOptions
from pyengine.model.options_resources import LARGEST_CPU, parse_cpu_list
from pyengine.model.spec import Resources, Throttle, Ulimit

modest = settings(max_examples=60, deadline=None)
MIB = 1 << 20


def resources(**keywords):
    return ContainerOptions.from_keywords("host:", None, **keywords).resources


def ulimits(given_limits):
    return ContainerOptions.from_keywords("host:", None, ulimits=given_limits).ulimits


@pytest.mark.parametrize(
    ("keyword", "bad"),
    [
        ("memory", ["5m", "6291455", -1, "x", True, 1.5]),
        ("memory_reservation", ["5m"]),
        ("memory_swap", [-2, "x"]),
        ("memory_swappiness", [-2, 101, "x", True]),
        ("oom_kill_disable", [1, "yes"]),
        ("cpus", [-1, 0.001, "many", float("nan"), float("inf"), True, [1], 10_000]),
        ("cpu_period", [999, 1_000_001, 1.5]),
        ("cpu_quota", [999, -2]),
        ("cpu_shares", [-1, "x", True, False]),
        ("cpu_rt_period", [-1]),
        ("cpu_rt_runtime", [-1]),
        ("cpuset", ["x", "3-1", "0-", "0,,1", "99999", "0-9999999999", -1, [8192], ["0-1"], " 0"]),
        ("cpuset_mems", ["a"]),
        ("pids", [-2, "x", True, 1 << 23]),
        ("blkio_weight", [9, 1001]),
        ("blkio_weight_device", [{"/dev/sda": 9}, ["/dev/sda"], {"sda": 100}, {"/etc/x": 100}]),
        ("device_read_bps", [{"/dev/sda": "x"}, {"/dev/sda": -1}, {"/dev/../etc/x": 1}, "x"]),
        ("device_write_iops", [{"/dev/sda": "1m"}]),
        ("ulimits", [{"nofiles": 1}, ["nofile"], ["nofile=2:1"], ["nofile=-1:5"], ["nofile=-2"]]),
        ("ulimits", [["nofile=1:2:3"], {"nofile": ()}, {"nofile": "x"}, {"nofile": True}, "x"]),
    ],
)
def test_an_amount_out_of_range_is_refused_with_a_reason(keyword, bad):
    for value in bad:
        with pytest.raises(InvalidRequest) as caught:
            resources(**{keyword: value})
        assert caught.value.why or caught.value.expected, value


@pytest.mark.parametrize(
    "keyword",
    [
        "memory",
        "memory_swap",
        "memory_reservation",
        "cpus",
        "cpu_period",
        "cpu_quota",
        "cpu_shares",
        "cpu_rt_period",
        "cpu_rt_runtime",
        "blkio_weight",
    ],
)
def test_zero_is_not_a_limit(keyword):
    assert resources(**{keyword: 0}) == resources(**{keyword: "0"}) == Resources()


def test_no_more_processes_than_the_host_has_is_no_limit():
    assert resources(pids=0).pids is resources(pids=-1).pids is None
    assert resources(pids=5).pids == 5
    assert resources().pids == 4096


def test_docker_writes_minus_one_for_swappiness_not_asked():
    assert resources(memory_swappiness=-1) == Resources()
    assert resources(memory_swappiness=0).memory_swappiness == 0


@modest
@given(st.integers(6 * MIB, 1 << 40), st.integers(-1, 1 << 41))
def test_memory_and_swap_together_are_never_less_than_memory(memory, swap):
    asked = {"memory": memory, "memory_swap": swap}
    if 0 < swap < memory:
        with pytest.raises(InvalidRequest):
            resources(**asked)
    else:
        assert resources(**asked).memory_swap == (swap or None)


@modest
@given(st.integers(1, 800_000))
def test_processors_are_counted_in_billionths(hundredths):
    assert resources(cpus=hundredths / 100).nano_cpus == hundredths * 10_000_000


@modest
@given(st.sets(st.integers(0, LARGEST_CPU), min_size=1, max_size=20))
def test_a_list_of_processors_reads_back(numbers):
    text = ",".join(map(str, sorted(numbers)))
    assert parse_cpu_list(text) == numbers
    assert resources(cpuset=sorted(numbers)).cpuset_cpus == text


def test_a_range_of_processors_has_both_ends():
    assert parse_cpu_list("0-2,8") == {0, 1, 2, 8}
    assert parse_cpu_list("") == frozenset()


def test_rates_are_read_from_mappings_texts_and_values():
    wanted = (Throttle("/dev/sda", 1 * MIB),)
    assert resources(device_read_bps={"/dev/sda": "1mb"}).device_read_bps == wanted
    assert resources(device_read_bps=["/dev/sda:1mb"]).device_read_bps == wanted
    assert resources(device_read_bps=wanted).device_read_bps == wanted
    assert resources(device_read_bps={"/dev/sda": 0}).device_read_bps == ()


limits = st.tuples(st.integers(-1, 1 << 40), st.integers(-1, 1 << 40))


@modest
@given(limits)
def test_a_soft_limit_is_never_above_the_hard_one(limit):
    soft, hard = limit
    if hard != -1 and (soft == -1 or soft > hard):
        with pytest.raises(InvalidRequest):
            ulimits({"nofile": limit})
    else:
        assert ulimits({"nofile": limit}) == (Ulimit("nofile", soft, hard),)
        assert ulimits([f"nofile={soft}:{hard}"]) == (Ulimit("nofile", soft, hard),)


def test_one_number_is_both_limits_and_the_last_of_one_name_counts():
    assert ulimits({"core": 0}) == (Ulimit("core", 0, 0),)
    assert ulimits(["core=0", "core=unlimited"]) == (Ulimit("core", -1, -1),)
    assert ulimits([Ulimit("core", 0, 5)]) == (Ulimit("core", 0, 5),)
