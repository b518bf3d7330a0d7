"""Waiting for what happens in a directory, through the one inotify instance of this process.

A user may have only 128 instances (fs.inotify.max_user_instances), and many a follower.
"""

from __future__ import annotations

import errno
import os
import select
import threading
from collections import deque
from enum import Flag, auto
from types import TracebackType

from pyengine.errors import KernelError
from pyengine.linux import native_log
from pyengine.linux.native_log import (
    IN_CREATE,
    IN_DELETE,
    IN_DELETE_SELF,
    IN_IGNORED,
    IN_MODIFY,
    IN_MOVE_SELF,
    IN_MOVED_TO,
)

_GONE = IN_DELETE_SELF | IN_IGNORED
_EVENTS = IN_MODIFY | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF


class Seen(Flag):
    """What has happened."""

    NOTHING = 0
    MINE = auto()  # something about a file whose name begins as it was asked
    OTHER = auto()  # something about another file
    GONE = auto()  # the directory is no more


class Watch:
    """Tells what happens in *directory*; its `fileno` is readable when something has.

    A file is *mine* if its name begins so. Raises `KernelError` where the directory cannot be
    watched. To let go of it is as good as to `close` it.
    """

    def __init__(self, directory: str, mine: str) -> None:
        self._is_open = False
        self._hub = _hubs.setdefault(os.getpid(), _Hub())  # a fork has its own
        self._ear = _Ear(mine)
        self._ear.number = self._hub.join(self._ear, directory)
        self._is_open = True

    def fileno(self) -> int:
        """An fd to poll."""
        return self._ear.fd

    def take(self) -> Seen:
        """What has happened since the last time."""
        return self._ear.take()

    def wake(self) -> None:
        """Make it readable, though nothing has happened."""
        self._ear.wake()

    def close(self) -> None:
        """Watch no more."""
        if self._is_open:
            self._is_open = False
            self._hub.leave(self._ear)

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self._is_open:
            self._hub.abandon(self._ear)


class _Ear:
    """What the hub knows of a watch."""

    def __init__(self, mine: str) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.number = -1
        self._mine = mine
        self._seen = Seen.NOTHING

    def hear(self, what: int, name: str) -> None:
        if what & _GONE:
            self._seen |= Seen.GONE
        elif name.startswith(self._mine):
            self._seen |= Seen.MINE
        else:
            self._seen |= Seen.OTHER
        self.wake()

    def wake(self) -> None:
        os.eventfd_write(self.fd, 1)

    def take(self) -> Seen:
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            pass
        seen, self._seen = self._seen, Seen.NOTHING
        return seen


class _Hub:
    """Hands the events of one inotify instance to those who listen; its thread is there while
    anybody does.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._ears: dict[int, set[_Ear]] = {}
        self._abandoned: deque[_Ear] = deque()
        self._watcher = -1
        self._poke = -1
        self._thread: threading.Thread | None = None

    def join(self, ear: _Ear, directory: str) -> int:
        try:
            with self._lock:
                if self._thread is None:
                    self._start()
                number = native_log.add_watch(self._watcher, directory, _EVENTS)
                self._ears.setdefault(number, set()).add(ear)
                return number
        except KernelError:
            os.close(ear.fd)
            self._end_if_alone()
            raise

    def leave(self, ear: _Ear) -> None:
        if self._pid == os.getpid():
            with self._lock:
                self._remove(ear)
            self._end_if_alone()
        os.close(ear.fd)

    def abandon(self, ear: _Ear) -> None:
        """`leave` for a finalizer, which may run anywhere, also where the lock is held."""
        self._abandoned.append(ear)
        os.eventfd_write(self._poke, 1)  # it is there as long as the ear is among ours

    def _remove(self, ear: _Ear) -> None:
        ears = self._ears[ear.number]
        ears.remove(ear)
        if not ears:
            del self._ears[ear.number]
            native_log.remove_watch(self._watcher, ear.number)

    def _start(self) -> None:
        watcher = native_log.new_watcher()
        poke = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        thread = threading.Thread(
            target=self._run, args=(watcher, poke), name="pyengine-watch", daemon=True
        )
        self._watcher, self._poke, self._thread = watcher, poke, thread
        try:
            thread.start()
        except RuntimeError as error:
            self._thread = None
            os.close(watcher)
            os.close(poke)
            raise KernelError(errno.EAGAIN, "start a thread that watches") from error

    def _end_if_alone(self) -> None:
        with self._lock:
            thread = self._thread
            if self._ears or thread is None:
                return
            self._thread = None  # it closes its fds; whoever comes next gets new ones
            os.eventfd_write(self._poke, 1)
        thread.join()

    def _run(self, watcher: int, poke: int) -> None:
        poll = select.poll()
        poll.register(watcher, select.POLLIN)
        poll.register(poke, select.POLLIN)
        while self._serve(watcher, {fd for fd, _ in poll.poll()}, poke):
            pass
        os.close(watcher)
        os.close(poke)

    def _serve(self, watcher: int, ready: set[int], poke: int) -> bool:
        """Whether anybody listens still."""
        events = native_log.read_events(watcher) if watcher in ready else []
        with self._lock:
            if self._thread is not threading.current_thread():
                return False
            for number, what, name in events:
                self._hand_out(number, what, name)
            if poke in ready:
                os.eventfd_read(poke)
                while self._abandoned:
                    ear = self._abandoned.popleft()
                    self._remove(ear)
                    os.close(ear.fd)
                if not self._ears:
                    self._thread = None
            return self._thread is not None

    def _hand_out(self, number: int, what: int, name: str) -> None:
        if number >= 0:
            ears = list(self._ears.get(number, ()))
        else:  # some events were lost: to be sure, something has happened to everybody
            ears = [ear for several in self._ears.values() for ear in several]
        for ear in ears:
            ear.hear(what, name)


_hubs: dict[int, _Hub] = {}
