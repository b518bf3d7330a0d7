"""What the next container will need, made while nobody waits for it.

A network namespace costs the kernel 0.7 ms, three directories a journal entry each; both are the
same for every container. They are made from the first container on, by a thread, and never
outlive their engine.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from pyengine.errors import EngineError
from pyengine.linux import native
from pyengine.linux.plan import NEWNET

_SIZE = 2
"""So many of each are kept: who starts more at once makes what lacks himself."""


class Spares:
    """Empty homes and network namespaces, ready to be taken; whoever takes one has it.

    *make_home* makes the directories of a container and answers their path.
    """

    def __init__(self, make_home: Callable[[], str]) -> None:
        self._make_home = make_home
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._homes: list[str] = []
        self._networks: list[int] = []
        self._thread: threading.Thread | None = None
        self._closed = False

    def home(self) -> str | None:
        """The directory of a home that is nobody's yet; `None` if there is none ready."""
        with self._lock:
            return self._homes.pop() if self._homes else None

    def network(self) -> int | None:
        """A network namespace with its loopback up, by an fd; `None` if there is none ready."""
        with self._lock:
            return self._networks.pop() if self._networks else None

    def restock(self) -> None:
        """Have what was taken made anew; called when the caller is about to wait anyway."""
        with self._lock:
            if self._closed:
                return
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="pyengine-spares", daemon=True
                )
                self._thread.start()
            else:
                self._work.notify()

    def close(self) -> None:
        """Let go of everything that was not taken; homes go with their owner's directory."""
        with self._lock:
            self._closed = True
            thread = self._thread
            self._work.notify()
        if thread is not None:
            thread.join()
        for fd in self._networks:
            os.close(fd)
        self._networks.clear()
        self._homes.clear()

    def _serve(self) -> None:
        while True:
            with self._lock:
                while not self._closed and not self._lacks():
                    self._work.wait()
                if self._closed:
                    return
                wants_network = len(self._networks) < _SIZE
            try:
                if wants_network:
                    self._networks.append(native.new_namespace(NEWNET, loopback=True))
                else:
                    self._homes.append(self._make_home())
            except EngineError:  # who needs one will make it, and be told what is wrong
                with self._lock:
                    if not self._closed:
                        self._work.wait()

    def _lacks(self) -> bool:
        return len(self._networks) < _SIZE or len(self._homes) < _SIZE
