"""Output that waits to be logged, so that the container need not."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

_Work = Callable[[], None]


class LogQueue:
    """A queue of at most *limit* bytes, and the thread that writes what is in it.

    The thread comes with the first of it and goes with `close`. *lose* is called on it with how
    many bytes found no room, at their place in the order.
    """

    def __init__(self, limit: int, lose: Callable[[int], None]) -> None:
        self._limit = limit
        self._lose = lose
        self._changed = threading.Condition()
        self._work: deque[tuple[_Work, int]] = deque()
        self._size = 0
        self._lost = 0
        self._ending = False
        self._thread: threading.Thread | None = None

    def put(self, work: _Work, size: int) -> None:
        """Have *work* done, which holds *size* bytes, or lose them if that is too much now."""
        with self._changed:
            if size and self._work and self._size + size > self._limit:
                self._lost += size
                return
            self._tell_lost()
            self._work.append((work, size))
            self._size += size
            if self._thread is None and not self._start():
                self._drain()  # no thread to be had: then whoever writes waits
            self._changed.notify()

    def close(self) -> None:
        """Wait until all is written, and end the thread."""
        with self._changed:
            self._tell_lost()
            self._ending = True
            thread = self._thread
            self._changed.notify()
        if thread is not None:
            thread.join()
        with self._changed:
            self._drain()
            self._ending, self._thread = False, None

    def _tell_lost(self) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            self._work.append((lambda: self._lose(lost), 0))

    def _start(self) -> bool:
        self._thread = threading.Thread(target=self._run, name="pyengine-log", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._thread = None
        return self._thread is not None

    def _drain(self) -> None:
        while self._work:
            self._work.popleft()[0]()
        self._size = 0

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._work and not self._ending:
                    self._changed.wait()
                if not self._work:
                    return
                work, size = self._work[0]
            work()
            with self._changed:  # it counts until it is written
                self._work.popleft()
                self._size -= size
