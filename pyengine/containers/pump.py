"""A program's output read as it comes, and its input written as it is taken, without waiting."""

from __future__ import annotations

import fcntl
import os
import select
import threading
import time
from collections.abc import Callable, Iterator

Sink = Callable[[str, bytes, int], bool]
"""Takes what *stream* said, and when (nanoseconds since 1970); False: no more for the moment."""

_READ = select.POLLIN | select.POLLHUP | select.POLLERR
_WRITE = select.POLLOUT | select.POLLERR
_SMALL, _LARGE = 1 << 16, 1 << 20

KEEP, PAUSE, DROP = range(3)
"""What `Pump.ready` wants done with a descriptor: go on, no reading until told, close it.

It is closed by who polls it, after he has forgotten it: a number that is free may be somebody
else's the next moment.
"""


class Pump:
    """The streams of one program: outputs by their fd, and one input.

    The descriptors are the pump's: those it has not given up with `DROP` it closes in `close`.
    """

    def __init__(self, outputs: dict[int, str], sink: Sink, stdin: int = -1, given: bytes = b""):
        self._outputs = outputs
        self._sink = sink
        self._size = _SMALL
        self._stdin = stdin
        self._given = memoryview(given)
        self._paused: set[int] = set()
        self._lock = threading.Lock()
        if stdin >= 0:
            os.set_blocking(stdin, False)
            if not given:
                self.close_stdin()

    def interests(self) -> Iterator[tuple[int, int]]:
        """The descriptors to poll, and for what."""
        for fd in self._outputs:
            yield fd, _READ
        if self._stdin >= 0:
            yield self._stdin, _WRITE

    def ready(self, fd: int) -> int:
        """Move what can be moved on *fd*; says what to do with it from now on."""
        if fd == self._stdin:
            return self._feed()
        stream = self._outputs.get(fd)
        if stream is None:
            return DROP
        data = self._read(fd)
        if not data:
            del self._outputs[fd]
            return DROP
        if len(data) == self._size:
            self._grow(fd)
        with self._lock:  # or who makes room might do so between the answer and the note of it
            if self._sink(stream, data, time.time_ns()):
                return KEEP
            self._paused.add(fd)
        return PAUSE

    def is_paused(self, fd: int) -> bool:
        """Whether nobody has room for what *fd* says."""
        return fd in self._paused

    def unpause(self) -> list[int]:
        """There is room again: the descriptors to listen to anew."""
        with self._lock:
            paused = list(self._paused)
            self._paused.clear()
        return paused

    def _read(self, fd: int) -> bytes:
        try:
            return os.read(fd, self._size)
        except OSError:  # EIO: nobody holds the terminal any more (pty(7))
            return b""

    def _grow(self, fd: int) -> None:
        """A program that says much is read in larger pieces, from larger pipes."""
        if self._size < _LARGE:
            self._size = _LARGE
        try:
            if fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) < _LARGE:
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _LARGE)
        except OSError:  # a terminal, or too many large pipes of this user (pipe(7))
            pass

    def _feed(self) -> int:
        try:
            written = os.write(self._stdin, self._given[:_LARGE])
        except BlockingIOError:
            return KEEP
        except OSError:  # EPIPE: it has closed its input, which is its right
            written = len(self._given)
        self._given = self._given[written:]
        if self._given:
            return KEEP
        self._stdin = -1
        return DROP

    def close_stdin(self) -> None:
        """Let the program see the end of its input."""
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1

    def drain(self) -> None:
        """Take everything that has been said, and close; for a program that is gone."""
        for fd in list(self._outputs):
            poll = select.poll()
            poll.register(fd, _READ)
            while poll.poll(0):
                if self.ready(fd) == DROP:
                    os.close(fd)
                    break
        self.close()

    def close(self) -> None:
        """Let go of every stream."""
        self.close_stdin()
        for fd in self._outputs:
            os.close(fd)
        self._outputs.clear()
