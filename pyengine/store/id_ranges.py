"""Which ids of the host belong to which container: a registry that all engines of a host share.

A container with users of its own has 65536 ids of the host that nobody else has. They are taken
from a part of all ids that Linux systems leave alone: above those that ``useradd`` gives to
/etc/subuid by default and those that systemd takes for its own containers, below those that it
keeps for foreign images (systemd's ``UIDS-GIDS.md``).

Each range that is taken is a link in the registry, called by its first id, to the directory of
who has it: symlink(2) lets only one have it, and it is free again when that directory is gone,
whoever was killed. So nothing has to be given back, and what is, is given back sooner.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pyengine.errors import StoreError, Unsupported
from pyengine.store import owners, records
from pyengine.store.layout import Layout

FIRST, LAST = 0x70000000, 0x7FFDFFFF
"""The ids that containers have: 1879048192 to 2147352575."""

SIZE = 65536
"""How many ids one container has."""

REGISTRY = "/var/lib/pyengine-ids"
"""Of this host, whatever the root of an engine: ids are the host's too."""

_SUBORDINATE = ("/etc/subuid", "/etc/subgid")
_PLACE = "/owners/"


def claim(holder: str, registry: str = REGISTRY) -> int:
    """Take a range for who has the directory *holder*, one of `Layout`'s; answers its first id.

    Raises `Unsupported` where all are taken, and `StoreError` for a registry that cannot be used.
    """
    _prepare(registry)
    reserved = _reserved()
    for _ in range(2):
        names = set(_names(registry))
        for first in range(FIRST, LAST, SIZE):
            if str(first) in names or first in reserved:
                continue
            try:
                os.symlink(holder, f"{registry}/{first}")
            except FileExistsError:  # another process was quicker
                continue
            except OSError as error:
                records.refuse(registry, error)
            return first
        sweep(registry)
    missing = f"all ranges of ids from {FIRST} to {LAST} are taken"
    raise Unsupported("userns='auto'", missing, f"remove containers; {registry} says which")


def is_held(first: int, holder: str, registry: str = REGISTRY) -> bool:
    """Whether the range from *first* on is *holder*'s."""
    return _holder(registry, first) == holder


def reclaim(first: int, holder: str, registry: str = REGISTRY) -> bool:
    """Take the range from *first* on back, as after the registry was lost; whether it is ours."""
    _prepare(registry)
    with _locked(registry):
        held_by = _holder(registry, first)
        if held_by is not None and held_by != holder and is_gone(held_by):
            os.unlink(f"{registry}/{first}")
            held_by = None
        if held_by is None:
            os.symlink(holder, f"{registry}/{first}")
            held_by = holder
    return held_by == holder


def release(first: int, holder: str, registry: str = REGISTRY) -> None:
    """Give the range from *first* on back, if it is *holder*'s."""
    if not os.path.isdir(registry):
        return
    with _locked(registry):
        if _holder(registry, first) == holder:
            os.unlink(f"{registry}/{first}")


def sweep(registry: str = REGISTRY) -> None:
    """Give back every range whose holder is gone, of whatever root."""
    if not os.path.isdir(registry):
        return
    with _locked(registry):
        for name in _names(registry):
            holder = _holder(registry, int(name))
            if holder is not None and is_gone(holder):
                os.unlink(f"{registry}/{name}")


def is_gone(holder: str) -> bool:
    """Whether nothing is left of who has the directory *holder*, an owner's or a container's.

    An owner that is being buried (``.dead-``) has programs still, perhaps.
    """
    root, _, place = holder.rpartition(_PLACE)
    owner, _, container_id = place.partition("/")
    layout = Layout(root, root)
    if container_id:
        return owners.is_gone(layout, owner, container_id)
    return not any(os.path.isdir(f"{layout.owners}/{mark}{owner}") for mark in ("", owners.DEAD))


def _names(registry: str) -> list[str]:
    return [name for name in os.listdir(registry) if name.isascii() and name.isdigit()]


def _holder(registry: str, first: int) -> str | None:
    try:
        return os.readlink(f"{registry}/{first}")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL):
            return None
        raise


def _prepare(registry: str) -> None:
    try:
        os.makedirs(registry, 0o700, exist_ok=True)
        found = os.stat(registry)
    except OSError as error:
        records.refuse(registry, error)
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        why = "others may write to it, who could give away ids that are taken"
        raise StoreError(registry, why, "let it belong to root, with mode 0700")


@contextmanager
def _locked(registry: str) -> Iterator[None]:
    """Nobody else gives ranges back meanwhile, or what was looked at may be another's by then."""
    try:
        fd = os.open(registry, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        records.refuse(registry, error)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _reserved() -> set[int]:
    """The first ids of those of our ranges that somebody has in /etc/subuid or /etc/subgid."""
    found: set[int] = set()
    for path in _SUBORDINATE:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                found |= overlapping(file.read(1 << 20))
        except OSError:
            continue
    return found


def overlapping(text: str) -> set[int]:
    """The first ids of our ranges that share an id with one in *text*, as in subuid(5).

    >>> overlapping("alice:1879048200:10") == {FIRST}
    True
    >>> overlapping("bob:100000:65536")
    set()
    """
    found: set[int] = set()
    for line in text.splitlines():
        _, _, numbers = line.partition(":")
        start_text, _, count_text = numbers.partition(":")
        if not (start_text.isdecimal() and count_text.isdecimal()):
            continue
        start = max(int(start_text[:11]), FIRST)
        end = min(int(start_text[:11]) + int(count_text[:11]), LAST + 1)
        found.update(range(FIRST + (start - FIRST) // SIZE * SIZE, end, SIZE))
    return found
