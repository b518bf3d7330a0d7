"""Things to be done later: one thread that is there only while something is due."""

from __future__ import annotations

import heapq
import sys
import threading
import time
from collections.abc import Callable

_Alarm = tuple[float, int, Callable[[], None]]


class Alarms:
    """Calls what it was asked to call, each in its time, one after the other.

    *clock* tells the seconds; one that is not the real one `look`s whenever it has moved.
    What is called must be short, and may set and cancel alarms itself.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = clock
        self._changed = threading.Condition()
        self._due: list[_Alarm] = []
        self._last = 0
        self._cancelled: set[int] = set()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def after(self, seconds: float, call: Callable[[], None]) -> int:
        """Have *call* called *seconds* from now; answers what to `cancel`.

        Once it is closed nothing is called any more.
        """
        with self._changed:
            self._last += 1
            if not self._is_closed:
                heapq.heappush(self._due, (self.now() + seconds, self._last, call))
                if self._thread is None:
                    self._start()
                self._changed.notify_all()
            return self._last

    def cancel(self, number: int) -> None:
        """Do not call it, if it was not called yet."""
        with self._changed:
            if any(alarm[1] == number for alarm in self._due):
                self._cancelled.add(number)
                self._changed.notify_all()

    @property
    def is_closed(self) -> bool:
        """Whether nothing is called any more."""
        return self._is_closed

    def look(self) -> None:
        """Look at the clock again."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Call nothing any more, and wait for what is being called."""
        with self._changed:
            self._is_closed = True
            self._due.clear()
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="pyengine-alarms", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (call := self._next()) is not None:
            try:
                call()
            except Exception:  # noqa: BLE001  (one container's trouble is not the others')
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), self._thread)))

    def _next(self) -> Callable[[], None] | None:
        """Wait for the next; `None` where there is none, and the thread has to end."""
        with self._changed:
            while self._due:
                when, number, call = self._due[0]
                if number in self._cancelled:
                    self._cancelled.discard(number)
                elif (left := when - self.now()) > 0:
                    self._changed.wait(left)
                    continue
                else:
                    heapq.heappop(self._due)
                    return call
                heapq.heappop(self._due)
            self._thread = None
            return None
