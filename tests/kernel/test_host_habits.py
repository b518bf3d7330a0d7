"""A host program may have unusual habits: neither they nor we are disturbed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading

import pytest

import pyengine

pytestmark = pytest.mark.kernel


@pytest.fixture
def umask():
    """Sets the umask; as it was, afterwards."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize("mask", [0o000, 0o027, 0o077, 0o777])
def test_the_umask_of_the_host_changes_nothing_and_is_not_changed(tmp_path, image, umask, mask):
    tmp_path.chmod(0o755)
    umask(mask)
    with pyengine.Engine(root=tmp_path / "engine") as engine:
        looking = [
            "sh",
            "-c",
            "umask; stat -c %a / /dev/shm /view; > /tmp/new; stat -c %a /tmp/new; id -u",
        ]
        view = {"volumes": [f"{tmp_path}:/view:O"]}
        told = engine.run(image, looking, user="1000", **view).stdout.split()
        container = engine.start(image, "sleep 99", name="kept", **view)
        inside = container.exec(looking, user="1000").stdout.split()
        modes = {
            path: os.stat(path).st_mode & 0o7777
            for path in (engine.root, f"{engine.root}/owners", f"{engine.root}/names")
        }
    assert told == inside == ["0022", "755", "1777", "755", "644", "1000"]
    assert {mode & 0o077 for mode in modes.values()} == {0}
    assert os.umask(0) == mask


def test_nobody_else_may_read_what_we_keep_whatever_the_umask(tmp_path, image, umask):
    umask(0)
    with pyengine.Engine(root=tmp_path / "engine") as engine:
        engine.start(image, ["echo", "secret"]).wait()
        found = {
            f"{above}/{name}": os.lstat(f"{above}/{name}").st_mode & 0o007
            for above, _, files in os.walk(f"{engine.root}/owners")
            for name in files
            if name.endswith((".json", ".log"))
        }
    assert len(found) >= 3
    assert set(found.values()) == {0}


def test_five_hundred_inheritable_descriptors_are_not_the_container_s(engine, image):
    read, write = os.pipe()
    many = [os.dup(write) for _ in range(500)]
    for fd in many:
        os.set_inheritable(fd, True)
    try:
        looking = ["sh", "-c", "ls /proc/self/fd | wc -l"]
        told = engine.run(image, looking).stdout
        container = engine.start(image, "sleep 99")
        inside = container.exec(looking).stdout
        container.remove(force=True)
        assert told == inside == "4\n"  # its own three, and the one it lists them with
        assert all(os.get_inheritable(fd) for fd in many)
    finally:
        for fd in many:
            os.close(fd)
    os.close(write)
    assert os.read(read, 1) == b""  # nobody has kept one
    os.close(read)


def test_a_host_that_reaps_in_its_handler_of_sigchld_gets_no_child_of_ours(engine, image):
    reaped = []

    def reap(*_):
        try:
            while (found := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                reaped.append(found)
        except ChildProcessError:
            pass

    before = signal.signal(signal.SIGCHLD, reap)
    try:
        codes = [engine.run(image, ["sh", "-c", f"exit {n}"]).exit_code for n in range(10)]
        container = engine.start(image, "sleep 99")
        codes += [container.exec(["sh", "-c", f"exit {n}"]).exit_code for n in range(10)]
        own = subprocess.Popen(["true"])
        own.wait()
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert codes == [*range(10), *range(10)]


def test_children_of_the_host_are_its_own(engine, image):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(33)
    os.close(read)
    engine.run(image, "true")
    engine.start(image, "sleep 99").remove(force=True)
    os.close(write)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 33


def test_an_asyncio_loop_runs_its_programs_beside_ours(engine, image):
    async def work():
        loop = asyncio.get_running_loop()
        ours = [
            loop.run_in_executor(
                None, lambda n=n: engine.run(image, ["sh", "-c", f"exit {n}"]).exit_code
            )
            for n in range(8)
        ]
        own = [await asyncio.create_subprocess_exec("sh", "-c", f"exit {n}") for n in range(20, 28)]
        return await asyncio.gather(*ours), [await process.wait() for process in own]

    assert asyncio.run(work()) == ([*range(8)], [*range(20, 28)])


def test_threads_that_allocate_and_log_do_not_disturb_births(engine, image):
    done = threading.Event()
    logger = logging.getLogger("habits")
    logger.addHandler(logging.NullHandler())

    def busy():
        while not done.is_set():
            logger.error("%s", bytearray(100_000)[:10])
            done.wait(0.001)

    threads = [threading.Thread(target=busy) for _ in range(64)]
    for thread in threads:
        thread.start()
    try:
        container = engine.start(image, "sleep 99")
        for number in range(20):
            assert engine.run(image, ["sh", "-c", f"exit {number}"]).exit_code == number
            assert container.exec(["echo", str(number)]).stdout == f"{number}\n"
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_nothing_of_the_host_s_environment_is_inside(engine, image, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2-of-the-host")
    container = engine.start(image, "sleep 99")
    looking = ["sh", "-c", "env; cat /proc/1/environ /proc/self/environ | tr '\\0' '\\n'"]
    told = container.exec(looking).stdout + engine.run(image, looking).stdout
    assert "hunter2" not in told
    assert "SECRET_TOKEN" not in told


_HOST = """
import os, signal, sys, threading
import pyengine
ignored = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD]
for number in ignored:
    signal.signal(number, signal.SIG_IGN)
before = [signal.getsignal(number) for number in signal.valid_signals()]
environment, place, mask = dict(os.environ), os.getcwd(), os.umask(0o13)
with pyengine.Engine(root=sys.argv[1]) as engine:
    container = engine.start(sys.argv[2], "sleep 99")
    status = container.exec(["grep", "SigIgn", "/proc/self/status"]).stdout
    status += engine.run(sys.argv[2], ["grep", "SigIgn", "/proc/self/status"]).stdout
    container.stop(timeout=0)
assert status.split()[1::2] == ["0" * 16] * 2, status
assert [signal.getsignal(number) for number in signal.valid_signals()] == before
assert (dict(os.environ), os.getcwd(), os.umask(0)) == (environment, place, 0o13)
assert threading.active_count() == 1
sys.exit(77)
"""


def test_signals_environment_directory_and_exit_code_of_the_host_stay_its_own(tmp_path, image):
    home = os.path.dirname(os.path.dirname(os.path.abspath(pyengine.__file__)))
    told = subprocess.run(
        [sys.executable, "-c", _HOST, str(tmp_path / "engine"), image],
        env={**os.environ, "PYTHONPATH": home},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (told.returncode, told.stdout, told.stderr) == (77, "", "")
