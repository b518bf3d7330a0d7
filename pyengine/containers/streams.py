"""The streams of a program that outlives who watches it: FIFOs, which the next watcher finds.

The program opens its outputs for reading as well, so what it says waits in them while nobody
listens, and it never gets SIGPIPE; who listens sees the end when its last process has closed
them (fifo(7)). Its input it opens for reading only, or it could never see the end of it.
"""

from __future__ import annotations

import os
from contextlib import suppress

from pyengine.store import records
from pyengine.store.layout import Layout

_OUTPUTS = ("out", "err")
_INPUT = "in"
_THEIRS = os.O_RDWR | os.O_CLOEXEC
_OURS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC

Ends = tuple[int, int, int]
"""Standard input, output and error; -1 where there is none."""


def open_kept(layout: Layout, container_id: str, *, reads: bool) -> tuple[Ends, Ends]:
    """Make the streams of a container that starts: the program's ends, and ours.

    Raises `StoreError`.
    """
    place = layout.streams(container_id)
    remove(layout, container_id)  # of a run before
    opened: list[int] = []
    try:
        os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)
        os.mkdir(place, 0o700)
        for name in (*_OUTPUTS, *((_INPUT,) if reads else ())):
            os.mkfifo(f"{place}/{name}", 0o600)
        for name in _OUTPUTS:
            opened.append(os.open(f"{place}/{name}", _THEIRS))
            opened.append(_blocking(f"{place}/{name}"))
        opened += _open_input(f"{place}/{_INPUT}") if reads else _no_input()
    except OSError as error:
        for fd in opened:
            if fd >= 0:
                os.close(fd)
        records.refuse(place, error)
    their_out, out, their_err, err, their_in, stdin = opened
    return (their_in, their_out, their_err), (stdin, out, err)


def reopen(layout: Layout, container_id: str) -> Ends:
    """Our ends of the streams of a program that runs already; -1 for what is gone."""
    place = layout.streams(container_id)
    out, err = (_reopened(f"{place}/{name}", _OURS) for name in _OUTPUTS)
    # there is somebody who reads it, or this fails: it is nobody's input any more
    return _reopened(f"{place}/{_INPUT}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC), out, err


def remove(layout: Layout, container_id: str) -> None:
    """Give back the names of a program's streams."""
    place = layout.streams(container_id)
    try:
        for name in (*_OUTPUTS, _INPUT):
            with suppress(FileNotFoundError):
                os.unlink(f"{place}/{name}")
        os.rmdir(place)
    except FileNotFoundError:
        return
    except OSError as error:
        records.refuse(place, error)


def _blocking(path: str) -> int:
    """Open *path* for reading as a pipe's end is: only to open it we must not wait."""
    fd = os.open(path, _OURS)
    os.set_blocking(fd, True)
    return fd


def _open_input(path: str) -> tuple[int, int]:
    read = _blocking(path)
    try:
        return read, os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        os.close(read)
        raise


def _no_input() -> tuple[int, int]:
    """An input that is at its end."""
    read, write = os.pipe2(os.O_CLOEXEC)
    os.close(write)
    return read, -1


def _reopened(path: str, flags: int) -> int:
    try:
        fd = os.open(path, flags)
    except OSError:
        return -1
    os.set_blocking(fd, True)
    return fd
