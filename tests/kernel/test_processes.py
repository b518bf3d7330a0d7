"""What runs in a container and what it uses, as the host sees it; and the host's own program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
from shells import ready

import pyengine
from pyengine import ForeignProcess, InvalidRequest, Unsupported, WrongState

pytestmark = pytest.mark.kernel


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
    assert (first.uid, first.name, first.terminal) == (1000, "sh", "?")
    assert found["sleep 4751"].ppid == first.pid
    assert found["sleep 4752"].uid == 0
    with open(f"/proc/{found['sleep 4751'].pid}/cmdline") as file:
        assert file.read() == "sleep\0" "4751\0"


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


def test_what_does_not_run_has_no_processes(engine, image):
    # O17
    container = engine.create(image, "true")
    with pytest.raises(WrongState, match="is not running"):
        container.top()
    paused = engine.start(image, "sleep 99")
    paused.pause()
    assert [process.command for process in paused.top()] == ["sleep 99"]


# --- what it uses (O18, O19, pitfall 15) ---


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


def test_memory_that_can_be_dropped_is_not_shown_as_used(engine, image):
    # O19, pitfall 15: files that the kernel keeps for the container
    script = "head -c 20000000 /dev/zero > /x; cat /x > /dev/null; sync; echo ready; exec sleep 99"
    stats = ready(engine, image, script, memory="128m").stats()
    assert stats.memory.used >= 10_000_000
    assert stats.memory_usage < stats.memory.used
    assert stats.memory_percent == pytest.approx(stats.memory_usage / (128 << 20) * 100)


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


def test_a_network_is_counted_from_inside(engine, image):
    # O19: a loopback is no network
    assert engine.start(image, "sleep 99").stats().networks == {}
    assert engine.start(image, "sleep 99", network="host").stats().networks == {}


# --- the host's own program ---


def test_who_reaps_every_child_does_not_disturb_exit_codes(engine, image):
    stop = threading.Event()
    reaped = []

    def reap():
        while not stop.is_set():
            try:
                reaped.append(os.waitpid(-1, os.WNOHANG))
            except ChildProcessError:
                os.sched_yield()

    reaping = threading.Thread(target=reap)
    reaping.start()
    try:
        codes = [engine.run(image, ["sh", "-c", f"exit {n}"]).exit_code for n in range(20)]
        container = engine.start(image, "sleep 99")
        joined = [container.exec(["sh", "-c", f"exit {n}"]).exit_code for n in range(20)]
    finally:
        stop.set()
        reaping.join()
    assert codes == joined == list(range(20))


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL, lambda *_: None])
def test_whatever_the_host_does_with_sigchld_stays_and_disturbs_nothing(engine, image, handler):
    before = signal.signal(signal.SIGCHLD, handler)
    try:
        assert engine.run(image, ["sh", "-c", "exit 7"]).exit_code == 7
        assert engine.start(image, "sleep 99").exec(["sh", "-c", "exit 8"]).exit_code == 8
        assert signal.getsignal(signal.SIGCHLD) == handler
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_signals_that_the_host_blocks_stay_blocked_and_are_not_the_container_s(engine, image):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
    try:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        looking = ["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"]
        told = engine.run(image, looking).stdout.split()
        inside = engine.start(image, "sleep 99").exec(looking).stdout.split()
        assert told[1::2] == inside[1::2] == ["0" * 16] * 2
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_fork_of_the_host_is_told_and_harms_nothing(engine, image):
    container = engine.start(image, "sleep 99")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # everything may happen here but a return into the tests
        said = []
        asks = (
            lambda: engine.run(image, "true"),
            lambda: engine.containers.list(),
            lambda: container.exec("true"),
            lambda: container.kill(),
            lambda: container.status,
        )
        for ask in asks:
            try:
                said.append(f"nothing: {ask()}")
            except Exception as error:  # noqa: BLE001
                said.append(type(error).__name__)
        engine.close()
        os.write(write, " ".join(said).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read().decode() == " ".join([ForeignProcess.__name__] * 5)
    assert os.waitpid(child, 0)[1] == 0
    assert container.exec("true")
    assert container.status == "running"


def test_a_fork_that_ends_as_programs_do_harms_nothing(tmp_path, image):
    # with atexit, finalizers, and threads that stayed behind
    script = f"""
import os, pyengine
engine = pyengine.Engine(root={str(tmp_path / "forked")!r})
container = engine.start({image!r}, "sleep 99")
container.exec("true")
if os.fork() == 0:
    raise SystemExit(5)
print(os.waitstatus_to_exitcode(os.wait()[1]), container.status, bool(container.exec("true")))
"""
    home = os.path.dirname(os.path.dirname(os.path.abspath(pyengine.__file__)))
    told = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": home},
        timeout=60,
        check=False,
    )
    assert (told.stdout, told.stderr, told.returncode) == ("5 running True\n", "", 0)
    assert os.listdir(tmp_path / "forked/owners") == []


def test_a_fork_makes_an_engine_of_its_own(engine, image):
    engine.run(image, "true")
    child = os.fork()
    if child == 0:
        code = 99
        try:
            with pyengine.Engine(root=engine.root) as own:
                code = own.run(image, ["sh", "-c", "exit 42"]).exit_code
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def test_many_threads_start_and_end_containers_at_once(engine, image):
    ends = []

    def work(number):
        container = engine.start(image, "cat", stdin_open=True, name=f"cat{number}")
        assert container.exec(["echo", "hi"]).stdout == "hi\n"
        container.attach(stdin=True).stdin.close()
        ends.append(container.wait(timeout=30).exit_code)
        container.remove()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert ends == [0] * 16
    assert engine.containers.list(all=True) == []


def test_an_engine_that_is_not_used_does_nothing(tmp_path):
    before = threading.active_count()
    with pyengine.Engine(root=tmp_path / "unused"):
        assert not (tmp_path / "unused").exists()
    assert threading.active_count() == before


def test_an_engine_that_nobody_holds_ends_its_containers(tmp_path, image, survivors):
    engine = pyengine.Engine(root=tmp_path / "dropped")
    engine.start(image, "sleep 4753")
    del engine
    assert survivors("sleep 4753") == []
    assert os.listdir(tmp_path / "dropped/owners") == []


def test_a_closed_engine_says_so(tmp_path, image):
    engine = pyengine.Engine(root=tmp_path / "closed")
    container = engine.start(image, "sleep 99")
    engine.close()
    engine.close()
    for ask in (lambda: engine.run(image, "true"), container.start, container.inspect):
        with pytest.raises(pyengine.EngineClosed):
            ask()
