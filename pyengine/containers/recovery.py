"""What a process that died has left behind, put right when a root is opened.

Its guard has done most of it by then (csrc/ward.c, in the same order): this is for what a guard
cannot know, and for one that was killed with its owner. The kernel is believed first, the file
second:

==============================================  ==================================  ==============
What is found                                   What it means                       What is done
==============================================  ==================================  ==============
an owner directory that somebody holds locked   its process lives                   nothing
… that nobody holds, or whose process is gone   its process was killed              all of it goes
… of a process that is being made (``.new-``)   not true yet                        nothing, or it
                                                                                    goes with age
… of a dead process (``.dead-``)                its removal is not done             it is done
… of a dead process, that cannot be renamed     the disk may only be read           its cgroups go,
                                                                                    the rest later
a container in such a directory                 it died with its process            killed, removed
a cgroup level of such an owner                 so did all in it                    killed, and
                                                                                    removed first
an empty level whose owner is gone              all in it was put right             removed
a container of ``none`` that says it runs,      its watcher was killed              killed, marked
watched by a process that is gone                                                   as exited
… and was started by a keeper                   its keeper was killed               nothing: the
                                                                                    next takes it on
a cgroup of one of ``none`` that does not run   its keeper was killed at starting   killed, removed;
                                                it, or could not remove it          what is refused
                                                                                    is logged, and
                                                                                    tried next time
an empty cgroup of none whose container is in   its container was removed before    it goes with age
no directory of this root                       it, or it is another root's
a desk's socket whose owner is gone             its process was killed              removed
a keeper's name where no desk is                it was killed                       removed, unless
                                                                                    one is starting
the guard of a dead keeper, and no container    it keeps descriptors for nobody     it is sent
that could need what it keeps                                                       away
a container's directory without a record        it was being made, or removed       removed with age
… whose state is that of a living process       its record was lost                 nothing
a record that cannot be read                    it is damaged, or of a newer        nothing, unless
                                                version                             its owner died
a name whose container is gone                  its container was removed           given back
two names of a container                        it was being renamed                the one that it
                                                                                    says is kept
streams of a container that does not run        it ended, and so did its keeper     removed
a shared container that does not run, and no    its last holder was killed before    removed
holder who lives                                it ran
a layer with a dot in its name                  it was being made                   it goes with age
a range of ids whose holder is gone             its container was removed           given back
anything else                                   it is not ours                      nothing
==============================================  ==================================  ==============
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from attrs import evolve

from pyengine.containers import leftovers
from pyengine.containers.leftovers import ABANDONED, age
from pyengine.containers.removing import remove_patiently, remove_tree
from pyengine.errors import EngineError, KernelError, StoreError
from pyengine.linux.cgroup import Cgroup, Hierarchy
from pyengine.linux.cgroup_files import wait_until
from pyengine.linux.process import is_alive, pid_namespace, start_time
from pyengine.model.record import ContainerRecord
from pyengine.model.state import LIVELY, ContainerState, Status
from pyengine.store import owners, records
from pyengine.store.layout import STEADY, Layout

UNKNOWN_EXIT = 137
"""The exit code of a program that died with its watcher: it got SIGKILL (128 + 9)."""

LOST_EXIT = 255
"""The exit code of a program that ended when nobody watched it."""

UNWATCHED = "its watcher was killed"
"""Why nobody knows more."""

_OTHERS = 5.0
"""Seconds to wait for another who buries the same."""

_STAGED_LAYER = re.compile(r"[0-9a-f]+\.[0-9a-f]{8}", re.ASCII)


class Tell(Protocol):
    """Who is told what has happened to a container."""

    def __call__(self, action: str, record: ContainerRecord, **more: str) -> object: ...


def recover(
    layout: Layout,
    hierarchy: Hierarchy,
    tell: Tell = lambda *_, **__: None,
    warn: Callable[[str, object], object] = lambda *_: None,
) -> bool:
    """Put right what dead processes have left. Safe to be killed in, and to run at once in many.

    *tell* hears of what ends with that, and of what is removed: at least once; of what a guard
    has buried nobody hears. *warn* is told, in a text and what goes into it, of what cannot be
    put right this time. Whether there are containers that only the next keeper can take on.
    """
    for name, lock in owners.orphans(layout, _lives):
        try:
            # out of sight first: nobody shall see half of it
            if name != STEADY and owners.hide(layout, name) == name:
                with _left_for_later(warn):  # it cannot be written to: what runs ends all the same
                    _end_levels(Cgroup.levels(hierarchy, name))
        finally:
            os.close(lock)
    _sweep_hidden(layout, hierarchy, tell, warn)
    sweeps: tuple[Callable[[], object], ...] = (
        lambda: _sweep_levels(hierarchy),
        lambda: _sweep_layers(layout),
        lambda: leftovers.sweep_names(layout),
        _sweep_ids,
        lambda: _sweep_desks(layout),
    )
    _sweep_all(sweeps, warn)
    watchers: dict[str, bool] = {}
    orphaned = False
    lively = set()
    for container_id in owners.containers_of(layout, STEADY):
        status: bool | None = False  # what is not understood is not touched below either
        with _left_for_later(warn):
            status = settle(layout, hierarchy, container_id, watchers, tell)
        if status is not None:
            lively.add(container_id)
            orphaned = orphaned or status
    leftovers.sweep_cgroups(layout, hierarchy, lively, warn)
    sweeps = (
        lambda: leftovers.sweep_streams(layout, lively),
        lambda: leftovers.sweep_unheld(layout, lively, lambda owner: watcher_lives(layout, owner)),
        lambda: None if orphaned else sweep_doors(layout),
    )
    _sweep_all(sweeps, warn)
    return orphaned


def _sweep_all(
    sweeps: Iterable[Callable[[], object]], warn: Callable[[str, object], object]
) -> None:
    for sweep in sweeps:
        with _left_for_later(warn):
            sweep()


@contextmanager
def _left_for_later(warn: Callable[[str, object], object]) -> Iterator[None]:
    """What one thing on disk keeps us from doing keeps us from nothing else."""
    try:
        yield
    except (EngineError, OSError) as error:
        warn("left for later: %s", error)


def _lives(owner: owners.Owner) -> bool:
    if owner.pid_namespace != pid_namespace():
        return True  # its pids mean nothing to us; its lock, which is held, does
    return is_alive(owner.pid, owner.start_time)


def watcher_lives(layout: Layout, watcher: str) -> bool:
    """Whether the process with the owner directory *watcher* is still there."""
    try:
        owner = records.read(f"{layout.owners}/{watcher}/owner.json", owners.Owner)
    except StoreError:
        owner = None
    if owner is None:  # it does not say (any more) whose it is; were it dead, nobody would hold it
        return owners.is_held(layout, watcher)
    return _lives(owner)


def _bury(layout: Layout, hierarchy: Hierarchy, name: str, tell: Tell) -> None:
    levels = Cgroup.levels(hierarchy, name.removeprefix(owners.DEAD))
    for level in levels:  # first, with one write: it also ends who is being born just now
        level.kill()
    for container_id in owners.containers_of(layout, name):
        record = _record(layout, name, container_id)
        if record is None:  # damaged: then it is where containers are by default
            continue
        if record.spec.cgroup_parent:
            leftovers.end_cgroup(hierarchy, container_id, record.spec.cgroup_parent)
        if _ran(layout, name, container_id, record):
            tell("die", record, exitCode=str(UNKNOWN_EXIT))
        tell("destroy", record)
    for level in levels:
        level.remove()
    remove_patiently(layout.owners, name)  # last: as long as it is there, somebody will try again


def _end_levels(levels: list[Cgroup]) -> None:
    for level in levels:
        level.kill()
        level.remove()


def _record(layout: Layout, owner: str, container_id: str) -> ContainerRecord | None:
    try:
        return records.read(layout.home(owner, container_id).record, ContainerRecord)
    except StoreError:
        return None


def _ran(layout: Layout, owner: str, container_id: str, record: ContainerRecord) -> bool:
    """Whether it was alive when its owner was killed."""
    try:
        state = records.read(layout.home(owner, container_id).state, ContainerState)
    except StoreError:
        return False
    return (state or record.born or ContainerState()).status in LIVELY


def is_orphaned(layout: Layout, state: ContainerState) -> bool:
    """Whether it says of a container that a keeper watches it who is gone."""
    return state.kept and state.status in LIVELY and not watcher_lives(layout, state.watcher)


def settle(
    layout: Layout,
    hierarchy: Hierarchy,
    container_id: str,
    watchers: dict[str, bool],
    tell: Tell = lambda *_, **__: None,
) -> bool | None:
    """Mark a detached container as exited, if it says it runs and nobody watches it.

    `None` where it does not run (any more); else whether it is left to the next keeper.
    *watchers* remembers who lives.
    """
    home = layout.home(STEADY, container_id)
    if not os.path.lexists(home.record):
        return _remove_half_made(layout, container_id)
    try:
        state = records.read(home.state, ContainerState) or ContainerState()
    except EngineError:  # nobody knows: what is its is not touched
        return False
    if state.status not in LIVELY:
        return None
    if state.watcher not in watchers:
        watchers[state.watcher] = watcher_lives(layout, state.watcher)
    if watchers[state.watcher]:
        return False
    if state.kept:
        return True
    if state.status is Status.RESTARTING:  # nothing runs, and how it ended is known
        records.write(home.state, evolve(state, status=Status.EXITED, watcher=""))
        return None
    record = _record(layout, STEADY, container_id)
    parent = record.spec.cgroup_parent if record is not None else ""
    leftovers.end_cgroup(hierarchy, container_id, parent, state.watcher)
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
    if record is not None:
        tell("die", record, exitCode=str(UNKNOWN_EXIT))
    return None


def _remove_half_made(layout: Layout, container_id: str) -> bool | None:
    """Answers as `settle`: one that has lost its record, and runs, is left alone."""
    home = layout.home(STEADY, container_id)
    if not os.path.isdir(home.path) or os.path.islink(home.path):
        return None
    try:
        state = records.read(home.state, ContainerState) or ContainerState()
    except StoreError:
        return False
    if is_alive(state.pid, state.start_time):
        return False
    if age(home.path) < ABANDONED:
        return None
    parent = os.open(f"{layout.owners}/{STEADY}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_tree(parent, container_id)
    finally:
        os.close(parent)
    return None


def _sweep_hidden(
    layout: Layout, hierarchy: Hierarchy, tell: Tell, warn: Callable[[str, object], object]
) -> None:
    """Owner directories of the dead, and those that never came to be."""
    found = [
        name
        for name in os.listdir(layout.owners)
        if _is_hidden(name, owners.DEAD)
        or (_is_hidden(name, owners.STAGED) and age(f"{layout.owners}/{name}") > ABANDONED)
    ]
    for name in found:
        with _left_for_later(warn):
            try:
                _bury(layout, hierarchy, name, tell)
            except KernelError as error:
                if error.errno == errno.EROFS:
                    raise
                _await_removal(layout, name)  # another process, or its guard, is at it too


def _is_hidden(name: str, mark: str) -> bool:
    return name.startswith(mark) and owners.is_name(name.removeprefix(mark))


def _await_removal(layout: Layout, name: str) -> None:
    path = f"{layout.owners}/{name}"
    wait_until(lambda: not os.path.isdir(path), _OTHERS)


def _sweep_levels(hierarchy: Hierarchy) -> None:
    """Empty cgroups of owners that are gone, of whatever root; whoever lives makes his anew."""
    for name in hierarchy.all_levels() - {STEADY}:
        if not start_time(int(name.partition("-")[0])):
            hierarchy.remove_level(name)


def _sweep_layers(layout: Layout) -> None:
    """Layers that were being made when their maker was killed."""
    for name in os.listdir(layout.layers):
        if _STAGED_LAYER.fullmatch(name) and age(f"{layout.layers}/{name}") > ABANDONED:
            _remove(layout.layers, name)


def _remove(directory: str, name: str) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_tree(fd, name)
    except KernelError:  # another process is at it too
        return
    finally:
        os.close(fd)


def _sweep_ids() -> None:
    """Ranges of any root's containers, for they are the host's; see `store.id_ranges`."""
    if os.geteuid() != 0:  # nobody else can have taken any
        return
    from pyengine.store import id_ranges

    with suppress(OSError, StoreError):  # who wants one will be told
        id_ranges.sweep()


def _sweep_desks(layout: Layout) -> None:
    for owner in _at_desks(layout, ".sock"):
        if not os.path.isdir(f"{layout.owners}/{owner}"):
            with suppress(OSError):  # another process was quicker, or the next opener tries again
                os.unlink(f"{layout.desks}/{owner}.sock")
    leftovers.sweep_keepers_names(layout)


def sweep_doors(layout: Layout) -> None:
    """What is kept of a dead keeper's is for who comes next; there is nobody to come."""
    for owner in _at_desks(layout, ".held"):
        if not watcher_lives(layout, owner):
            from pyengine.containers import handover

            handover.forget(layout, owner)


def _at_desks(layout: Layout, suffix: str) -> list[str]:
    """The owners who have, or had, a socket of that kind."""
    try:
        names = os.listdir(layout.desks)
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [name.removesuffix(suffix) for name in names if name.endswith(suffix)]
    return [name for name in found if owners.is_name(name)]
