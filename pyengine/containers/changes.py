"""What a container has written: its upper layer, compared with its image (row O23)."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pyengine.containers.house import House
from pyengine.containers.interpreter import command, environment
from pyengine.containers.rootfs import LAYER_DIRECTORIES, LAYER_FILES
from pyengine.errors import StoreError
from pyengine.model.change import Change, ChangeKind
from pyengine.model.record import Farm

if TYPE_CHECKING:
    from pyengine.linux.native_joiner import Joiner

# what hides all below: root's mark, or everybody else's
_MARKS = {True: "trusted.overlay.opaque", False: "user.overlay.opaque"}
_opaque = _MARKS[os.geteuid() == 0]

_LARGEST = 64 << 20
"""Bytes of what may be told of changes that only the root of its users can see."""


def diff(house: House, container_id: str) -> list[Change]:
    """Added, changed and deleted paths, sorted; what every root needs and mounts are left out."""
    house.enter()
    record = house.catalog.record(container_id)
    upper = house.catalog.home(container_id).upper
    mounts = tuple(mount.target for mount in record.spec.mounts)
    try:
        changes = _diff(upper, record.layers, mounts)
    except PermissionError:
        if os.geteuid() == 0 or house.joiner.ids is None or house.joiner.ids.is_single:
            raise
        changes = _as_their_root(house.joiner, upper, record.layers, mounts)
    return changes if record.farm is None else _beyond_ground(changes, record.farm, upper)


def _beyond_ground(changes: list[Change], farm: Farm, upper: str) -> list[Change]:
    """*changes* of a root of pieces: what was there between them has not changed."""
    from pyengine.containers.farm import is_as_laid, taken_away

    deleted = {Change(path, ChangeKind.DELETED) for path in taken_away(farm, upper)}
    changes = sorted(deleted.union(changes), key=lambda change: change.path)
    above = {at for change in changes for at in _parents(change) if change.kind is not _CHANGED}
    kept: list[Change] = []
    for change in reversed(changes):  # what is below a directory comes before it
        as_laid = change.kind is _CHANGED and is_as_laid(upper, change.path)
        if not as_laid or change.path in above:
            kept.append(change)
            above.update(_parents(change))
    return kept[::-1]


def _parents(change: Change) -> Iterator[str]:
    path = change.path
    while path := path.rpartition("/")[0]:
        yield path


_CHANGED = ChangeKind.CHANGED


def _as_their_root(
    joiner: Joiner, upper: str, layers: tuple[str, ...], mounts: tuple[str, ...]
) -> list[Change]:
    """What belongs to other users of ours is seen by a process that is root among them."""
    words = command(__name__, json.dumps([upper, layers, mounts]))
    told = joiner.run(words, environment(), _LARGEST)
    if told.code != 0:
        raise StoreError(upper, f"it could not be looked into ({told.words[-200:]!r})")
    return [Change(path, ChangeKind(kind)) for kind, path in json.loads(told.words)]


def main() -> int:
    """Such a process."""
    global _opaque
    _opaque = _MARKS[False]  # it is root, but not the host's
    upper, layers, mounts = json.loads(sys.argv[1])
    changes = _diff(upper, tuple(layers), tuple(mounts))
    print(json.dumps([(change.kind.value, change.path) for change in changes]))
    return 0


def _diff(upper: str, layers: tuple[str, ...], mounts: tuple[str, ...]) -> list[Change]:
    hidden = LAYER_FILES | set(mounts)
    found: dict[str, ChangeKind] = {}
    for path, kind in _walk(upper, layers, "", False):
        if path in hidden and kind is not ChangeKind.DELETED:
            continue
        given = path in LAYER_DIRECTORIES and kind is ChangeKind.ADDED
        found[path] = ChangeKind.CHANGED if given else kind
    _forget_parents(found, upper, hidden)
    return [Change(path, found[path]) for path in sorted(found)]


def _walk(
    upper: str, layers: tuple[str, ...], below: str, hides: bool
) -> Iterator[tuple[str, ChangeKind]]:
    """Every entry of the upper layer; *hides*: a directory above is opaque, so all is new."""
    try:
        entries = sorted(os.scandir(upper + below), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        path = f"{below}/{entry.name}"
        try:
            mode = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # the container goes on while we look
            continue
        if stat.S_ISCHR(mode.st_mode) and mode.st_rdev == 0:
            if not hides and _exists(layers, path):
                yield path, ChangeKind.DELETED
            continue
        below_image = not hides and _exists(layers, path)
        yield path, ChangeKind.CHANGED if below_image else ChangeKind.ADDED
        if stat.S_ISDIR(mode.st_mode):
            yield from _walk_directory(upper, layers, path, hides, below_image)


def _walk_directory(
    upper: str, layers: tuple[str, ...], path: str, hides: bool, in_image: bool
) -> Iterator[tuple[str, ChangeKind]]:
    opaque = in_image and _is_opaque(upper + path)
    if opaque:
        for name in _names(layers, path):
            if not os.path.lexists(f"{upper}{path}/{name}"):
                yield f"{path}/{name}", ChangeKind.DELETED
    yield from _walk(upper, layers, path, hides or not in_image)


def _exists(layers: tuple[str, ...], path: str) -> bool:
    return any(_lexists(layer, path) for layer in layers)


def _lexists(layer: str, path: str) -> bool:
    """Whether the layer has *path* itself; a link above it is not followed out of it."""
    current = layer
    parts = path.split("/")[1:]
    for part in parts[:-1]:
        current = f"{current}/{part}"
        try:
            if not stat.S_ISDIR(os.lstat(current).st_mode):
                return False
        except OSError:
            return False
    try:
        found = os.lstat(f"{current}/{parts[-1]}")
    except OSError:
        return False
    return not (stat.S_ISCHR(found.st_mode) and found.st_rdev == 0)


def _names(layers: tuple[str, ...], path: str) -> set[str]:
    names: set[str] = set()
    for layer in layers:
        if _lexists(layer, path) and os.path.isdir(layer + path):
            names.update(os.listdir(layer + path))
    return names


def _is_opaque(path: str) -> bool:
    try:
        return os.getxattr(path, _opaque, follow_symlinks=False) == b"y"
    except OSError:
        return False


def _forget_parents(found: dict[str, ChangeKind], upper: str, hidden: frozenset[str]) -> None:
    """A directory that was copied up only because of what is hidden below it has not changed."""
    above = {path.rpartition("/")[0] for path in hidden} | hidden
    for path in sorted(found, key=len, reverse=True):
        if path not in above or found[path] is not ChangeKind.CHANGED:
            continue
        if not any(other.startswith(f"{path}/") for other in found):
            children = os.listdir(upper + path) if os.path.isdir(upper + path) else ["?"]
            if children and all(f"{path}/{child}" in hidden | above for child in children):
                del found[path]


if __name__ == "__main__":
    sys.exit(main())
