"""What the next container will need, made while this one is on its way.

A network namespace costs the kernel 0.7 ms, three directories a journal entry each; both are the
same for every container. Who starts one has to wait for its child, which takes longer than that:
meanwhile he makes what he has taken anew. It never outlives its engine.
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

    *make_home* makes the directories of a container and answers their path. Without *networks*
    it keeps none: who is not root has to make them where they belong, in a user namespace.
    """

    def __init__(self, make_home: Callable[[], str], *, networks: bool = True) -> None:
        self._make_home = make_home
        self._wanted = _SIZE if networks else 0
        self._lock = threading.Lock()
        self._homes: list[str] = []
        self._networks: list[int] = []
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
        """Make one of each that lacks; called by who is about to wait for the kernel anyway.

        Nothing is raised: who needs one that could not be made makes it, and is told then.
        """
        try:
            if len(self._networks) < self._wanted:
                self._keep(native.new_namespace(NEWNET, loopback=True))
            if len(self._homes) < _SIZE:
                home = self._make_home()
                with self._lock:
                    self._homes.append(home)
        except EngineError:
            return

    def _keep(self, network: int) -> None:
        with self._lock:
            if not self._closed:
                self._networks.append(network)
                return
        os.close(network)

    def close(self) -> None:
        """Let go of everything that was not taken; homes go with their owner's directory."""
        with self._lock:
            self._closed = True
            networks, self._networks = self._networks, []
            self._homes.clear()
        for fd in networks:
            os.close(fd)
