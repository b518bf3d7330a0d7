"""What single containers have left where others have it too: names, streams, cgroups, shares."""

from __future__ import annotations

import fcntl
import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress

from pyengine.containers import streams
from pyengine.containers.removing import remove_tree
from pyengine.errors import KernelError, StoreError
from pyengine.linux.cgroup import Cgroup, Hierarchy
from pyengine.model.record import ContainerRecord
from pyengine.model.state import LIVELY, ContainerState
from pyengine.store import leases, owners, records
from pyengine.store.layout import STEADY, Layout

ABANDONED = 60.0
"""Seconds after which what was being made is nobody's any more."""


def age(path: str) -> float:
    """Seconds since something was made at *path*, or in it; none where nothing is there."""
    try:
        return time.time() - os.lstat(path).st_mtime
    except FileNotFoundError:
        return 0.0


def sweep_names(layout: Layout) -> None:
    """Give back names of containers that are gone, and second names of those that are there.

    A `rename` that was killed half-way leaves both; which of them counts the record says.
    """
    holders: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in os.listdir(layout.names):
        holder = owners.holder_of(layout, name)
        if holder is not None:
            holders[holder].append(name)
    for holder, names in holders.items():
        if len(names) > 1:
            _settle_names(layout, holder, names)
        elif owners.is_gone(layout, *holder):
            owners.release_name(layout, names[0], *holder)


def _settle_names(layout: Layout, holder: tuple[str, str], names: list[str]) -> None:
    if owners.is_gone(layout, *holder):
        for name in names:
            owners.release_name(layout, name, *holder)
        return
    home = layout.home(*holder)
    with _tried(home.path) as is_ours:
        if not is_ours:  # somebody renames it just now
            return
        try:
            record = records.read(home.record, ContainerRecord)
        except StoreError:  # damaged: then nobody knows
            return
        if record is not None and record.spec.name in names:
            for name in names:
                if name != record.spec.name:
                    owners.release_name(layout, name, *holder)


def sweep_cgroups(
    layout: Layout,
    hierarchy: Hierarchy,
    lively: Collection[str],
    warn: Callable[[str, object], object],
) -> None:
    """Remove cgroups of nobody's containers that do not run, of which *lively* are the ids.

    Those in a parent of their own go when the container starts again, or goes.
    """
    for container_id in hierarchy.in_level(STEADY):
        home = layout.home(STEADY, container_id)
        if container_id in lively or len(container_id) != 64:
            continue
        if not os.path.isdir(home.path):
            _end_old_cgroup(hierarchy, container_id)
            continue
        with _tried(home.path) as is_ours:  # or it may be starting just now
            if is_ours and not _is_lively(home.state):
                try:
                    end_cgroup(hierarchy, container_id, "", STEADY)
                except KernelError as error:
                    warn("left for later: %s", error)


def _end_old_cgroup(hierarchy: Hierarchy, container_id: str) -> None:
    """Remove one that is no container's of this root, but may be another's who starts it now.

    Where it was removed at its end, and its cgroup could not be, nothing else remembers that.
    """
    cgroup = Cgroup.open(hierarchy, container_id, "", STEADY)
    found = [path for path in (cgroup.v2_path, *cgroup.v1_paths.values()) if path is not None]
    if not found or min(map(age, found)) < ABANDONED:
        return
    with suppress(KernelError):  # another process is quicker, or the next opener tries again
        if not cgroup.is_populated():
            cgroup.remove(timeout=0)


def end_cgroup(hierarchy: Hierarchy, container_id: str, parent: str, level: str = "") -> None:
    """Kill what still runs in a container's cgroups, and remove them. Raises `KernelError`."""
    cgroup = Cgroup.open(hierarchy, container_id, parent, level)
    cgroup.kill()
    cgroup.remove()


def sweep_keepers_names(layout: Layout) -> None:
    """Remove what named a keeper's desk that is gone; who starts a keeper holds the lock."""
    from pyengine.containers.asking import KEEPER

    for name in (KEEPER, f"{KEEPER}.new"):
        path = f"{layout.desks}/{name}"
        if not _dangles(path):
            continue
        with _tried(layout.keeper_lock) as is_ours:
            if is_ours and _dangles(path):
                with suppress(OSError):  # then the next opener tries again
                    os.unlink(path)


def _dangles(path: str) -> bool:
    return os.path.islink(path) and not os.path.exists(path)


def sweep_streams(layout: Layout, lively: Collection[str]) -> None:
    """Remove the streams of containers that do not run, of which *lively* are the ids."""
    try:
        found = os.listdir(os.path.dirname(layout.streams("")))
    except (FileNotFoundError, NotADirectoryError):
        return
    for container_id in found:
        if container_id in lively or len(container_id) != 64:
            continue
        with suppress(StoreError):  # there is something else in it: that is not ours
            home = layout.home(STEADY, container_id)
            if not os.path.isdir(home.path):
                streams.remove(layout, container_id)
                continue
            with _tried(home.path) as is_ours:  # or it may be starting just now
                if is_ours and not _is_lively(home.state):
                    streams.remove(layout, container_id)


def sweep_unheld(layout: Layout, lively: Collection[str], is_alive: Callable[[str], bool]) -> None:
    """Remove shared containers that do not run, and that nobody who *is_alive* holds."""
    for container_id in owners.containers_of(layout, STEADY):
        home = layout.home(STEADY, container_id)
        if container_id in lively or not os.path.isdir(home.leases):
            continue
        with _tried(home.path) as is_ours:  # or somebody is about to hold it
            if is_ours and not _is_lively(home.state) and not leases.holders(home, is_alive):
                _remove(f"{layout.owners}/{STEADY}", container_id)


def _remove(directory: str, name: str) -> None:
    parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_tree(parent, name)
    finally:
        os.close(parent)


def _is_lively(path: str) -> bool:
    try:
        state = records.read(path, ContainerState)
    except StoreError:  # damaged: nobody knows
        return True
    return state is not None and state.status in LIVELY


@contextmanager
def _tried(path: str) -> Iterator[bool]:
    """Hold the lock of a container's directory *path*, or of a file, unless somebody else does."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(fd)
