"""Leases: who holds a container that several processes share, as files in its own directory.

Each holder has an empty file there, called by its owner directory, a number of its own and, where
it works in a run of several, by the process of that run. The lease of a process that is dead is
worth nothing, but in a run that goes on: another is about to take its place. Who has come at all is
written beside, since others of a run may be late. All is done by who has the container's lock, but
for reading.
"""

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from collections.abc import Callable

from attrs import frozen

from pyengine.store import records
from pyengine.store.layout import Home

_OVER = ".over"
_TERMS = ".terms.json"
_CAME = ".came-"
_NAMED = re.compile(r"(\.came-[^.]+|[^.]+\.[0-9a-f]+)\.(\d{1,10})\.(\d{1,19})\.(\d{1,9})", re.ASCII)


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


@frozen
class Run:
    """The process for which *workers* processes work, who share something, maybe.

    A pid alone would be reused.
    """

    pid: int
    start_time: int
    workers: int


def add(home: Home, owner: str, run: Run | None = None) -> str:
    """A lease of *owner*'s, who works for *run*, by its name. Raises `StoreError`."""
    name = f"{owner}.{os.urandom(6).hex()}"
    if run is not None:
        told = f"{run.pid}.{run.start_time}.{run.workers}"
        _touch(f"{home.leases}/{_CAME}{owner}.{told}")
        name += f".{told}"
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
    found = {owner for owner, _ in map(_parse, _names(home)) if not owner.startswith(".")}
    return sorted(owner for owner in found if is_alive(owner))


def awaited(home: Home, is_alive: Callable[[str], bool]) -> set[Run]:
    """The runs, over or not, of which somebody may still come.

    That is so where not all have come who work for it, and where one died who held it.
    """
    found: set[Run] = set()
    came: Counter[Run] = Counter()
    for owner, run in map(_parse, _names(home)):
        if run is None:
            continue
        if owner.startswith(_CAME):
            came[run] += 1
        elif not is_alive(owner):
            found.add(run)
    return found | {run for run, number in came.items() if number < run.workers}


def _names(home: Home) -> list[str]:
    try:
        return os.listdir(home.leases)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):  # it is not shared
            return []
        raise


def _parse(name: str) -> tuple[str, Run | None]:
    """Whose it is, and for which run."""
    told = _NAMED.fullmatch(name)
    if told is None:
        return name.partition(".")[0] or name, None
    return told[1] if told[1].startswith(_CAME) else told[1].partition(".")[0], Run(
        int(told[2]), int(told[3]), int(told[4])
    )


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
