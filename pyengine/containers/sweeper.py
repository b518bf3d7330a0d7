"""Doing later what nobody should wait for: above all, removing directories."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable

from pyengine.containers.removing import remove_tree
from pyengine.errors import EngineError, NoSpace
from pyengine.store import records
from pyengine.store.layout import Home

_BATCH = 32
"""So many are worth waking the thread for: woken for each, it would get in everybody's way."""

_MOST = 64
"""So many may wait; who throws away one more removes them himself: one thread alone cannot keep up
with many, and the disk would fill up."""

_PAUSE = 0.1
"""Seconds after which the thread looks by itself."""


class Sweeper:
    """Takes directories away in one rename each, and removes them later, many at once.

    *place* answers the directory to move them to, on the same file system. The thread comes
    with the first and goes with `close`.
    """

    def __init__(self, place: Callable[[], str]) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._batch = ""
        self._count = 0
        self._afterwards: list[Callable[[], None]] = []
        self._left: list[str] = []  # what could not be removed at once
        self._undone: list[Callable[[], None]] = []  # what could not be done at once
        self._thread: threading.Thread | None = None
        self._closed = False

    def throw_away(self, path: str, afterwards: Callable[[], None]) -> bool:
        """Move *path* out of the way now, and have it removed; False where it is gone already.

        *afterwards* is called some time later, on whatever thread, and again if it fails. Raises
        `StoreError`.
        """
        with self._lock:
            try:
                self._batch = self._batch or self._new_batch()
            except NoSpace:  # not even for our own directory: then it has to go where it is
                return _remove_here(path, afterwards)
            place = f"{self._batch}/{self._count}" if self._batch else self._new_place()
            self._count += 1  # now: were it missed, everything later would find its place taken
            try:
                os.rename(path, place)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    return False
                records.refuse(path, error)
            if not self._batch:
                self._left.append(place)
            self._afterwards.append(afterwards)
            late = self._closed or self._count > _MOST or not self._wake()
        if late:
            self._sweep()
        return True

    def later(self, work: Callable[[], None]) -> None:
        """Have *work* done by the thread when it next looks, if there is one by then."""
        with self._lock:
            self._afterwards.append(work)
            if not self._closed:
                self._wake()

    def close(self) -> None:
        """Wait until all is removed; what could not be before is tried once more."""
        with self._lock:
            self._closed = True
            thread = self._thread
            self._work.notify_all()
        if thread is not None:
            thread.join()
        if self._undone or self._left:
            self._sweep()

    def _new_place(self) -> str:
        return f"{self._place()}/batch-{os.urandom(6).hex()}"

    def _new_batch(self) -> str:
        """A directory for many; nothing where there is no space even for that."""
        batch = self._new_place()
        try:
            os.mkdir(batch, 0o700)
        except OSError:
            return ""
        return batch

    def _wake(self) -> bool:
        """Let the thread know that there is something; whether there is a thread."""
        if self._thread is None:
            thread = threading.Thread(target=self._serve, name="pyengine-sweeper", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there are too many
                return False
            self._thread = thread
        elif len(self._afterwards) == 1 or self._count == _BATCH:
            self._work.notify()  # the first makes it look at its clock
        return True

    def _serve(self) -> None:
        while True:
            with self._lock:
                while not self._closed and not self._afterwards:
                    self._work.wait()
                if not self._closed and self._count < _BATCH:
                    self._work.wait(_PAUSE)
                if self._closed and not self._afterwards:
                    return
            self._sweep()

    def _sweep(self) -> None:
        with self._lock:
            left = self._left
            if self._count:
                left = [*left, self._batch]
                self._batch, self._count = "" if self._closed else self._new_batch(), 0
            calls, self._left = [*self._undone, *self._afterwards], []
            self._undone, self._afterwards = [], []
        for call in calls:
            try:
                call()
            except (EngineError, OSError):  # for want of a descriptor, say
                with self._lock:
                    self._undone.append(call)
        for path in left:
            try:
                if path:
                    remove(path)
            except OSError:  # in the end it goes with our directory
                with self._lock:
                    self._left.append(path)


def _remove_here(path: str, afterwards: Callable[[], None]) -> bool:
    """Remove a container's directory in its place; killed meanwhile, it is as one half made."""
    try:
        os.unlink(Home(path).record)
        remove(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        records.refuse(path, error)
    afterwards()
    return True


def remove(path: str) -> None:
    """Remove *path* and all below it, whatever a container has made there."""
    parent, _, name = path.rpartition("/")
    fd = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_tree(fd, name)
    finally:
        os.close(fd)
