"""Limits bite, and the kernel has the numbers that were asked for."""

from __future__ import annotations

import os
import re
from glob import glob
from pathlib import Path

import pytest
from shells import ready, said

from pyengine import InvalidRequest, OomKilled, Unsupported
from pyengine.linux.cgroup import Cgroup, Hierarchy
from pyengine.linux.limits import cpu_weight, io_weight

pytestmark = [pytest.mark.kernel, pytest.mark.anyone, pytest.mark.tiers]

MEGABYTE = 1 << 20
HOG = "head -c 64m /dev/zero | tail -n 1 | wc -c"  # tail keeps the line, which has no end
HOST = Hierarchy.probe()


def kernel_has(container, controller, v1, v2):
    """What a file of the container's cgroup says: *v1* or *v2*, as the host has it."""
    path = Cgroup.open(HOST, container.id).path_of(controller)
    with open(f"{path}/{v1 if controller in HOST.v1 else v2}") as file:
        return file.read().strip()


def version(controller):
    return 1 if controller in HOST.v1 else 2


# --- memory (C30 to C34) ---


def test_memory_beyond_the_limit_ends_the_program_and_says_so(engine, image):
    # C30
    ended = engine.run(image, "tail /dev/zero", memory="16m")
    assert (ended.exit_code, ended.signal, ended.oom_killed) == (137, 9, True)
    assert 8 * MEGABYTE < ended.usage.peak_memory <= 16 * MEGABYTE
    with pytest.raises(OomKilled):
        engine.run(image, "tail /dev/zero", memory="16m", check=True)
    assert engine.run(image, ["sh", "-c", HOG], memory="256m").stdout == f"{64 * MEGABYTE}\n"


def test_a_neighbour_that_runs_out_of_memory_does_not_end_the_container(engine, image):
    # C30
    container = engine.start(image, "sleep 99", memory="16m")
    assert container.exec("tail /dev/zero").exit_code == 137
    assert container.exec("true")
    assert container.status == "running"


def test_the_kernel_has_the_memory_limits_that_were_asked_for(engine, image):
    # C30, C31, C32
    options = {"memory": "64m", "memory_reservation": "32m"}
    container = engine.start(image, "sleep 99", **options)
    assert kernel_has(container, "memory", "memory.limit_in_bytes", "memory.max") == str(
        64 * MEGABYTE
    )
    assert kernel_has(container, "memory", "memory.soft_limit_in_bytes", "memory.low") == str(
        32 * MEGABYTE
    )


@pytest.mark.parametrize(
    ("asked", "told"), [({}, 128), ({"memory_swap": "64m"}, 64), ({"memory_swap": "96m"}, 96)]
)
def test_swap_is_as_much_as_memory_unless_told_otherwise(engine, image, asked, told):
    # C31, pitfall 10
    container = engine.create(image, "true", memory="64m", **asked)
    config = container.inspect().to_docker()["HostConfig"]
    assert (config["Memory"], config["MemorySwap"]) == (64 * MEGABYTE, told * MEGABYTE)


@pytest.mark.parametrize(
    "options",
    [
        {"memory": "5m"},
        {"memory_swap": "64m"},
        {"memory": "64m", "memory_swap": "32m"},
        {"memory": "64m", "memory_reservation": "65m"},
        {"memory_reservation": "5m"},
        {"memory": "64m", "memory_swappiness": 101},
    ],
)
def test_memory_limits_that_contradict_themselves_are_refused(engine, image, options):
    # C30 to C33
    with pytest.raises(InvalidRequest, match="memory"):
        engine.create(image, **options)


def test_what_only_version_1_knows_is_set_there_and_refused_elsewhere(engine, image):
    # C33, C34
    for asked, file, value in (
        ({"memory_swappiness": 7}, "memory.swappiness", "7"),
        ({"oom_kill_disable": True}, "memory.oom_control", "oom_kill_disable 1"),
    ):
        if version("memory") == 1:
            container = engine.start(image, "sleep 99", memory="64m", **asked)
            assert kernel_has(container, "memory", file, "").startswith(value)
        else:
            with pytest.raises(Unsupported):
                engine.start(image, "sleep 99", memory="64m", **asked)


# --- processors (C35 to C39) ---


def test_the_kernel_has_the_processor_time_that_was_asked_for(engine, image):
    # C35, C36
    container = engine.start(image, "sleep 99", cpus=0.5)
    assert kernel_has(container, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    options = {"cpu_period": 50_000, "cpu_quota": 10_000, "cpu_shares": 512}
    container = engine.start(image, "sleep 99", **options)
    assert kernel_has(container, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "10000"
    assert kernel_has(container, "cpu", "cpu.cfs_period_us", "cpu.max").split()[-1] == "50000"
    wanted = "512" if version("cpu") == 1 else str(cpu_weight(512))  # C37
    assert kernel_has(container, "cpu", "cpu.shares", "cpu.weight") == wanted


def test_a_program_gets_no_more_than_its_share_of_a_processor(engine, image):
    # C35
    script = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done"
    slow = engine.run(image, ["sh", "-c", script], cpus=0.1)
    assert slow.usage.cpu_seconds < slow.duration * 0.5


def test_a_program_runs_where_it_may(engine, image):
    # C38
    last = max(os.sched_getaffinity(0))
    script = "grep -E '(Cpus|Mems)_allowed_list' /proc/self/status"
    told = said(engine, image, script, cpuset=str(last), cpuset_mems="0").split()
    assert told[1::2] == [str(last), "0"]


@pytest.mark.parametrize(
    "options",
    [
        {"cpus": 10_000},
        {"cpus": os.cpu_count() + 1},
        {"cpus": 1, "cpu_quota": 50_000},
        {"cpus": 1, "cpu_period": 50_000},
        {"cpu_period": 999},
        {"cpu_quota": 999},
        {"cpuset": "0-9999"},
        {"cpuset": str(os.cpu_count())},
        {"cpuset_mems": "99"},
        {"cpu_rt_period": 1000, "cpu_rt_runtime": 2000},
    ],
)
def test_processors_that_are_not_there_are_refused(engine, image, options):
    # C35 to C39
    with pytest.raises(InvalidRequest):
        engine.create(image, **options)


def test_real_time_is_given_where_the_kernel_can(engine, image):
    # C39: most kernels are built without it
    if os.path.exists(f"{HOST.v1.get('cpu')}/cpu.rt_runtime_us"):
        container = engine.start(image, "sleep 99", cpu_rt_period=1_000_000, cpu_rt_runtime=0)
        assert kernel_has(container, "cpu", "cpu.rt_period_us", "") == "1000000"
    else:
        with pytest.raises(Unsupported):
            engine.run(image, "true", cpu_rt_period=1_000_000, cpu_rt_runtime=1000)


# --- processes, disks, descriptors (C40 to C43) ---


def test_a_fork_bomb_is_held_and_the_container_ends_all_the_same(engine, image, survivors):
    # C40
    bomb = "(while :; do sleep 4731 & done) 2>/dev/null; echo ready; exec sleep 4731"
    container = ready(engine, image, bomb, pids=12)
    assert 8 < len(container.top()) <= 12
    container.kill()
    assert survivors("sleep 4731") == []


@pytest.mark.parametrize(
    ("asked", "limit"), [({}, "4096"), ({"pids": 77}, "77"), ({"pids": 0}, "max")]
)
def test_the_kernel_has_the_number_of_processes_that_was_asked_for(engine, image, asked, limit):
    # C40
    if not asked and "pids" not in engine.capabilities():
        limit = "max"  # as announced
    container = engine.start(image, "sleep 99", **asked)
    path = Cgroup.open(HOST, container.id).path_of("pids")
    found = "max" if path is None else kernel_has(container, "pids", "pids.max", "pids.max")
    assert found == limit


def test_the_kernel_has_the_disk_limits_that_were_asked_for(engine, image):
    # C42
    with open("/proc/partitions") as file:
        major, minor, _, name = file.read().splitlines()[2].split()
    disk, place = f"/dev/{name}", f"{major}:{minor}"
    container = engine.start(
        image,
        "sleep 99",
        device_read_bps={disk: "1mb"},
        device_write_bps=[f"{disk}:2mb"],
        device_read_iops={disk: 300},
        device_write_iops={disk: 400},
    )
    controller = "blkio" if "blkio" in HOST.v1 else "io"
    for v1, v2, value in (
        ("read_bps", "rbps", MEGABYTE),
        ("write_bps", "wbps", 2 * MEGABYTE),
        ("read_iops", "riops", 300),
        ("write_iops", "wiops", 400),
    ):
        told = kernel_has(container, controller, f"blkio.throttle.{v1}_device", "io.max")
        assert f"{place} {value}" in told or f"{v2}={value}" in told


def test_a_share_of_the_disk_is_given_where_the_kernel_can(engine, image):
    # C41: only some schedulers of the block layer know shares
    tree = HOST.v1.get("blkio", HOST.v2)
    try:
        container = engine.start(image, "sleep 99", blkio_weight=500)
    except Unsupported:
        assert glob(f"{tree}/*/*.weight") == []
        return
    path = Cgroup.open(HOST, container.id).path_of("blkio" if "blkio" in HOST.v1 else "io")
    told = "".join(Path(name).read_text() for name in glob(f"{path}/*weight"))
    assert "500" in told or str(io_weight(500)) in told


@pytest.mark.parametrize(
    "options",
    [
        {"device_read_bps": {"/dev/nonesuch": 1}},
        {"device_read_bps": {"/dev/null": 1}},
        {"device_write_iops": ["/etc:1"]},
        {"blkio_weight": 9},
        {"blkio_weight": 1001},
        {"pids": 1.5},
    ],
)
def test_a_limit_on_nothing_is_refused(engine, image, options):
    # C40 to C42
    with pytest.raises(InvalidRequest):
        engine.run(image, "true", **options)
    assert engine.containers.list(all=True) == []


def test_limits_of_a_process_are_those_that_were_asked_for(engine, image):
    # C43
    limits = ["nofile=123:456", "core=0", "nproc=100", "cpu=7"]
    script = "ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -t"
    told = ["123", "456", "0", "7"]
    container = engine.start(image, "sleep 99", ulimits=limits)
    assert said(engine, image, script, ulimits=limits).split() == told
    assert container.exec(["sh", "-c", script]).stdout.split() == told
    with pytest.raises(InvalidRequest, match="ulimit"):
        engine.create(image, ulimits=["nofile=5:4"])


# --- where its cgroup is, and shared memory (C44, C45) ---


def test_a_container_may_live_in_a_cgroup_of_its_user_s_choice(engine, image):
    # C44: and what was made for that is gone with it
    parent = f"/pyengine-chosen-{os.getpid()}/inner"
    container = engine.start(image, "sleep 99", cgroup_parent=parent, memory="64m")
    with open(f"/proc/{container.inspect().pid}/cgroup") as file:
        told = file.read()
    assert f"{parent}/{container.id}" in told
    assert container.exec("true")
    container.remove(force=True)
    trees = {HOST.v2, *HOST.v1.values()} - {None}
    assert [tree for tree in trees if os.path.exists(tree + os.path.dirname(parent))] == []


def test_shared_memory_is_as_large_as_it_was_asked_to_be(engine, image):
    # C45
    script = "df -k /dev/shm | tail -n 1; stat -c %a /dev/shm"
    for asked, size in ((None, 65536), ("1m", 1024), (0, 65536), (2 << 20, 2048)):
        told = said(engine, image, script, shm_size=asked).split()
        assert (told[1], told[-1]) == (str(size), "1777")
    fill = "head -c 2m /dev/zero > /dev/shm/x || stat -c %s /dev/shm/x"
    assert said(engine, image, fill, shm_size="1m") == f"{MEGABYTE}\n"
    with pytest.raises(InvalidRequest):
        engine.create(image, shm_size=-1)


# --- changing them (O32) ---


def test_limits_of_a_running_container_change_at_once(engine, image):
    # O32
    container = engine.start(image, "sleep 99", memory="64m")
    container.update(memory="32m", memory_swap="64m", cpus=0.25, pids=50, cpu_shares=0)
    assert kernel_has(container, "memory", "memory.limit_in_bytes", "memory.max") == str(
        32 * MEGABYTE
    )
    assert kernel_has(container, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "25000"
    assert container.exec("tail /dev/zero").exit_code == 137
    config = container.inspect().to_docker()["HostConfig"]
    assert (config["Memory"], config["NanoCpus"], config["PidsLimit"]) == (
        32 * MEGABYTE,
        250_000_000,
        50,
    )
    container.update(pids=-1)
    assert container.inspect().spec.resources.pids is None


def test_limits_of_a_container_that_does_not_run_are_for_its_next_start(engine, image):
    # O32
    container = engine.create(image, "sleep 99")
    container.update(memory="32m")
    container.start()
    assert kernel_has(container, "memory", "memory.limit_in_bytes", "memory.max") == str(
        32 * MEGABYTE
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"memory": "1m"},
        {"cpus": 10_000},
        {"cpu_quota": 5000},
        {"cpuset": "0-9999"},
        {"name": "x"},
        {"memory": "128m"},
        {"blkio_weight": 1},
    ],
)
def test_a_change_that_is_refused_changes_nothing(engine, image, changes):
    # O32
    container = engine.start(image, "sleep 99", memory="64m", memory_swap="64m", cpus=0.5)
    before = container.inspect().spec
    with pytest.raises(InvalidRequest):
        container.update(**changes)
    assert container.inspect().spec == before
    assert re.match("50000", kernel_has(container, "cpu", "cpu.cfs_quota_us", "cpu.max"))
