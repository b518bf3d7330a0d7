"""The process that watches containers which belong to nobody: started when one is, gone after.

There is one for each root. It is nobody's child, and an owner like every other but for its
containers, which outlive it: see `containers.adopting`.
"""

from __future__ import annotations

import fcntl
import os
import resource
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pyengine.containers import asking, desk_protocol
from pyengine.containers.asking import KEEPER, Line, connect
from pyengine.containers.house import House
from pyengine.errors import EngineError, StoreError, TimedOut, Unsupported
from pyengine.linux import native
from pyengine.linux.plan import Plan, Step
from pyengine.store import records
from pyengine.store.layout import Layout

if TYPE_CHECKING:
    from pyengine.containers.desk import Desk

LINGER = 5.0
"""Seconds that a keeper with nothing to do waits for more."""

_PATIENCE = 30.0
_READY = b"ready"
_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


# --- who needs one ---


def ensure(layout: Layout) -> Line:
    """A connection to a keeper that lives; it is started if there is none.

    Raises `TimedOut`, and what went wrong in it.
    """
    with _locked(layout, fcntl.LOCK_SH):
        line = connect(layout, KEEPER)
    if line is not None:
        return line
    with _locked(layout, fcntl.LOCK_EX) as lock:
        line = connect(layout, KEEPER)
        if line is None:
            _launch(layout, lock)
            line = connect(layout, KEEPER)
    if line is None:
        raise StoreError(f"{layout.desks}/{KEEPER}", "the keeper ended at once", "see its log")
    return line


def start(house: House, container_id: str, *, stdin: object = None) -> None:
    """Have the keeper start a container; who waits here for its program hears it from there.

    Raises as `starting.start` does.
    """
    from pyengine.containers.attaching import Attachment

    with ensure(house.layout) as line:
        expected = house.expected(container_id)
        bound = []
        try:
            for waiting in expected:
                if isinstance(waiting, Attachment):
                    with ensure(house.layout) as another:
                        waiting.bind_remote(asking.attach(another, container_id, waiting.wishes))
                    bound.append(waiting)
            given = _descriptor(stdin)
            try:
                told, _ = line.ask("start", container_id, fds=() if given < 0 else (given,))
            finally:
                if given >= 0:
                    os.close(given)
        except BaseException:
            for waiting in bound:
                waiting.unbind()
            for one in expected:
                house.expect(container_id, one)
            raise
        for waiting in bound:
            waiting.begin(int(told.get("pid", 0)))
        for one in expected:  # the others see in its state that it runs
            if one not in bound:
                house.expect(container_id, one)
        if unenforced := told.get("unenforced"):
            from pyengine.containers import cautions

            cautions.warn(cautions.received(unenforced))


def _descriptor(source: object) -> int:
    """What the keeper reads *source* from; -1 where there is nothing. Raises `Unsupported`."""
    if source is None:
        return -1
    if isinstance(source, bytes):
        fd = os.memfd_create("pyengine-input", os.MFD_CLOEXEC)
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(source)
        os.lseek(fd, 0, os.SEEK_SET)
        return fd
    try:
        return os.dup(source if isinstance(source, int) else source.fileno())  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError) as error:
        missing = "the keeper reads it, and this object is only here"
        remedy = "give bytes or a file, or write to attach(stdin=True)"
        raise Unsupported("stdin= of a detached container", missing, remedy) from error


@contextmanager
def _locked(layout: Layout, how: int) -> Iterator[int]:
    try:
        fd = os.open(layout.keeper_lock, _LOCK_FLAGS, 0o600)
    except OSError as error:
        records.refuse(layout.keeper_lock, error)
    try:
        fcntl.flock(fd, how)
        yield fd
    finally:
        os.close(fd)


def _launch(layout: Layout, lock: int) -> None:
    from pyengine.containers import interpreter
    from pyengine.linux.hierarchy import Hierarchy

    Hierarchy.probe().settle()  # it is born where we live: then it divides no cgroup under our feet
    argv = interpreter.command("pyengine.containers.keeper", layout.root, layout.run)
    steps = Step("setsid", doing="start a session"), Step("chdir", "/"), Step("umask", flags=0o077)
    read, write = os.pipe2(os.O_CLOEXEC)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        try:
            plan = Plan(argv=argv, env=interpreter.environment(), parts=steps)
            child = native.spawn(plan, (lock, write, null))
        finally:
            os.close(write)
            os.close(null)
        _await_ready(child, read)
    finally:
        os.close(read)


def _await_ready(child: native.Child, read: int) -> None:
    """Wait for the keeper's first word; raises what it says instead."""
    said = b""
    try:
        if (failure := native.hear(child)) is not None:
            raise failure.error()
        poll = select.poll()
        poll.register(read, select.POLLIN)
        while len(said) < desk_protocol.MESSAGE:
            if not poll.poll(_PATIENCE * 1000):
                raise TimedOut("starting the keeper", _PATIENCE)
            piece = os.read(read, 4096)
            if not piece:
                break
            said += piece
    except BaseException:
        native.end(child)
        raise
    native.bury(child)
    if said != _READY:
        if said:
            desk_protocol.unpack_answer(said)
        raise StoreError("the keeper", "it ended before it was ready")


# --- the keeper itself ---


def main() -> int:
    """Keep the containers of a root: ``ROOT RUN``. Who starts it waits for the first line.

    Its standard input is the lock under which it is started.
    """
    root, run = sys.argv[1:3]
    ready, tell = os.pipe()
    if os.fork():
        os.close(tell)
        with os.fdopen(ready, "rb") as file:
            os.write(1, file.read())
        return 0
    os.close(ready)
    lock = os.dup(0)  # whoever starts us may be killed: until we are there nobody starts another
    _leave_starter()
    house = House(Layout(root, run), keeps=True)
    try:
        desk = _open(house)
    except (EngineError, OSError) as error:
        os.write(tell, desk_protocol.pack_error(_told(error)))
        house.end_close()
        return 1
    finally:
        os.close(lock)
    os.write(tell, _READY)
    os.close(tell)
    while not _leaves(house, desk):
        pass
    return 0


def _told(error: EngineError | OSError) -> EngineError:
    """What who started us is told."""
    if isinstance(error, EngineError):
        return error
    return StoreError(str(error.filename), error.strerror or str(error), "see what is there")


def _leave_starter() -> None:
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    os.close(null)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:  # some descriptors for each container
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _open(house: House) -> Desk:
    from pyengine.containers import adopting, sharing

    house.enter()
    _open_door(house)
    adopting.adopt_all(house)
    sharing.watch_all(house)
    house.open_desk()
    desk = house.desk
    if desk is None:
        raise StoreError(house.layout.desks, "no socket can be made there", "use another run_root=")
    staged, path = f"{house.layout.desks}/{KEEPER}.new", f"{house.layout.desks}/{KEEPER}"
    for one in (staged, path):
        if os.path.lexists(one) and not os.path.islink(one):
            raise StoreError(one, "is no keeper's name", "move it away")
    try:
        if os.path.lexists(staged):
            os.unlink(staged)
        os.symlink(desk.name, staged)
        os.rename(staged, path)
    except OSError as error:
        records.refuse(path, error)
    return desk


def _open_door(house: House) -> None:
    """What our guard keeps for who comes after us has to be asked for somewhere."""
    _ = house.catalog.owner  # with it comes the guard
    try:
        house.guard.open_door()
    except OSError as error:  # then he finds what has a name
        if house.logger is not None:
            house.logger.warning("nothing is kept: %s", error)


def _leaves(house: House, desk: Desk) -> bool:
    """Wait until there is nothing to do, and leave if that stays so."""
    for running in list(house.running.values()):
        running.done.wait()
    is_quiet = desk.wait_quiet(LINGER)
    if _is_busy(house):
        desk.is_leaving = False
        return False
    if not is_quiet:
        return False
    fd = os.open(house.layout.keeper_lock, _LOCK_FLAGS, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        from pyengine.containers import ending

        if desk.admit() or _is_busy(house):  # who has asked before we held the lock
            return False
        _take_name_back(house.layout, desk)
        ending.conclude_all(house)
        house.begin_close()
        house.end_close()
    finally:
        os.close(fd)
    return True


def _take_name_back(layout: Layout, desk: Desk) -> None:
    path = f"{layout.desks}/{KEEPER}"
    with suppress(OSError):  # somebody has cleared up, or has to
        if os.readlink(path) == desk.name:
            os.unlink(path)


def _is_busy(house: House) -> bool:
    return bool(house.delays) or any(not one.done.is_set() for one in house.running.values())


if __name__ == "__main__":
    sys.exit(main())
