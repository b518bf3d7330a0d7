"""Whether the files of a layer are still those of its blob: it is unpacked again, and compared."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator

from pyengine.images.content import Content, OwnHands
from pyengine.images.unpacking import LayerPlan, unpack_aside

_CHUNK = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def against_blob(content: Content, plan: LayerPlan) -> str:
    """The first file of a layer that is not as its blob says; empty if all are.

    Raises as `unpacking.unpack_one`.
    """
    with unpack_aside(content, plan) as fresh:
        here = content.layers.directory(plan.chain_id)
        if isinstance(content.hands, OwnHands):
            return first_difference(here, fresh)
        return str(json.loads(content.hands.ask(__name__, here, fresh)))


def measure_layer(content: Content, directory: str) -> tuple[int, int]:
    """`measure`, by whoever may look into all of it. Raises `StoreError`."""
    if isinstance(content.hands, OwnHands):
        return measure(directory)
    size, entries = json.loads(content.hands.ask(__name__, directory))
    return size, entries


def main() -> int:
    """Compare two trees, or measure one, for somebody who may not look into them."""
    told = first_difference(*sys.argv[1:]) if len(sys.argv) == 3 else measure(sys.argv[1])
    print(json.dumps(told))
    return 0


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
    waiting = [directory]
    while waiting:
        with os.scandir(waiting.pop()) as found:
            for entry in found:
                entries += 1
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    size += entry.stat(follow_symlinks=False).st_size
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


if __name__ == "__main__":
    sys.exit(main())
