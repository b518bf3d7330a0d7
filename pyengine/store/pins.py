"""Pins: content that a living process needs, whether or not an image of it has a name yet.

Each holder has a file that lists what it needs, and holds its lock: the pins of a process that is
dead are worth nothing, however it died. They are added under the engine's lock, shared, so that
who removes content, and holds it alone, has seen all that somebody relies on.
"""

from __future__ import annotations

import os
from typing import Self

from pyengine.store import disk, locks, records
from pyengine.store.layout import Layout

_LARGEST = 64 << 20


class Pins:
    """The pins of one engine's root.

    >>> with pins.hold() as hold:  # doctest: +SKIP
    ...     hold.add(descriptor.digest)   # from here on nobody removes it
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def hold(self) -> Hold:
        """Begin to need content; use it in a ``with``."""
        return Hold(self.layout)

    def held(self) -> set[str]:
        """Digests of blobs, and chain ids, that somebody needs; pins of the dead are removed.

        Who asks holds the engine's lock alone. Raises `StoreError`.
        """
        found: set[str] = set()
        for name in disk.names(self.layout.pins):
            path = f"{self.layout.pins}/{name}"
            fd = locks.try_acquire(path)
            if fd is None:
                found.update(_read(path))
                continue
            try:
                os.unlink(path)
            finally:
                locks.release(fd)
        return found


class Hold:
    """What one holder needs, until the end of the ``with``."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._path = f"{layout.pins}/{os.urandom(12).hex()}"
        self._fd = -1

    def __enter__(self) -> Self:
        disk.make_directories(self._layout.pins)
        self._fd = locks.acquire(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass
        locks.release(self._fd)

    def add(self, *digests: str) -> None:
        """Need these digests of blobs, or chain ids; ask whether they are there only after this.

        Waits for who removes content just now. Raises `NoSpace`, `StoreError`.
        """
        data = "".join(f"{digest}\n" for digest in digests).encode()
        with locks.shared(self._layout.engine_lock):
            try:
                written = os.write(self._fd, data)
            except OSError as error:
                records.refuse(self._path, error)
            if written != len(data):
                records.refuse(self._path, OSError(28, "short write"))


def _read(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST).decode("ascii", "replace").split()
    except FileNotFoundError:
        return []
    except OSError as error:
        records.refuse(path, error)
