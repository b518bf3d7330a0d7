"""Layers of who is not root, in the hands of the root of their users."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from pyengine.containers import removing, their_root
from pyengine.containers.interpreter import command, environment
from pyengine.containers.joiners import Joiners
from pyengine.errors import EngineClosed, Unsupported
from pyengine.images.content import OwnHands
from pyengine.linux.layer_workers import MODULE, LayerWorker

if TYPE_CHECKING:
    from pyengine.images.content import Unpacking
    from pyengine.images.limits import Limits


class LayerHands:
    """`images.content.Hands` by a process of the root of the users that *joiners* have.

    It gives files to whom they belong where there are subordinate ids, and reads what is closed
    to others. With a single id all files are its user's; it reads what they have closed to
    themselves, and keeps the capabilities of files. Where no user namespace can be made, this
    process does what it may. Threads may share it.
    """

    def __init__(self, joiners: Joiners) -> None:
        self._joiners = joiners
        self._own = OwnHands()
        self._lock = threading.Lock()  # of what `close` waits for
        self._worker: LayerWorker | None = None
        self._is_closed = False

    def unpacker(self, directory: int, limits: Limits) -> Unpacking:
        """See `images.content.Hands`."""
        try:
            return self._theirs().unpacker(
                directory, most_bytes=limits.layer_bytes, most_entries=limits.layer_entries
            )
        except Unsupported:
            return self._own.unpacker(directory, limits)

    def pack(self, directory: int, out: int) -> object:
        """See `images.content.Hands`."""
        try:
            return self._theirs().pack(directory, out)
        except Unsupported:
            return self._own.pack(directory, out)

    def remove_tree(self, directory: int, name: str) -> None:
        """See `images.content.Hands`."""
        removing.remove_tree(directory, name, self._joiners)

    def move(self, path: str, to: str) -> None:
        """See `images.content.Hands`: who moves a directory elsewhere has to own it."""
        try:
            os.rename(path, to)
        except PermissionError:
            self.ask(__name__, path, to)

    def ask(self, module: str, *words: str) -> str:
        """See `images.content.Hands`. Raises `StoreError`, `Unsupported`, `EngineClosed`."""
        with self._lock:
            self._check()
            return their_root.ask(self._joiners.usual, module, *words)

    def close(self) -> None:
        """End the process, and wait until it is gone; nobody starts one after this."""
        with self._lock:
            self._is_closed = True
            if self._worker is not None:
                self._worker.close()

    def _theirs(self) -> LayerWorker:
        with self._lock:
            self._check()
            if self._worker is None:
                usual = self._joiners.usual
                self._worker = LayerWorker(usual, command(MODULE), environment())
            return self._worker

    def _check(self) -> None:
        if self._is_closed:
            raise EngineClosed()


def main() -> int:
    """Move a directory, for somebody who does not own it."""
    os.rename(*sys.argv[1:3])
    return 0


if __name__ == "__main__":
    sys.exit(main())
