"""What a process that died has left behind, put right when a root is opened.

The kernel is believed first, the file second:

==============================================  ==================================  ==============
What is found                                   What it means                       What is done
==============================================  ==================================  ==============
an owner directory that somebody holds locked   its process lives                   nothing
… that nobody holds, or whose process is gone   its process was killed              all of it goes
… of a process that is being made (``.new-``)   not true yet                        nothing, or it
                                                                                    goes with age
… of a dead process (``.dead-``)                its removal is not done             it is done
a container in such a directory                 it died with its process            killed, removed
a container of ``none`` that says it runs,      its watcher was killed              killed, marked
watched by a process that is gone                                                   as exited
a container's directory without a record        it was being made, or removed       removed
a name whose container is gone                  its container was removed           given back
==============================================  ==================================  ==============
"""

from __future__ import annotations

import os
import time

from attrs import evolve

from pyengine.errors import EngineError, KernelError, StoreError
from pyengine.linux import native
from pyengine.linux.cgroup import Cgroup, Hierarchy
from pyengine.linux.process import is_alive, pid_namespace
from pyengine.model.record import ContainerRecord
from pyengine.model.state import ContainerState, Status
from pyengine.store import owners, records
from pyengine.store.layout import STEADY, Layout

UNKNOWN_EXIT = 137
"""The exit code of a program that died with its watcher: it got SIGKILL (128 + 9)."""

UNWATCHED = "its watcher was killed"
"""Why nobody knows more."""

_DEAD = ".dead-"
_ABANDONED = 60.0
"""Seconds after which a directory that was being made is nobody's any more."""


def recover(layout: Layout, hierarchy: Hierarchy) -> None:
    """Put right what dead processes have left. Safe to be killed in, and to run at once in many."""
    gone = False
    for name, lock in owners.orphans(layout, _lives):
        try:
            if name != STEADY:  # out of sight first: nobody shall see half of it
                _hide(layout, name)
                gone = True
        finally:
            os.close(lock)
    _sweep_hidden(layout, hierarchy)
    if gone:
        _sweep_names(layout)
    for container_id in owners.containers_of(layout, STEADY):
        settle(layout, hierarchy, container_id)


def _lives(owner: owners.Owner) -> bool:
    if owner.pid_namespace != pid_namespace():
        return True  # its pids mean nothing to us; its lock, which is held, does
    return is_alive(owner.pid, owner.start_time)


def watcher_lives(layout: Layout, watcher: str) -> bool:
    """Whether the process with the owner directory *watcher* is still there."""
    try:
        owner = records.read(f"{layout.owners}/{watcher}/owner.json", owners.Owner)
    except StoreError:
        return False
    return owner is not None and _lives(owner)


def _hide(layout: Layout, name: str) -> None:
    try:
        os.rename(f"{layout.owners}/{name}", f"{layout.owners}/{_DEAD}{name}")
    except FileNotFoundError:  # another process was quicker
        return


def _bury(layout: Layout, hierarchy: Hierarchy, name: str) -> None:
    for container_id in owners.containers_of(layout, name):
        end_cgroup(layout, hierarchy, name, container_id)
    parent = os.open(layout.owners, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        native.remove_tree(parent, name)
    finally:
        os.close(parent)


def end_cgroup(layout: Layout, hierarchy: Hierarchy, owner: str, container_id: str) -> None:
    """Kill what still runs in a container's cgroups, and remove them."""
    try:
        record = records.read(layout.home(owner, container_id).record, ContainerRecord)
    except StoreError:  # damaged: then it is where containers are by default
        record = None
    parent = record.spec.cgroup_parent if record is not None else ""
    cgroup = Cgroup.open(hierarchy, container_id, parent)
    cgroup.kill()
    cgroup.remove()


def settle(layout: Layout, hierarchy: Hierarchy, container_id: str) -> None:
    """Mark a detached container as exited, if it says it runs and nobody watches it."""
    home = layout.home(STEADY, container_id)
    if not os.path.exists(home.record):
        _remove_half_made(layout, container_id)
        return
    try:
        state = records.read(home.state, ContainerState) or ContainerState()
    except EngineError:
        return
    if state.status not in (Status.RUNNING, Status.PAUSED):
        return
    if watcher_lives(layout, state.watcher):
        return
    end_cgroup(layout, hierarchy, STEADY, container_id)
    exited = evolve(
        state,
        status=Status.EXITED,
        pid=0,
        start_time=0,
        exit_code=UNKNOWN_EXIT,
        finished=time.time(),
        error=UNWATCHED,
    )
    records.write(home.state, exited)


def _remove_half_made(layout: Layout, container_id: str) -> None:
    path = layout.home(STEADY, container_id).path
    if _age(path) < _ABANDONED:
        return
    parent = os.open(f"{layout.owners}/{STEADY}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        native.remove_tree(parent, container_id)
    finally:
        os.close(parent)


def _sweep_hidden(layout: Layout, hierarchy: Hierarchy) -> None:
    """Owner directories of the dead, and those that never came to be."""
    for name in os.listdir(layout.owners):
        try:
            if name.startswith(_DEAD) or (
                name.startswith(owners.STAGED) and _age(f"{layout.owners}/{name}") > _ABANDONED
            ):
                _bury(layout, hierarchy, name)
        except KernelError:  # another process is at it too
            continue


def _sweep_names(layout: Layout) -> None:
    for name in os.listdir(layout.names):
        holder = owners.holder_of(layout, name)
        if holder is not None and owners.is_gone(layout, *holder):
            owners.release_name(layout, name, *holder)


def _age(path: str) -> float:
    try:
        return time.time() - os.lstat(path).st_mtime
    except FileNotFoundError:
        return 0.0
