"""The one thread that watches every program of this process, and a loop for who waits himself."""

from __future__ import annotations

import errno
import os
import select
import sys
import threading
import time
from collections.abc import Iterable
from typing import Protocol

from pyengine.containers.pump import DROP, PAUSE
from pyengine.errors import KernelError


class Watched(Protocol):
    """Something that runs: descriptors to listen to, until it is over."""

    @property
    def is_over(self) -> bool:
        """Whether its program has ended."""

    def interests(self) -> Iterable[tuple[int, int]]:
        """Descriptors, and the poll(2) events to hear of."""

    def ready(self, fd: int) -> int:
        """*fd* has something; answers KEEP, PAUSE or DROP."""

    def is_paused(self, fd: int) -> bool:
        """Whether what it answered with PAUSE still holds."""

    def finish(self) -> None:
        """Called once, when it is over; its descriptors are closed here."""


def drive(watched: Watched, deadline: float | None) -> bool:
    """Watch *watched* in the calling thread until it is over, and finish it.

    False when *deadline* (of `time.monotonic`) has passed before; then it is as it was.
    """
    if not watched.is_over and not _watch(watched, deadline):
        return False
    _finish(watched)
    return True


def _watch(watched: Watched, deadline: float | None) -> bool:
    poll = select.poll()
    for fd, events in watched.interests():
        poll.register(fd, events)
    while not watched.is_over:
        left = None if deadline is None else (deadline - time.monotonic()) * 1000
        if left is not None and left <= 0:
            return False
        for fd, _ in poll.poll(left):
            if watched.ready(fd) == DROP:
                poll.unregister(fd)
                os.close(fd)
    return True


def _finish(watched: Watched) -> None:
    """Finish *watched*, also if ctrl-C comes in between: each step can be taken twice."""
    try:
        watched.finish()
    except Exception:
        raise
    except BaseException:
        watched.finish()
        raise


class Supervisor:
    """Watches programs from one thread, which comes with the first and goes with `close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[int, Watched] = {}
        self._masks: dict[int, int] = {}
        self._forgotten = 0  # how often descriptors were, whose numbers are free then
        self._companion: Watched | None = None
        self._epoll: select.epoll | None = None
        self._wake = -1
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Have a thread, before there is anything to be watched. Raises `KernelError`."""
        with self._lock:
            self._start()

    def watch(self, watched: Watched) -> None:
        """Take *watched* on; it is finished on the supervisor's thread."""
        with self._lock:
            epoll = self._start()
            for fd, events in watched.interests():
                self._watched[fd] = watched
                self._masks[fd] = events
                epoll.register(fd, events)

    def accompany(self, watched: Watched) -> None:
        """Watch *watched* as well, if and when there is a thread; anew each time it is called."""
        with self._lock:
            self._companion = watched
            if self._epoll is not None:
                self._take_companion(self._epoll)

    def _take_companion(self, epoll: select.epoll) -> None:
        companion = self._companion
        if companion is None:
            return
        for fd, events in companion.interests():
            if fd not in self._watched:
                self._watched[fd] = companion
                self._masks[fd] = events
                epoll.register(fd, events)

    def part(self, fd: int) -> None:
        """Listen to *fd* no more; it is the caller's to close."""
        with self._lock:
            if self._watched.pop(fd, None) is not None and self._epoll is not None:
                self._masks.pop(fd, None)
                self._forgotten += 1
                self._epoll.unregister(fd)

    def resume(self, fd: int) -> None:
        """Listen again to a descriptor that was paused."""
        with self._lock:
            if self._epoll is not None and fd in self._watched:
                self._epoll.modify(fd, self._masks[fd])

    def close(self) -> None:
        """Stop watching and end the thread; what still runs is not touched."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is None:
            return
        os.eventfd_write(self._wake, 1)
        if thread is not threading.current_thread():
            thread.join()
        with self._lock:
            if self._epoll is not None:
                self._epoll.close()
                os.close(self._wake)
            self._epoll, self._wake = None, -1
            self._watched.clear()
            self._masks.clear()

    def _start(self) -> select.epoll:
        if self._epoll is None:
            epoll, wake = select.epoll(), os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            epoll.register(wake, select.EPOLLIN)
            self._epoll, self._wake = epoll, wake
            thread = self._thread = threading.Thread(
                target=self._serve, args=(epoll,), name="pyengine-supervisor", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:  # of a system call that failed Python tells no more
                self._epoll, self._wake, self._thread = None, -1, None
                epoll.close()
                os.close(wake)
                raise KernelError(errno.EAGAIN, "start a thread", str(error)) from error
            self._take_companion(epoll)
        return self._epoll

    def _serve(self, epoll: select.epoll) -> None:
        while self._thread is not None:
            forgotten = self._forgotten
            for fd, _ in epoll.poll(maxevents=64):
                with self._lock:  # who is being taken on is told nothing before all of it is
                    if self._forgotten != forgotten:
                        break  # the number may be another's by now; what is true is told again
                    watched = self._watched.get(fd)
                if watched is None:
                    continue
                try:
                    self._tell(epoll, watched, fd)
                except Exception:  # noqa: BLE001  (one container's trouble is not the others')
                    threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), self._thread)))

    def _tell(self, epoll: select.epoll, watched: Watched, fd: int) -> None:
        answer = watched.ready(fd)
        if watched.is_over:
            self._forget(epoll, watched)
            watched.finish()
        elif answer == DROP:
            with self._lock:
                del self._watched[fd], self._masks[fd]
                self._forgotten += 1
                epoll.unregister(fd)
            os.close(fd)
        elif answer == PAUSE:
            epoll.modify(fd, 0)
            if not watched.is_paused(fd):  # there was room again before we stopped listening
                self.resume(fd)

    def _forget(self, epoll: select.epoll, watched: Watched) -> None:
        with self._lock:
            self._forgotten += 1
            for fd, _ in watched.interests():
                if self._watched.pop(fd, None) is not None:
                    self._masks.pop(fd, None)
                    epoll.unregister(fd)
