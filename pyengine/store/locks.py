"""Locks on files, for processes and threads that share an engine's root.

A lock is flock(2)'s, so it ends with who holds it, however that is. Who waits asks again and
again instead of sleeping in the kernel, because only so can it be told to stop.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyengine.store import disk, records

Waiting = Callable[[], object]
"""Called now and then while somebody waits; what it raises ends the waiting."""

_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_FIRST, _LONGEST = 0.001, 0.01  # seconds between two questions


def acquire(path: str, waiting: Waiting | None = None, *, shared: bool = False) -> int:
    """An fd of the file *path*, made if it is not there, that holds its lock; `release` it.

    The lock is that of the file which has the name now, not of one that lost it meanwhile.
    Raises `StoreError`, and what *waiting* raises.
    """
    while True:
        fd = _open(path)
        try:
            _wait_for(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, waiting)
            if _is_at(fd, path):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def try_acquire(path: str) -> int | None:
    """As `acquire`, or `None` where somebody else has the lock, or there is no such file."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    if try_lock(fd) and _is_at(fd, path):
        return fd
    os.close(fd)
    return None


def try_acquire_new(path: str) -> int | None:
    """As `acquire`, or `None` where somebody else has the lock. Raises `StoreError`."""
    fd = _open(path)
    if try_lock(fd) and _is_at(fd, path):
        return fd
    os.close(fd)
    return None


def _open(path: str) -> int:
    try:
        return os.open(path, _OPEN, 0o600)
    except FileNotFoundError:
        disk.make_directories(os.path.dirname(path))
        return _open(path)
    except OSError as error:
        records.refuse(path, error)


def try_lock(fd: int) -> bool:
    """Whether *fd* has its lock now, to itself."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def release(fd: int) -> None:
    """Give the lock of *fd* back; a child that was forked meanwhile does not keep it."""
    fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


@contextmanager
def shared(path: str, waiting: Waiting | None = None) -> Iterator[None]:
    """Hold the lock *path* together with others who want it shared."""
    fd = acquire(path, waiting, shared=True)
    try:
        yield
    finally:
        release(fd)


@contextmanager
def exclusive(path: str, waiting: Waiting | None = None) -> Iterator[None]:
    """Hold the lock *path* alone."""
    fd = acquire(path, waiting)
    try:
        yield
    finally:
        release(fd)


@contextmanager
def passing(path: str, waiting: Waiting | None = None) -> Iterator[None]:
    """Hold the lock *path* alone; its file is there only as long as somebody wants it."""
    fd = acquire(path, waiting)
    try:
        yield
    finally:
        try:
            os.unlink(path)  # who waits for it sees that it lost its name, and makes another
        except FileNotFoundError:
            pass
        release(fd)


def _wait_for(fd: int, how: int, waiting: Waiting | None) -> None:
    pause, never = _FIRST, threading.Event()
    while True:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting()
            never.wait(pause)
            pause = min(2 * pause, _LONGEST)
        else:
            return


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False
