"""A host that has no space, no processes, no descriptors left: an error that says so, nothing left,
and the engine works on once there is some again (line 28 of the threats, for what is built)."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from contextlib import contextmanager

import pytest

from pyengine import ContainerNotFound, Engine, EngineError, NoSpace, StoreError, TimedOut
from pyengine.containers import waiting

pytestmark = pytest.mark.kernel

PRELUDE = """
import os, sys
import pyengine
from pyengine import EngineError, KernelError, NoSpace, StoreError

root, image = sys.argv[1:3]

def attempt(call):
    try:
        return call()
    except EngineError as error:
        assert "\\n" not in str(error) and len(str(error)) > 15, str(error)
        return error

def fds():
    return len(os.listdir("/proc/self/fd"))
"""


def script(body: str, tmp_path, image: str, *more: str, **options: object) -> str:
    """What a host program of its own says; it has to end well, and with nothing on stderr."""
    whole = PRELUDE + textwrap.dedent(body)
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", whole, str(tmp_path / "root")]
    told = subprocess.run(
        [*command, image, *more], capture_output=True, text=True, timeout=120, **options
    )
    if told.returncode or told.stderr:
        pytest.fail(f"{told.stdout}\n{told.stderr}")
    return told.stdout


# --- descriptors ---

FEW_DESCRIPTORS = """
    import resource

    nothing = fds()
    with pyengine.Engine(root) as engine:
        engine.run(image, "true")
        container = engine.start(image, "sleep 1000")
        container.exec("true")
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        before = fds()
        kinds, worked = set(), 0
        for free in range(60):
            resource.setrlimit(resource.RLIMIT_NOFILE, (before + free, hard))
            for call in (
                lambda: engine.run(image, ["echo", "x"], timeout=60),
                lambda: engine.run(image, ["echo", "x"], timeout=60, tty=True),
                lambda: container.exec(["echo", "x"], timeout=60),
                lambda: container.exec(["echo", "x"], timeout=60, user="app"),
                lambda: container.inspect(),
                lambda: container.stats(),
                lambda: engine.start(image, ["true"], auto_remove=True).id,
            ):
                came = attempt(call)
                if isinstance(came, EngineError):
                    text = str(came)
                    assert "EMFILE" in text or "oo many open files" in text, (free, repr(came))
                    kinds.add(type(came).__name__)
                else:
                    worked += 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for one in engine.containers.list(all=True):
            if one != container:
                one.wait(timeout=60)
                attempt(lambda: one.remove(force=True))
        assert engine.run(image, ["echo", "fine"]).stdout == "fine\\n"
        assert container.exec(["echo", "fine"]).stdout == "fine\\n"
        left = [one for one in engine.containers.list(all=True) if one != container]
        assert left == [], left
        ours = set()
        for thread in os.listdir("/proc/self/task"):
            with open("/proc/self/task/%s/children" % thread) as file:
                ours |= set(file.read().split())
        assert len(ours) == 2, ours  # the joiner, and what still runs
    assert kinds and worked, (kinds, worked)
    assert fds() <= nothing + 4, (nothing, fds())  # three programs and a pidfd of our own
    print(*sorted(kinds))
"""


def test_too_few_descriptors_are_told_and_nothing_is_left(tmp_path, image):
    assert script(FEW_DESCRIPTORS, tmp_path, image).strip()


# --- processes ---


@contextmanager
def few_processes(limit: int):
    """A cgroup that lets nobody in it have more than *limit* tasks; its ``cgroup.procs``."""
    for tree in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup"):
        group = f"{tree}/pyengine-test-{os.getpid()}"
        try:
            os.mkdir(group)
        except OSError:
            continue
        if not os.path.exists(f"{group}/pids.max"):
            os.rmdir(group)
            continue
        try:
            with open(f"{group}/pids.max", "w", encoding="ascii") as file:
                file.write(str(limit))
            yield group
        finally:
            os.rmdir(group)
        return
    pytest.fail("this host has no pids controller for us: the test needs one")


FEW_PROCESSES = """
    group = sys.argv[3]

    def allow(number):
        with open(group + "/pids.max", "w") as file:
            file.write(str(number))

    with open(group + "/cgroup.procs", "w") as file:
        file.write("0")
    with pyengine.Engine(root) as engine:
        failed = worked = 0
        for warm in (False, True):
            for limit in range(1, 12):
                allow(limit)
                for call in (
                    lambda: engine.run(image, ["echo", "x"], timeout=60),
                    lambda: engine.start(image, ["true"], auto_remove=True).id,
                ):
                    came = attempt(call)
                    if isinstance(came, EngineError):
                        assert "EAGAIN" in str(came) or "thread" in str(came), repr(came)
                        failed += 1
                    else:
                        worked += 1
        allow("max")
        for one in engine.containers.list(all=True):
            attempt(lambda: one.wait(timeout=60))
            attempt(lambda: one.remove(force=True))
        assert engine.run(image, ["echo", "fine"]).stdout == "fine\\n"
        assert engine.containers.list(all=True) == []
        print(failed, worked)
    with open(group + "/../cgroup.procs", "w") as file:
        file.write("0")
"""


def test_too_few_processes_are_told_and_nothing_is_left(tmp_path, image):
    # the host program's own tasks count; those of containers are elsewhere once they are born
    with few_processes(100) as group:
        failed, worked = script(FEW_PROCESSES, tmp_path, image, group).split()
    assert int(failed) > 0
    assert int(worked) > 0


def test_too_few_processes_inside_are_the_container_s_own_affair(engine, image):
    container = engine.start(image, ["sleep", "1000"], pids=2)
    told = container.exec(["sh", "-c", "true & true & true & wait"], timeout=60)
    assert "can't fork" in told.stderr
    assert engine.run(image, ["echo", "fine"]).stdout == "fine\n"


# --- space ---


@contextmanager
def small_disk(path, size: str):
    """A file system of *size* at *path*."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def fill(path) -> None:
    """Leave no space at *path*."""
    with open(path / "filler", "wb", buffering=0) as file:
        until_full(lambda: file.write(bytes(1 << 16)))


def until_full(write) -> None:
    """Write until it is refused."""
    refusal = None
    while refusal is None:
        try:
            write()
        except OSError as error:
            refusal = error.errno
    assert refusal == errno.ENOSPC


def until_refused(engine, make, but) -> EngineError:
    """What *make* raises once there is no space; until then, what it makes is removed."""
    for _ in range(5):  # a spare home or two were made before
        try:
            make()
        except EngineError as error:
            return error
        for one in engine.containers.list(all=True):
            if one != but:
                one.wait(timeout=30)
                one.remove(force=True)
    return pytest.fail("it found space")


def once_there_is_space(call):
    """What has been removed goes a little later: until then there may be none."""
    for _ in range(1000):
        try:
            return call()
        except NoSpace:
            os.sched_yield()
    return pytest.fail("what was removed is still there")


@pytest.mark.parametrize("inodes", [False, True])
def test_a_disk_without_space_is_told_and_nothing_is_left(tmp_path, image, inodes):
    size = "4m,nr_inodes=60" if inodes else "256k"
    with small_disk(tmp_path / "disk", size) as disk, Engine(disk / "root") as engine:
        container = engine.start(image, ["sleep", "1000"])
        if inodes:
            numbers = iter(range(1000))
            until_full(lambda: (disk / f"filler{next(numbers)}").touch())
        else:
            fill(disk)
        for make in (
            lambda: engine.run(image, ["true"], name="wanted"),
            lambda: engine.create(image, ["true"], name="wanted").start(),
            lambda: engine.start(image, ["true"], name="wanted"),
        ):
            error = until_refused(engine, make, container)
            assert isinstance(error, NoSpace), error
            assert "o space left" in str(error)
            for one in engine.containers.list(all=True):  # the one that was made and not started
                if one != container:
                    one.remove()
        assert [one.id for one in engine.containers.list(all=True)] == [container.id]
        assert container.exec(["echo", "fine"]).stdout == "fine\n"
        for path in disk.glob("filler*"):
            path.unlink()
        assert engine.run(image, ["echo", "fine"], name="wanted").stdout == "fine\n"
        assert [one.id for one in engine.containers.list(all=True)] == [container.id]


def test_a_disk_that_fills_while_a_program_writes_ends_neither_it_nor_us(tmp_path, image):
    with small_disk(tmp_path / "disk", "2m") as disk, Engine(disk / "root") as engine:
        script = "busybox dd if=/dev/zero of=/x bs=64k 2>&1; echo over; busybox seq 1 9999; exit 3"
        container = engine.create(image, ["sh", "-c", script])
        container.start()
        assert container.wait(timeout=60).exit_code == 3
        assert container.inspect().state.exit_code == 3  # though it could not be written down
        assert str(container.status) == "exited"
        container.remove()
        once_there_is_space(lambda: engine.run(image, ["echo", "fine"]))


def test_who_waits_for_a_removal_sleeps_though_the_end_was_not_written(
    tmp_path, image, monkeypatch
):
    looks, look = [], waiting._end_of
    monkeypatch.setattr(waiting, "_end_of", lambda *about: looks.append(about) or look(*about))
    with small_disk(tmp_path / "disk", "2m") as disk, Engine(disk / "root") as engine:
        container = engine.start(image, ["cat"], stdin_open=True, name="mute")
        fill(disk)
        container.kill()
        with pytest.raises(TimedOut):
            container.wait("removed", timeout=0.3)
        assert len(looks) == 1
        container.remove()
        with pytest.raises(ContainerNotFound):
            container.wait("removed")


def test_a_disk_that_may_not_be_written_is_told(tmp_path, image):
    with small_disk(tmp_path / "disk", "2m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with Engine(disk / "root") as engine, pytest.raises(StoreError) as caught:
            engine.run(image, ["true"])
        assert "ead-only file system" in str(caught.value)
        assert str(disk) in str(caught.value)
