"""Lines 11 and 12: whatever a container uses up or refuses, its host goes on and can end it.

The mechanisms: the pids, memory and tmpfs limits; a log that is a ring and output that is pumped
in pieces; cgroup kill and the death of the pid namespace behind stop, kill and remove.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from contextlib import closing, contextmanager

import pytest

from pyengine import EngineError, OomKilled

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]


@contextmanager
def ticking():
    """Another thread of the host, which counts on; whoever stops it has stopped the host."""
    over, ticks = threading.Event(), []
    thread = threading.Thread(
        target=lambda: [ticks.append(1) for _ in iter(over.is_set, True) if not over.wait(0.01)]
    )
    thread.start()
    try:
        yield ticks
    finally:
        over.set()
        thread.join()


def wait_for_ticks(ticks, count):
    """Until the other thread has counted *count* more."""
    wanted = len(ticks) + count
    while len(ticks) < wanted:
        os.sched_yield()


def started(engine, image, script, word="ready", **options):
    """A container whose shell has said *word*."""
    container = engine.start(image, ["sh", "-c", script], **options)
    with closing(container.follow_logs(timeout=30)) as lines:
        assert word in str(next(lines))
    return container


def grown(tmp_path, image, script):
    """KiB by which a host program grows while it runs *script*, in which `engine` is one."""
    whole = f"""
import resource, sys
import pyengine

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

image = sys.argv[2]
with pyengine.Engine(sys.argv[1]) as engine:
    engine.start(image, ["echo", "warm"]).wait(timeout=60)
    before = peak()
{textwrap.indent(textwrap.dedent(script), "    ")}
    print(peak() - before)
"""
    command = [sys.executable, "-c", whole, str(tmp_path / "root"), image]
    told = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert told.stderr == ""
    return int(told.stdout)


def few_processes(engine, number):
    """The options that let a container have *number* of them: in its cgroup, or by what the
    users of our user namespace may have, who are nobody else's.
    """
    if "pids" in engine.capabilities():
        return {"pids": number}
    return {"ulimits": {"nproc": number}}


# --- using up (line 11) ---

BOMBS = {
    # a shell that cannot fork any more leaves: the first one forks once, while it still can
    "processes": (
        "bomb() { bomb | bomb & }; echo ready; (bomb) & while :; do :; done",
        {"pids": 60},
    ),
    "memory": (
        "echo ready; while :; do (busybox tail /dev/zero) 2>/dev/null; done",
        {"memory": "16m"},
    ),
    "shared memory": (
        "echo ready; while :; do busybox dd if=/dev/zero of=/dev/shm/$i bs=64k count=99 "
        "2>/dev/null; i=$((i+1)); done",
        {"shm_size": "1m"},
    ),
    "output": ("echo ready; busybox yes", {}),
    "a terminal": ("echo ready; busybox yes", {"tty": True}),
    "an endless line": ("echo ready; cat /dev/zero", {}),
    "files": (
        "echo ready; i=0; while :; do mkdir /tmp/$i; : > /tmp/$i/x; i=$((i+1)); done",
        {},
    ),
    "deep directories": ("echo ready; cd /tmp; while mkdir a; do cd a; done", {}),
    # a shell that cannot fork any more leaves: the one around it begins again
    "dead children": ("echo ready; while :; do (while :; do true & done); done", {"pids": 60}),
    "processor time": ("echo ready; while :; do :; done & while :; do :; done", {}),
    "signals": ("echo ready; trap : CHLD; while :; do kill -CHLD $$; done", {}),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_does_not_reach_its_host_and_is_ended(engine, image, kind):
    script, options = BOMBS[kind]
    if "pids" in options:
        options = few_processes(engine, options["pids"])
    with ticking() as ticks:
        container = started(engine, image, script, **options)
        wait_for_ticks(ticks, 20)
        assert engine.run(image, ["echo", "fine"], timeout=60).stdout == "fine\n"
        assert container.inspect().id == container.id
        container.kill()
        assert container.wait(timeout=60).exit_code == 137
    container.remove()
    assert engine.containers.list(all=True) == []


@pytest.mark.parametrize("kind", ["output", "an endless line", "a terminal"])
def test_a_flood_ends_with_the_program_that_was_put_inside(engine, image, kind):
    script, options = BOMBS[kind]
    container = engine.start(image, ["sleep", "1000"])
    process = container.popen(["sh", "-c", script], tty="tty" in options)
    with ticking() as ticks:
        assert b"ready" in process.stdout.read(64)
        wait_for_ticks(ticks, 10)
        process.kill()
        assert process.wait(timeout=60).exit_code == 137
    process.close()
    assert container.exec(["echo", "fine"]).stdout == "fine\n"


def test_out_of_memory_is_told_as_such(engine, image):
    with pytest.raises(OomKilled):
        engine.run(image, ["busybox", "tail", "/dev/zero"], memory="16m", check=True, timeout=60)


def test_shared_memory_counts_as_memory_and_has_its_own_limit(engine, image):
    fill = ["busybox", "dd", "if=/dev/zero", "of=/dev/shm/x", "bs=1M", "count=100"]
    told = engine.run(image, fill, timeout=60)
    assert told.exit_code == 1
    assert "No space left" in told.stderr
    told = engine.run(image, fill, memory="16m", memory_swap="16m", timeout=60)
    assert told.exit_code in (1, 137)


def test_descriptors_have_the_limit_that_was_asked_for(engine, image):
    script = 'i=3; while [ $i -lt 30 ]; do eval "exec $i</dev/null" || exit 9; i=$((i+1)); done'
    told = engine.run(image, ["sh", "-c", script], ulimits={"nofile": 20})
    assert told.exit_code != 0
    assert engine.run(image, ["sh", "-c", script], ulimits={"nofile": 64}).exit_code == 0


def test_a_flood_of_output_costs_a_ring_on_disk_and_no_memory(tmp_path, image):
    script = """
    flood = "busybox yes | head -c 100000000"
    container = engine.start(image, ["sh", "-c", flood])
    assert container.wait(timeout=200).exit_code == 0
    import glob, os
    files = [name for name in glob.glob(container.inspect().log_path + "*")]
    assert 0 < sum(map(os.path.getsize, files)) < 34 << 20, files
    """
    assert grown(tmp_path, image, script) < 64 << 10


def test_a_line_that_does_not_end_costs_no_memory_by_any_way_out(tmp_path, image):
    script = """
    line = ["busybox", "head", "-c", "200000000", "/dev/zero"]
    container = engine.start(image, line)
    total = sum(len(one.data) for one in container.follow_logs(timeout=200))
    assert 0 < total <= 200000000, total  # the log is a ring: it may be quicker than we are
    container = engine.start(image, "sleep 1000")
    process = container.popen(line)
    total = 0
    while data := process.stdout.read(1 << 16):
        total += len(data)
    assert total == 200000000, total
    assert process.wait(timeout=60).exit_code == 0
    process.close()
    """
    assert grown(tmp_path, image, script) < 64 << 10


def test_whoever_does_not_read_holds_up_nobody_else(engine, image):
    container = started(engine, image, "echo ready; busybox yes")
    with closing(container.follow_logs(timeout=60)) as lines, ticking() as ticks:
        next(lines)
        wait_for_ticks(ticks, 20)  # the follower sleeps, the flood goes on
        assert engine.run(image, ["echo", "fine"], timeout=60).stdout == "fine\n"
        container.kill()
        assert container.wait(timeout=60).exit_code == 137


def test_what_a_container_has_piled_up_is_removed_with_it(engine, image):
    script = (
        "busybox seq 1 20000 | (cd /tmp; busybox xargs touch); cd /root; "
        "i=0; while [ $i -lt 1500 ]; do mkdir a2345678; cd a2345678; i=$((i+1)); done;"
        "busybox chmod 000 /root; busybox chattr +i /tmp/1 2>/dev/null; ln -s /etc/passwd /root/x"
    )
    engine.run(image, ["sh", "-c", script], timeout=100)
    container = engine.create(image, ["sh", "-c", script])
    container.start()
    container.wait(timeout=100)
    container.remove()
    engine.close()
    left = [name for _, _, files in os.walk(engine.root) for name in files if name.isdigit()]
    assert left == []


# --- refusing to end (line 12) ---

STUBBORN = {
    "ignores every signal": "trap '' TERM INT HUP QUIT USR1 USR2 PIPE ALRM; echo ready; sleep 4711",
    "has no handlers": "echo ready; exec sleep 4711",
    "stops its children": "sleep 4711 & kill -STOP $!; echo ready; sleep 4711",
    "stops itself": "echo ready; kill -STOP $$; kill -TSTP $$; kill -STOP 1; sleep 4711",
    "starts others as it ends": (
        "trap 'while :; do busybox setsid sleep 4711 & done' TERM; echo ready;"
        " while :; do sleep 0.1; done"
    ),
    "hides in other sessions": (
        "for i in 1 2 3; do busybox setsid sh -c 'trap \"\" TERM HUP; sleep 4711' & done;"
        " echo ready; sleep 4711"
    ),
    "forks all the time": "echo ready; while :; do (sleep 4711 &); done",
}


@pytest.mark.parametrize("init", [False, True])
@pytest.mark.parametrize("kind", STUBBORN)
def test_who_will_not_end_is_ended(engine, image, survivors, kind, init):
    container = started(engine, image, STUBBORN[kind], init=init, **few_processes(engine, 100))
    container.stop(timeout=0.1)
    # 2: it could not start another one, and left
    assert container.wait(timeout=60).exit_code in (2, 137, 143)
    assert str(container.status) == "exited"
    assert survivors("sleep 4711") == []
    container.remove()


@pytest.mark.parametrize("kind", ["stops itself", "forks all the time"])
@pytest.mark.parametrize("way", ["kill", "remove", "close", "paused"])
def test_every_way_to_end_it_returns(engine, image, survivors, kind, way):
    container = started(engine, image, STUBBORN[kind], **few_processes(engine, 100))
    if way == "paused":
        container.pause()
        container.remove(force=True)
    elif way == "kill":
        container.kill()
    elif way == "remove":
        container.remove(force=True)
    else:
        engine.close()
    assert survivors("sleep 4711") == []


def test_programs_that_were_put_inside_end_with_the_container(engine, image, survivors):
    container = started(engine, image, "echo ready; sleep 4711")
    stubborn = "trap '' TERM HUP INT; echo in; busybox setsid sleep 4712 & sleep 4712"
    process = container.popen(["sh", "-c", stubborn])
    assert process.stdout.read(3) == b"in\n"
    container.stop(timeout=0.1)
    assert process.wait(timeout=60).exit_code == 137
    process.close()
    assert survivors("sleep 4711") == survivors("sleep 4712") == []


def test_many_may_end_it_at_once(engine, image):
    container = started(engine, image, STUBBORN["ignores every signal"])
    found: list[BaseException] = []

    def end(call):
        try:
            call()
        except EngineError:
            pass
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test tells
            found.append(error)

    calls = [
        *(lambda: container.stop(timeout=0.05) for _ in range(3)),
        *(lambda: container.kill() for _ in range(3)),
        *(lambda: container.remove(force=True) for _ in range(2)),
        lambda: container.wait("removed", timeout=60),
    ]
    threads = [threading.Thread(target=end, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert found == []
    assert engine.containers.list(all=True) == []
