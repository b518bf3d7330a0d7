"""What runs in a container and what it uses, as the host sees it."""

from __future__ import annotations

import os

import pytest
from shells import ready
from support.whoever import outside

import pyengine
from pyengine import InvalidRequest, Unsupported, WrongState

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]


# --- its processes (O17) ---


def test_top_shows_every_process_as_the_host_numbers_it(engine, image):
    # O17
    container = ready(engine, image, "sleep 4751 & echo ready; wait", user="app")
    container.popen("sleep 4752", user="root")
    found = {process.command: process for process in container.top()}
    assert {"sleep 4751", "sleep 4752"} < set(found)
    assert len(found) == 3
    first = found.pop(next(command for command in found if command.startswith("sh -c")))
    assert first.pid == container.inspect().pid
    assert (first.uid, first.name, first.terminal) == (outside(first.pid, 1000), "sh", "?")
    assert found["sleep 4751"].ppid == first.pid
    assert found["sleep 4752"].uid == os.geteuid()
    with open(f"/proc/{found['sleep 4751'].pid}/cmdline") as file:
        assert file.read() == "sleep\x004751\x00"


@pytest.mark.anyone
def test_top_shows_them_in_the_columns_of_ps(engine, image):
    # O17
    container = ready(engine, image, "echo ready; exec sleep 99")
    table = container.top_table()
    assert table.titles == ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")
    assert table.to_docker()["Processes"][0][-1] == "sleep 99"
    assert container.top_table("aux").titles[:3] == ("USER", "PID", "%CPU")
    assert container.top_table("-o pid,comm").processes[0][1] == "sleep"
    with pytest.raises(Unsupported):
        container.top_table("--forest")
    with pytest.raises(InvalidRequest):
        container.top_table("-o")


@pytest.mark.anyone
def test_what_does_not_run_has_no_processes(engine, image):
    # O17
    container = engine.create(image, "true")
    with pytest.raises(WrongState, match="is not running"):
        container.top()
    paused = engine.start(image, "sleep 99")
    paused.pause()
    assert [process.command for process in paused.top()] == ["sleep 99"]


# --- what it uses (O18, O19, pitfall 15) ---


@pytest.mark.anyone
def test_a_sample_counts_what_the_container_uses(engine, image):
    # O18, O19
    script = """
    head -c 8000000 /dev/zero > /dev/shm/x
    i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo ready; exec sleep 99
    """
    container = ready(engine, image, script, memory="64m", pids=20)
    stats = container.stats()
    assert stats.cpu.total > 0
    assert 8_000_000 < stats.memory.used < stats.memory.limit == 64 << 20
    assert (stats.pids.current, stats.pids.limit) == (1, 20)
    assert (stats.preread_ns, stats.cpu_percent) == (0, 0.0)
    told = stats.to_docker(container.id, container.name)
    assert told["name"] == f"/{container.name}"
    assert told["memory_stats"]["limit"] == 64 << 20
    assert told["pids_stats"] == {"current": 1, "limit": 20}
    assert told["precpu_stats"]["cpu_usage"]["total_usage"] == 0


@pytest.mark.anyone
def test_memory_that_can_be_dropped_is_not_shown_as_used(engine, image):
    # O19, pitfall 15: files that the kernel keeps for the container
    script = "head -c 20000000 /dev/zero > /x; cat /x > /dev/null; sync; echo ready; exec sleep 99"
    stats = ready(engine, image, script, memory="128m").stats()
    assert stats.memory.used >= 10_000_000
    assert stats.memory_usage < stats.memory.used
    assert stats.memory_percent == pytest.approx(stats.memory_usage / (128 << 20) * 100)


@pytest.mark.anyone
def test_each_sample_is_compared_with_the_one_before(engine, image):
    # O18, pitfall 15
    container = ready(engine, image, "echo ready; while :; do :; done")
    first, second, third = (
        stats for stats, _ in zip(container.watch_stats(interval=0.1), range(3), strict=False)
    )
    assert (first.preread_ns, second.preread_ns) == (0, first.read_ns)
    assert third.precpu == second.cpu
    assert second.cpu.total > first.cpu.total
    assert second.cpu_percent > 5.0


@pytest.mark.anyone
def test_samples_end_with_the_container(engine, image):
    # O18
    container = engine.start(image, "cat", stdin_open=True)
    samples = container.watch_stats(interval=0.02)
    next(samples)
    container.attach(stdin=True).stdin.close()
    assert len(list(samples)) < 100
    container.wait(timeout=10)
    assert container.stats() == pyengine.Stats()
    with pytest.raises(WrongState):
        next(container.watch_stats())
    with pytest.raises(InvalidRequest):
        container.watch_stats(interval=0)


@pytest.mark.anyone
def test_a_network_is_counted_from_inside(engine, image):
    # O19: a loopback is no network
    assert engine.start(image, "sleep 99").stats().networks == {}
    assert engine.start(image, "sleep 99", network="host").stats().networks == {}
