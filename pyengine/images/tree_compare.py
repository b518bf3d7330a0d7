"""Whether the files of a layer are still those of its blob: it is unpacked again, and compared."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from pyengine.images.content import Content
from pyengine.images.unpacking import LayerPlan, unpack_aside

_CHUNK = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def against_blob(content: Content, plan: LayerPlan) -> str:
    """The first file of a layer that is not as its blob says; empty if all are.

    Raises as `unpacking.unpack_one`; a directory that this user may not read is passed over.
    """
    with unpack_aside(content, plan) as fresh:
        return first_difference(content.layers.directory(plan.chain_id), fresh)


def first_difference(one: str, other: str) -> str:
    """The path, relative to both, of the first thing that is not the same in two trees.

    >>> first_difference("/etc", "/etc")
    ''
    """
    for path in _paths(one, other):
        if not _is_same(f"{one}/{path}".rstrip("/"), f"{other}/{path}".rstrip("/")):
            return path or "."
    return ""


def measure(directory: str) -> tuple[int, int]:
    """Bytes of the files in a tree, and how many things are in it."""
    size = entries = 0
    for path in _paths(directory, directory):
        found = os.lstat(f"{directory}/{path}")
        entries += 1
        size += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return size, entries


def _paths(one: str, other: str) -> Iterator[str]:
    """All paths that are in either, each directory before what is in it."""
    waiting = [""]
    while waiting:
        path = waiting.pop()
        yield path
        names = set()
        for top in (one, other):
            full = f"{top}/{path}"
            if os.path.isdir(full) and not os.path.islink(full.rstrip("/")):
                try:
                    names.update(os.listdir(full))
                except PermissionError:
                    continue
        prefix = f"{path}/" if path else ""
        waiting += [f"{prefix}{name}" for name in sorted(names, reverse=True)]


def _is_same(one: str, other: str) -> bool:
    try:
        first, second = os.lstat(one), os.lstat(other)
    except FileNotFoundError:
        return False
    for name in ("st_mode", "st_uid", "st_gid", "st_rdev"):
        if getattr(first, name) != getattr(second, name):
            return False
    if _attributes(one) != _attributes(other):
        return False
    if stat.S_ISLNK(first.st_mode):
        return os.readlink(one) == os.readlink(other)
    if not stat.S_ISREG(first.st_mode):
        return True
    if (first.st_size, first.st_mtime_ns, first.st_nlink) != (
        second.st_size,
        second.st_mtime_ns,
        second.st_nlink,
    ):
        return False
    return _same_bytes(one, other)


def _attributes(path: str) -> dict[str, bytes]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    except OSError:
        return {}


def _same_bytes(one: str, other: str) -> bool:
    try:
        first, second = os.open(one, _OPEN), os.open(other, _OPEN)
    except PermissionError:
        return True
    with open(first, "rb", buffering=0) as left, open(second, "rb", buffering=0) as right:
        while True:
            a, b = left.read(_CHUNK), right.read(_CHUNK)
            if a != b:
                return False
            if not a:
                return True
