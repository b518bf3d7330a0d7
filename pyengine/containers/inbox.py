"""What a program says, on its way to a user who reads it when he likes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from attrs import frozen

from pyengine.errors import TimedOut

_FULL = 4 << 20
"""Bytes of one stream that may wait; a program that says more waits itself."""


@frozen
class OutputChunk:
    """A piece of output: *stream* is ``stdout`` or ``stderr``, *time* seconds since 1970."""

    stream: str
    data: bytes
    time: float


class Inbox:
    """Hears a program; gives what it heard in order, by stream or together.

    *unpause* is called when there is room again after a stream was full.
    """

    def __init__(self, unpause: Callable[[], None] = lambda: None) -> None:
        self.unpause = unpause
        self._ready = threading.Condition()
        self._chunks: dict[str, deque[tuple[int, bytes, int]]] = {
            "stdout": deque(),
            "stderr": deque(),
        }
        self._waiting = {"stdout": 0, "stderr": 0}
        self._was_full = False
        self._count = 0
        self._ended = False

    def hear(self, stream: str, data: bytes, time_ns: int) -> bool:
        """Take *data*; False once *stream* is full."""
        with self._ready:
            self._count += 1
            self._chunks[stream].append((self._count, data, time_ns))
            self._waiting[stream] += len(data)
            self._ready.notify_all()
            if self._waiting[stream] < _FULL:
                return True
            self._was_full = True
            return False

    def precede(self, past: list[tuple[str, bytes, int]]) -> None:
        """Put what was said in the *past* before all that was heard; nobody has read yet."""
        with self._ready:
            for age, (stream, data, time_ns) in enumerate(reversed(past)):
                self._chunks[stream].appendleft((-age, data, time_ns))
                self._waiting[stream] += len(data)
            self._ready.notify_all()

    def end(self) -> None:
        """There is no more."""
        with self._ready:
            self._ended = True
            self._ready.notify_all()

    def revive(self) -> None:
        """Its end was none: who would have spoken could not be started."""
        with self._ready:
            self._ended = False

    def next(self, stream: str | None = None, timeout: float | None = None) -> OutputChunk | None:
        """The oldest piece, of *stream* if given; `None` after the last. Raises `TimedOut`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._ready:
            while (found := self._oldest(stream)) is None:
                if self._ended:
                    return None
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimedOut("waiting for output", timeout or 0.0)
                self._ready.wait(left)
            _, data, time_ns = self._chunks[found].popleft()
            self._waiting[found] -= len(data)
            room = self._was_full and max(self._waiting.values()) < _FULL // 2
            if room:
                self._was_full = False
        if room:
            self.unpause()
        return OutputChunk(found, data, time_ns / 1e9)

    def _oldest(self, stream: str | None) -> str | None:
        names = (stream,) if stream is not None else ("stdout", "stderr")
        heads = [(self._chunks[name][0][0], name) for name in names if self._chunks[name]]
        return min(heads)[1] if heads else None
