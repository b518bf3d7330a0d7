"""What a container has written: its upper layer, compared with its image (row O23)."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pyengine.containers import layer_view
from pyengine.containers.house import House
from pyengine.containers.rootfs import LAYER_DIRECTORIES, LAYER_FILES
from pyengine.containers.their_root import ask
from pyengine.model.change import Change, ChangeKind
from pyengine.model.record import Farm

if TYPE_CHECKING:
    from pyengine.linux.native_joiner import Joiner

_opaque = layer_view.MARK


def diff(house: House, container_id: str) -> list[Change]:
    """Added, changed and deleted paths, sorted; what every root needs and mounts are left out."""
    house.enter()
    record = house.catalog.record(container_id)
    upper = house.catalog.home(container_id).upper
    mounts = tuple(mount.target for mount in record.spec.mounts)
    stack = (upper, *record.layers)
    try:
        changes = _diff(stack, record.committed + 1, mounts)
    except PermissionError:
        if os.geteuid() == 0:
            raise
        changes = _as_their_root(house.joiner, stack, record.committed + 1, mounts)
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
    joiner: Joiner, stack: tuple[str, ...], own: int, mounts: tuple[str, ...]
) -> list[Change]:
    """What belongs to other users of ours is seen by a process that is root among them."""
    told = ask(joiner, __name__, json.dumps([stack, own, mounts]))
    return [Change(path, ChangeKind(kind)) for kind, path in json.loads(told)]


def main() -> int:
    """Such a process."""
    global _opaque
    _opaque = layer_view.MARKS[False]  # it is root, but not the host's
    stack, own, mounts = json.loads(sys.argv[1])
    changes = _diff(tuple(stack), own, tuple(mounts))
    print(json.dumps([(change.kind.value, change.path) for change in changes]))
    return 0


def _diff(stack: tuple[str, ...], own: int, mounts: tuple[str, ...]) -> list[Change]:
    """What the topmost *own* layers of *stack* change of the others."""
    found: dict[str, ChangeKind] = {}
    for number in reversed(range(own)):
        _merge(found, _layer_diff(stack[number], stack[number + 1 :], mounts))
    return [Change(path, found[path]) for path in sorted(found)]


_BOTH = {
    (ChangeKind.ADDED, ChangeKind.CHANGED): ChangeKind.ADDED,
    (ChangeKind.ADDED, ChangeKind.DELETED): None,
    (ChangeKind.DELETED, ChangeKind.ADDED): ChangeKind.CHANGED,
}
"""What one change after another is together, where it is not the second."""


def _merge(found: dict[str, ChangeKind], later: dict[str, ChangeKind]) -> None:
    for path, kind in later.items():
        if kind is ChangeKind.DELETED:
            for below in [other for other in found if other.startswith(f"{path}/")]:
                del found[below]
        before = found.pop(path, None)
        both = kind if before is None else _BOTH.get((before, kind), kind)
        if both is not None:
            found[path] = both


def _layer_diff(
    upper: str, layers: tuple[str, ...], mounts: tuple[str, ...]
) -> dict[str, ChangeKind]:
    hidden = LAYER_FILES | set(mounts)
    found: dict[str, ChangeKind] = {}
    for path, kind in _walk(upper, layers, "", False):
        if path in hidden and kind is not ChangeKind.DELETED:
            continue
        given = path in LAYER_DIRECTORIES and kind is ChangeKind.ADDED
        found[path] = ChangeKind.CHANGED if given else kind
    _forget_parents(found, upper, hidden)
    return found


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
    if in_image and layer_view.is_opaque(upper + path, _opaque):
        for name in layer_view.names(layers, path[1:], _opaque):
            if not os.path.lexists(f"{upper}{path}/{name}"):
                yield f"{path}/{name}", ChangeKind.DELETED
    yield from _walk(upper, layers, path, hides or not in_image)


def _exists(layers: tuple[str, ...], path: str) -> bool:
    try:
        return layer_view.look(layers, path[1:], _opaque) is not None
    except PermissionError:
        if layers[-1] == "/":  # the host's own, and closed to us: there is nothing for us there
            return False
        raise


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
