"""Input for a program from a file or a descriptor of its user, carried by a thread."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from typing import Any

_PIECE = 1 << 16


class Feeder:
    """Copies *source* into the pipe *target* until either ends; *on_end* is called then.

    *source* is a descriptor, or an object with ``read`` (and maybe ``fileno``). A descriptor is
    never handed to the program itself: what runs inside holds nothing of the host. *target* is
    the feeder's to close.
    """

    def __init__(self, source: Any, target: int, on_end: Callable[[], None]) -> None:
        self._target = target
        self._on_end = on_end
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._fd = _descriptor(source)
        self._is_descriptor = self._fd >= 0
        self._source = source
        self._lock = threading.Lock()
        self._users = 2
        work = self._copy_file if self._fd < 0 else self._copy_descriptor
        self._thread = threading.Thread(
            target=self._run, args=(work,), name="pyengine-input", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop copying. A ``read`` that waits for its file is not waited for."""
        os.eventfd_write(self._stop, 1)
        if self._is_descriptor:
            self._thread.join()
        self._release()

    def _release(self) -> None:
        """The last of the two who use the eventfd closes it."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                os.close(self._stop)

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            os.close(self._target)
            if self._fd >= 0:
                os.close(self._fd)
            self._on_end()
            self._release()

    def _copy_descriptor(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._target, select.POLLERR)
        poll.register(self._stop, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self._target in ready or self._stop in ready:
                return
            data = os.read(self._fd, _PIECE)
            if not data or not self._give(data):
                return

    def _copy_file(self) -> None:
        while data := self._source.read(_PIECE):
            if isinstance(data, str):
                data = data.encode()
            if not self._give(data):
                return

    def _give(self, data: bytes) -> bool:
        """Write all of it, unless the program takes no more or we are to stop."""
        os.set_blocking(self._target, False)
        poll = select.poll()
        poll.register(self._target, select.POLLOUT)
        poll.register(self._stop, select.POLLIN)
        rest = memoryview(data)
        while rest:
            if self._stop in dict(poll.poll()):
                return False
            try:
                rest = rest[os.write(self._target, rest) :]
            except BlockingIOError:
                continue
            except OSError:  # EPIPE: it reads no more
                return False
        return True


def _descriptor(source: Any) -> int:
    """A descriptor of our own for *source*; -1 where it has none."""
    if isinstance(source, int):
        return os.dup(source)
    try:
        return os.dup(source.fileno())
    except (AttributeError, OSError, ValueError):
        return -1
