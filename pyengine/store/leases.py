"""Leases: who holds a container that several processes share, as files in its own directory.

Each holder has an empty file there, called by its owner directory and a number of its own. The
lease of a process that is dead is worth nothing. All is done by who has the container's lock, but
for reading.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from attrs import frozen

from pyengine.store import records
from pyengine.store.layout import Home

_OVER = ".over"
_TERMS = ".terms.json"


@frozen
class Terms:
    """What was asked for when it was made: a digest of each option that is not its default."""

    options: tuple[tuple[str, str], ...] = ()

    def difference(self, other: Terms) -> list[str]:
        """The options that are not the same in both."""
        return sorted({name for name, _ in set(self.options) ^ set(other.options)})


def begin(home: Home, terms: Terms) -> None:
    """Make the container at *home* one that is shared; nobody holds it yet. Raises `StoreError`."""
    try:
        os.mkdir(home.leases, 0o700)
    except OSError as error:
        records.refuse(home.leases, error)
    records.write(f"{home.leases}/{_TERMS}", terms)


def terms_of(home: Home) -> Terms | None:
    """On what terms it is shared; `None` if it is not. Raises `StoreError`."""
    return records.read(f"{home.leases}/{_TERMS}", Terms)


def add(home: Home, owner: str) -> str:
    """A lease of *owner*'s, by its name. Raises `StoreError`."""
    name = f"{owner}.{os.urandom(6).hex()}"
    _touch(f"{home.leases}/{name}")
    return name


def drop(home: Home, lease: str) -> None:
    """Give *lease* back, if that was not done for it."""
    try:
        os.unlink(f"{home.leases}/{lease}")
    except FileNotFoundError:
        return


def holders(home: Home, is_alive: Callable[[str], bool]) -> list[str]:
    """The owners who hold it and are alive, each once; nobody, where it is not shared."""
    try:
        names = os.listdir(home.leases)
    except FileNotFoundError:
        return []
    found = {name.rpartition(".")[0] for name in names if not name.startswith(".")}
    return sorted(owner for owner in found if is_alive(owner))


def end(home: Home) -> None:
    """Nobody gets a lease of it any more. Raises `StoreError`."""
    _touch(f"{home.leases}/{_OVER}")


def is_over(home: Home) -> bool:
    """Whether nobody gets a lease of it any more."""
    return os.path.exists(f"{home.leases}/{_OVER}")


def _touch(path: str) -> None:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        records.refuse(path, error)
