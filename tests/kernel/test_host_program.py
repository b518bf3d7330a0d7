"""An engine lives in the program of somebody: neither disturbs the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

import pyengine
from pyengine import ForeignProcess

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]


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
