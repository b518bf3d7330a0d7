"""What only version 2 cgroups show: where a container is born, what it sees, how it swaps."""

from __future__ import annotations

import os
from contextlib import closing
from itertools import takewhile
from pathlib import Path

import pytest
from shells import ready, said

from pyengine.linux.cgroup import Cgroup, Hierarchy
from pyengine.linux.delegation import CONTROLLERS

pytestmark = [pytest.mark.kernel, pytest.mark.anyone, pytest.mark.cgroup2]

HOST = Hierarchy.probe()
MEGABYTE = 1 << 20


def place_of(container) -> Path:
    """The cgroup of a container that runs, as the kernel says where its first process is."""
    lines = Path(f"/proc/{container.inspect().pid}/cgroup").read_text().splitlines()
    assert [line[:3] for line in lines] == ["0::"]
    return Path(f"/sys/fs/cgroup{lines[0][3:]}")


def keyed(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value in map(str.split, path.read_text().splitlines())}


def test_a_container_is_born_in_its_cgroup_with_every_controller(engine, image):
    container = engine.start(image, "sleep 99")
    place = place_of(container)
    assert str(place) == Cgroup.open(HOST, container.id).v2_path
    assert set((place / "cgroup.controllers").read_text().split()) >= set(CONTROLLERS)
    assert Cgroup.open(HOST, container.id).join_fds() == []  # there is nothing it had to join


def test_what_runs_beside_it_is_limited_with_it(engine, image):
    container = engine.start(image, "sleep 99", pids=7, memory="64m")
    fork = "for i in 1 2 3 4 5 6 7 8 9; do sleep 30 & done 2>&1"
    assert "fork" in container.exec(["sh", "-c", fork]).stdout
    assert keyed(place_of(container) / "pids.events")["max"] > 0


def test_it_sees_its_own_cgroup_as_the_root_and_may_only_read(engine, image):
    script = """
    cat /proc/self/cgroup /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max
    mkdir /sys/fs/cgroup/x 2>/dev/null || echo 0 2>/dev/null > /sys/fs/cgroup/pids.max || echo no
    """
    told = said(engine, image, script, memory="32m", pids=17)
    assert told.split() == ["0::/", str(32 * MEGABYTE), "17", "no"]


def test_with_the_host_s_view_it_sees_where_it_is(engine, image):
    container = engine.start(image, "sleep 99", cgroupns="host")
    told = container.exec("cat /proc/self/cgroup").stdout.strip()
    assert told.startswith("0::/")
    assert container.id in told


def test_memory_that_is_not_there_is_swapped_as_far_as_was_asked(engine, image):
    # C31: this machine has something to swap to
    fill = "head -c 16m /dev/zero > /dev/shm/x && echo ready && sleep 99"
    without = engine.run(image, ["sh", "-c", fill], memory="8m", memory_swap="8m")
    assert (without.exit_code, without.stdout) == (137, "")
    place = place_of(ready(engine, image, fill, memory="8m", memory_swap="40m"))
    assert int((place / "memory.swap.max").read_text()) == 32 * MEGABYTE
    assert int((place / "memory.swap.current").read_text()) > 7 * MEGABYTE
    assert keyed(place / "memory.events")["oom_kill"] == 0


def test_memory_that_was_reserved_is_protected(engine, image):
    # C32
    container = engine.start(image, "sleep 99", memory="64m", memory_reservation="16m")
    assert int((place_of(container) / "memory.low").read_text()) == 16 * MEGABYTE


def test_who_ran_out_of_memory_is_told_as_such_everywhere(engine, image):
    # C30, O35
    with closing(engine.events(timeout=60)) as stream:
        container = engine.start(image, "tail /dev/zero", memory="16m")
        assert container.wait(timeout=60).oom_killed
        told = container.inspect().to_docker()["State"]
        assert (told["OOMKilled"], told["ExitCode"], told["Status"]) == (True, 137, "exited")
        seen = list(takewhile(lambda action: action != "die", (one.action for one in stream)))
    assert "oom" in seen


def test_a_paused_container_stands_still_in_the_kernel_s_eyes(engine, image):
    container = ready(engine, image, "echo ready; while :; do :; done")
    place = place_of(container)
    container.pause()
    assert keyed(place / "cgroup.events")["frozen"] == 1
    container.unpause()
    assert keyed(place / "cgroup.events")["frozen"] == 0
    container.pause()
    container.kill()  # a frozen one dies as well
    assert container.wait(timeout=10).exit_code == 137
    assert not place.exists()


def test_everything_docker_tells_of_a_sample_is_told(engine, image):
    # O19
    script = """
    head -c 4000000 /dev/zero > /file && sync
    i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; echo ready; exec sleep 99
    """
    container = ready(engine, image, script, memory="64m", pids=20, cpus=0.5)
    first, second = (
        stats for stats, _ in zip(container.watch_stats(interval=0.05), range(2), strict=False)
    )
    told = second.to_docker(container.id, container.name)
    cpu, memory = told["cpu_stats"], told["memory_stats"]
    usage = cpu["cpu_usage"]
    assert set(usage) >= {"total_usage", "usage_in_kernelmode", "usage_in_usermode"}
    assert "percpu_usage" not in usage
    parts = usage["usage_in_kernelmode"] + usage["usage_in_usermode"]
    assert abs(parts - usage["total_usage"]) < 10_000
    assert cpu["throttling_data"]["periods"] > 0
    assert cpu["online_cpus"] == os.cpu_count()
    assert told["precpu_stats"]["cpu_usage"]["total_usage"] == first.cpu.total
    assert memory["usage"] > 4_000_000
    assert memory["limit"] == 64 * MEGABYTE
    stat = keyed(place_of(container) / "memory.stat")
    assert set(memory["stats"]) == set(stat)
    assert {"anon", "file", "inactive_file", "pgfault", "slab"} <= set(memory["stats"])
    assert second.memory_usage <= memory["usage"] - memory["stats"]["inactive_file"] + 4096
    assert told["pids_stats"] == {"current": 1, "limit": 20}
    moved = told["blkio_stats"]["io_service_bytes_recursive"]
    assert sum(one["value"] for one in moved if one["op"] == "write") >= 4_000_000
    assert {"major", "minor", "op", "value"} == set(moved[0])
    assert told["preread"] < told["read"]


def test_a_throttled_disk_is_written_all_the_same(engine, image):
    # C42: what is on the disk is what was written, however slowly
    disk = _disk_of(os.path.dirname(engine.root))
    script = "head -c 300k /dev/zero > /file; sync; stat -c %s /file; cat /sys/fs/cgroup/io.max"
    limits = {"device_write_bps": {disk: "1mb"}, "device_write_iops": {disk: 500}}
    told = said(engine, image, script, **limits).split()
    assert told[0] == str(300 << 10)
    assert told[2:] == ["rbps=max", f"wbps={MEGABYTE}", "riops=max", "wiops=500"]


def _disk_of(path: str) -> str:
    number = os.stat(path).st_dev
    name = os.readlink(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    return f"/dev/{os.path.basename(name)}"


def test_every_limit_changes_while_it_runs(engine, image):
    # O32
    container = engine.start(image, "sleep 99", memory="64m", cpus=1)
    place = place_of(container)
    container.update(memory="48m", memory_swap="48m", cpus=0.3, pids=33, cpu_shares=512, cpuset="0")
    read = {name: (place / name).read_text().strip() for name in WRITTEN}
    assert read == WRITTEN


WRITTEN = {
    "memory.max": str(48 * MEGABYTE),
    "memory.swap.max": "0",
    "cpu.max": "30000 100000",
    "pids.max": "33",
    "cpu.weight": "59",
    "cpuset.cpus": "0",
}
