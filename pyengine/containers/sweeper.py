"""The thread that removes directories nobody needs any more, so that nobody waits for it."""

from __future__ import annotations

import os
import threading
from collections import deque

from pyengine.errors import KernelError
from pyengine.linux import native

_BACKLOG = 64
"""So many may wait; who discards one more removes it himself, or the disk would fill up."""

_BATCH = 16
"""So many are worth waking the thread for: woken for each, it would get in everybody's way."""

_PAUSE = 0.1
"""Seconds after which it looks by itself."""


class Sweeper:
    """Removes what it is given, one after the other; its thread ends when there is no more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[str] = deque()
        self._work = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._closed = False

    def discard(self, path: str) -> None:
        """Have the directory *path* removed soon."""
        with self._lock:
            if not self._closed and len(self._waiting) < _BACKLOG:
                self._waiting.append(path)
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._sweep, name="pyengine-sweeper", daemon=True
                    )
                    self._thread.start()
                elif len(self._waiting) >= _BATCH:
                    self._work.notify()
                return
        remove(path)

    def close(self) -> None:
        """Wait until all is removed."""
        with self._lock:
            self._closed = True
            thread = self._thread
            self._work.notify_all()
        if thread is not None:
            thread.join()

    def _sweep(self) -> None:
        while True:
            with self._lock:
                while not self._waiting:
                    if self._closed:
                        return
                    self._work.wait(_PAUSE)
                paths = list(self._waiting)
                self._waiting.clear()
            for path in paths:
                try:
                    remove(path)
                except KernelError:  # what is left goes with this process's owner directory
                    continue


def remove(path: str) -> None:
    """Remove *path* and all below it, whatever a container has made there."""
    parent, _, name = path.rpartition("/")
    fd = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        native.remove_tree(fd, name)
    finally:
        os.close(fd)
