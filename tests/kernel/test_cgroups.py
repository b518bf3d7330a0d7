"""Cgroups limit, count, freeze and end what lives in them, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from pyengine.containers import statistics
from pyengine.errors import AlreadyExists, InvalidRequest, KernelError, Unsupported
from pyengine.linux import cgroup_files
from pyengine.linux.cgroup import Cgroup, Hierarchy
from pyengine.linux.cgroup_names import PARENT, branch
from pyengine.linux.device_filter import (
    DEFAULT_POLICY,
    UNRESTRICTED,
    device_policy,
    device_rule,
)
from pyengine.linux.hierarchy import inherit_cpuset
from pyengine.linux.processes import list_processes
from pyengine.model.spec import Resources

pytestmark = pytest.mark.kernel

MEGABYTE = 1 << 20


@pytest.fixture
def hierarchy():
    """The host's trees, but below a directory of this test alone; it must be left empty."""
    host = Hierarchy.probe()
    name = f"pyengine-test-{os.getpid()}"
    made = {}
    for tree in {host.v2, *host.v1.values()} - {None}:
        os.mkdir(f"{tree}/{name}")
        made[tree] = f"{tree}/{name}"
    if "cpuset" in host.v1:
        inherit_cpuset(host.v1["cpuset"], made[host.v1["cpuset"]])
    below = {controller: made[tree] for controller, tree in host.v1.items()}
    ours = Hierarchy(made.get(host.v2), below, host.v2_controllers)
    try:
        yield ours
        ours.tidy()
        left = [path for top in made.values() for path in cgroup_files.tree(top)]
        assert sorted(left) == sorted(made.values())
    finally:
        for top in made.values():
            cgroup_files.remove_tree(top, 5, top if top.startswith(host.v2 or "\0") else None)


@contextmanager
def running(cgroup: Cgroup, script: str, **options):
    """A shell that joins *cgroup*, says so, and goes on with *script*."""
    joins = [f"{path}/tasks" for path in (*cgroup.v1_paths.values(), *cgroup._joined)]
    if cgroup.v2_path is not None:
        joins.append(f"{cgroup.v2_path}/cgroup.procs")
    lines = [f"echo 0 > {path} || exit 99" for path in joins]
    process = subprocess.Popen(
        ["/bin/sh", "-c", "\n".join([*lines, "echo joined", script])],
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        assert process.stdout.readline() == "joined\n"
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def until(condition) -> None:
    assert cgroup_files.wait_until(condition, 20), "it never came true"


def result(cgroup: Cgroup, script: str) -> str:
    with running(cgroup, script, stderr=subprocess.STDOUT) as process:
        output = process.stdout.read()
        process.wait(20)
        return output


def test_a_container_with_defaults_costs_two_directories_and_leaves_none(hierarchy):
    cgroup = Cgroup.create(hierarchy, "box", Resources())
    assert cgroup.enforced.notes == []
    assert cgroup.unfiltered == ""
    assert (cgroup.v2_path is None) + len(cgroup.v1_paths) <= 2
    assert hierarchy.names() == ["box"]
    cgroup.remove()
    cgroup.remove()
    assert hierarchy.names() == []


def test_limits_are_in_force_before_anybody_joins(hierarchy):
    wanted = Resources(memory=32 * MEGABYTE, nano_cpus=500_000_000, cpuset_cpus="0", pids=9)
    cgroup = Cgroup.create(hierarchy, "box", wanted)
    raw = cgroup.sample()
    assert (raw.memory_limit, raw.pids_limit, raw.pids) == (32 * MEGABYTE, 9, 0)
    with running(cgroup, "grep Cpus_allowed_list /proc/self/status") as process:
        assert process.stdout.read().split() == ["Cpus_allowed_list:", "0"]
    cgroup.remove()


def test_a_fork_bomb_is_held(hierarchy):
    cgroup = Cgroup.create(hierarchy, "box", Resources(pids=4))
    output = result(
        cgroup, "for i in 1 2 3 4 5 6 7 8; do sleep 30 >/dev/null 2>&1 & done; echo done"
    )
    assert "fork" in output
    assert cgroup.sample().pids <= 4
    cgroup.kill()
    cgroup.remove()


def test_memory_beyond_the_limit_ends_the_program_and_is_counted(hierarchy):
    size = 24 * MEGABYTE
    cgroup = Cgroup.create(hierarchy, "box", Resources(memory=size, memory_swap=size))
    code = "b = bytearray(200 << 20); print(len(b))"
    with running(cgroup, f"exec {sys.executable} -c '{code}'") as process:
        assert process.wait(30) == -signal.SIGKILL
    assert cgroup.oom_kills() == 1
    assert cgroup.sample().memory_peak <= size
    cgroup.remove()


def test_a_frozen_container_stands_still_and_goes_on(hierarchy):
    cgroup = Cgroup.create(hierarchy, "box", Resources())
    with running(cgroup, "while :; do :; done"):
        cgroup.freeze(timeout=5)
        assert cgroup.is_frozen()
        before = cgroup.sample().cpu_total
        moved = cgroup_files.wait_until(
            lambda: cgroup.sample().cpu_total > before + 20_000_000, 0.1
        )
        assert not moved
        cgroup.thaw()
        assert not cgroup.is_frozen()
        cgroup.freeze()
        cgroup.kill()
    assert not cgroup.is_populated()
    cgroup.remove()


HARD_TO_KILL = """
trap '' TERM INT HUP
(while :; do setsid sleep 100 & sleep 0.01; done) &
kill -STOP $$
"""


def test_nobody_escapes_a_kill(hierarchy):
    cgroup = Cgroup.create(hierarchy, "box", Resources(pids=200))
    with running(cgroup, HARD_TO_KILL):
        until(lambda: len(cgroup.processes()) >= 5)
        started = time.monotonic()
        cgroup.kill()
        cgroup.remove(timeout=5)
        assert time.monotonic() - started < 1


@pytest.mark.cgroup1
def test_version_1_alone_kills_and_freezes_too(hierarchy):
    alone = Hierarchy(None, hierarchy.v1)
    cgroup = Cgroup.create(alone, "box", Resources(pids=200))
    assert cgroup.unfiltered == ""
    with running(cgroup, HARD_TO_KILL) as process:
        until(lambda: len(cgroup.processes()) >= 5)
        cgroup.freeze()
        assert cgroup.is_frozen()
        assert cgroup.sample().cpu_total > 0
        cgroup.kill()
        process.wait(10)
        cgroup.remove(timeout=5)
    assert not cgroup.is_populated()
    alone.tidy()


def test_ending_an_exec_leaves_the_container_alone(hierarchy):
    cgroup = Cgroup.create(hierarchy, "box", Resources())
    with running(cgroup, "sleep 100") as first:
        child = cgroup.child("exec-1")
        with running(child, "sleep 100 & sleep 100") as second:
            assert set(child.processes()) < set(cgroup.processes())
            child.kill()
            assert second.wait(10) == -signal.SIGKILL
            child.remove(timeout=5)
        assert first.poll() is None
        assert cgroup.is_populated()
        cgroup.kill()
        first.wait(10)
    cgroup.remove()


def test_a_container_goes_with_the_cgroups_it_made_inside(hierarchy):
    cgroup = Cgroup.create(hierarchy, "box", Resources())
    os.makedirs(f"{cgroup.v2_path}/a/b/c")
    cgroup.remove()
    assert hierarchy.names() == []


def test_somebody_still_living_there_is_an_error_and_not_a_hang(hierarchy):
    cgroup = Cgroup.create(hierarchy, "box", Resources())
    with running(cgroup, "sleep 100"):
        with pytest.raises(KernelError, match="EBUSY"):
            cgroup.remove(timeout=0.05)
        cgroup.kill()
    cgroup.remove()


def test_any_process_opens_it_again(hierarchy):
    cgroup = Cgroup.create(hierarchy, "box", Resources(memory=32 * MEGABYTE))
    with running(cgroup, "sleep 100") as process:
        again = Cgroup.open(Hierarchy(hierarchy.v2, hierarchy.v1), "box")
        assert (again.v2_path, again.v1_paths) == (cgroup.v2_path, cgroup.v1_paths)
        assert process.pid in again.processes()
        again.kill()
        process.wait(10)
        again.remove()
    gone = Cgroup.open(hierarchy, "box")
    assert gone.processes() == []
    gone.kill()
    gone.thaw()
    gone.remove()


def test_a_name_is_given_once(hierarchy):
    cgroup = Cgroup.create(hierarchy, "box", Resources())
    with pytest.raises(AlreadyExists):
        Cgroup.create(hierarchy, "box", Resources())
    assert os.path.isdir(cgroup.v2_path)
    cgroup.remove()


@pytest.mark.parametrize(
    "wanted", [Resources(cpuset_cpus="4000-4001"), Resources(cpu_period=3, cpu_quota=2000)]
)
def test_what_the_kernel_refuses_leaves_nothing(hierarchy, wanted):
    with pytest.raises(InvalidRequest):
        Cgroup.create(hierarchy, "box", wanted)
    assert hierarchy.names() == []


def test_an_update_reaches_processes_that_run(hierarchy):
    cgroup = Cgroup.create(hierarchy, "box", Resources(pids=50))
    with running(cgroup, "sleep 100 & sleep 100"):
        cgroup.update(Resources(pids=60, memory=64 * MEGABYTE, memory_swap=64 * MEGABYTE))
        for pid in cgroup.processes():
            with open(f"/proc/{pid}/cgroup") as file:
                lines = file.read().splitlines()
            assert any(line.endswith("/box") for line in lines if "memory" in line or "0::" in line)
        cgroup.update(Resources(pids=None, memory=128 * MEGABYTE, memory_swap=256 * MEGABYTE))
        raw = cgroup.sample()
        assert (raw.memory_limit, raw.pids_limit) == (128 * MEGABYTE, None)
        cgroup.kill()
    cgroup.remove()


def test_a_parent_we_made_goes_and_one_we_found_stays(hierarchy):
    found = [f"{tree}/slice" for tree in {hierarchy.v2, *hierarchy.v1.values()}]
    for path in found:
        os.mkdir(path)
    if "cpuset" in hierarchy.v1:
        inherit_cpuset(hierarchy.v1["cpuset"], f"{hierarchy.v1['cpuset']}/slice")
    cgroup = Cgroup.create(hierarchy, "box", Resources(), parent="slice/mine")
    assert cgroup.v2_path == f"{hierarchy.v2}/slice/mine/box"
    assert Cgroup.open(hierarchy, "box", parent="/slice/mine").v2_path == cgroup.v2_path
    cgroup.remove()
    assert not os.path.exists(f"{hierarchy.v2}/slice/mine")
    for path in found:
        os.rmdir(path)


def test_a_host_that_gives_us_nothing_refuses_limits_and_says_what_it_cannot_do():
    bare = Hierarchy(None, {})
    with pytest.raises(Unsupported, match="memory"):
        Cgroup.create(bare, "box", Resources(memory=32 * MEGABYTE))
    cgroup = Cgroup.create(bare, "box", Resources())
    assert "pids" in cgroup.enforced.notes[0]
    assert "eBPF" in cgroup.unfiltered
    assert cgroup.v2_fd() is None
    assert cgroup.join_fds() == []
    with pytest.raises(Unsupported, match="pause"):
        cgroup.freeze()
    cgroup.kill()
    cgroup.remove()


def test_descriptors_to_join_with_are_ours_alone(hierarchy):
    cgroup = Cgroup.create(hierarchy, "box", Resources())
    opened = [cgroup.v2_fd(), *cgroup.join_fds()]
    try:
        assert not any(os.get_inheritable(descriptor) for descriptor in opened)
        assert len(opened) == 1 + len(cgroup.v1_paths)
    finally:
        for descriptor in opened:
            os.close(descriptor)
    cgroup.remove()


def test_another_engine_tidying_meanwhile_does_no_harm(hierarchy):
    Cgroup.create(hierarchy, "one", Resources()).remove()
    Hierarchy(hierarchy.v2, hierarchy.v1).tidy()
    cgroup = Cgroup.create(hierarchy, "two", Resources())
    assert not opens(cgroup, "/dev/kmsg")
    cgroup.remove()


# --- devices ---


def opens(cgroup: Cgroup, device: str, redirect: str = "<") -> bool:
    return "opened" in result(cgroup, f": {redirect} {device} && echo opened")


def test_a_default_container_uses_only_the_devices_everybody_has(hierarchy):
    cgroup = Cgroup.create(hierarchy, "box", Resources())
    assert opens(cgroup, "/dev/null", ">")
    assert opens(cgroup, "/dev/zero")
    assert not opens(cgroup, "/dev/kmsg")
    cgroup.remove()


def test_default_containers_share_one_filter(hierarchy):
    one = Cgroup.create(hierarchy, "one", Resources())
    two = Cgroup.create(hierarchy, "two", Resources())
    assert os.path.dirname(one.v2_path) == os.path.dirname(two.v2_path)
    assert branch(DEFAULT_POLICY) in one.v2_path
    one.remove()
    assert not opens(two, "/dev/kmsg")
    two.remove()


def test_a_device_that_was_given_can_be_used(hierarchy):
    policy = device_policy((device_rule("/dev/kmsg", "r"),))
    cgroup = Cgroup.create(hierarchy, "box", Resources(), devices=policy)
    assert cgroup.unfiltered == ""
    assert opens(cgroup, "/dev/kmsg")
    assert opens(cgroup, "/dev/null", ">")
    assert not opens(cgroup, "/dev/kmsg", ">")
    cgroup.remove()


def test_a_privileged_container_uses_every_device(hierarchy):
    cgroup = Cgroup.create(hierarchy, "box", Resources(), devices=UNRESTRICTED)
    assert cgroup.unfiltered == ""
    assert opens(cgroup, "/dev/kmsg")
    cgroup.remove()


def test_a_container_below_its_own_parent_is_filtered_too(hierarchy):
    cgroup = Cgroup.create(hierarchy, "box", Resources(), parent="/mine")
    assert not opens(cgroup, "/dev/kmsg")
    cgroup.remove()


def test_a_parent_remade_without_its_filter_is_noticed(hierarchy):
    Cgroup.create(hierarchy, "one", Resources()).remove()
    shared = f"{hierarchy.v2}{branch(DEFAULT_POLICY)}"
    os.rmdir(shared)
    os.mkdir(shared)  # as an engine that was killed before it could attach
    cgroup = Cgroup.create(hierarchy, "two", Resources())
    assert not opens(cgroup, "/dev/kmsg")
    cgroup.remove()


@pytest.mark.cgroup1
@pytest.mark.parametrize("allowed", [(), ("/dev/kmsg",)])
def test_where_ebpf_is_refused_version_1_filters(hierarchy, allowed):
    hierarchy.refused.append("not permitted")
    policy = device_policy(tuple(device_rule(path) for path in allowed))
    cgroup = Cgroup.create(hierarchy, "box", Resources(), devices=policy)
    assert cgroup.unfiltered == ""
    assert opens(cgroup, "/dev/null")
    assert opens(cgroup, "/dev/kmsg") == bool(allowed)
    cgroup.remove()


def test_where_nothing_filters_the_reason_is_given(hierarchy):
    hierarchy.refused.append("load a device filter: EPERM")
    without = {name: path for name, path in hierarchy.v1.items() if name != "devices"}
    bare = Hierarchy(hierarchy.v2, without)
    bare.refused.append("load a device filter: EPERM")
    cgroup = Cgroup.create(bare, "box", Resources())
    assert "EPERM" in cgroup.unfiltered
    cgroup.remove()
    assert PARENT in (cgroup.v2_path or "")


# --- statistics ---


def test_a_sample_counts_what_a_container_uses(hierarchy):
    cgroup = Cgroup.create(hierarchy, "box", Resources())
    with running(cgroup, "sleep 100 & while :; do :; done") as process:
        first = statistics.sample(cgroup, network_pid=process.pid)
        until(lambda: cgroup.sample().cpu_total > 50_000_000)
        second = statistics.sample(cgroup, network_pid=process.pid, previous=first)
        assert second.cpu_percent > 0
        assert second.preread_ns == first.read_ns
        assert second.pids.current == 2
        assert second.memory.is_estimate == (cgroup.path_of("memory") is None)
        assert 0 < second.memory_usage < second.memory.limit
        assert "lo" not in second.networks
        shown = {one.pid: one for one in list_processes(cgroup.processes())}
        assert shown[process.pid].cpu_seconds >= 0.03
        cgroup.kill()
    used = statistics.usage(cgroup.sample())
    assert used.cpu_seconds >= 0.05
    cgroup.remove()
    assert cgroup.sample().cpu_total is None


def test_a_limited_container_s_memory_is_counted_by_the_kernel(hierarchy):
    cgroup = Cgroup.create(hierarchy, "box", Resources(memory=64 * MEGABYTE))
    with running(cgroup, "sleep 100 & wait"):
        until(lambda: cgroup.sample().memory)
        stats = statistics.sample(cgroup)
        assert not stats.memory.is_estimate
        assert stats.memory.limit == 64 * MEGABYTE
        assert 0 < stats.memory_usage <= stats.memory.used
        cgroup.kill()
    assert statistics.usage(cgroup.sample()).peak_memory > 0
    cgroup.remove()


def test_a_throttled_container_says_so(hierarchy):
    cgroup = Cgroup.create(hierarchy, "box", Resources(nano_cpus=20_000_000))
    with running(cgroup, "while :; do :; done"):
        until(lambda: statistics.sample(cgroup).cpu.throttled_time)
        assert statistics.sample(cgroup).cpu.throttled_periods > 0
        cgroup.kill()
    cgroup.remove()
