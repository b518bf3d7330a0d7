"""Removing containers of which nobody can read any more what they are, or what they do."""

from __future__ import annotations

import os
from typing import TypeVar

from pyengine.containers import streams
from pyengine.containers.house import House
from pyengine.containers.waiting import PATIENCE
from pyengine.errors import ContainerNotFound, StoreError, TimedOut
from pyengine.linux import process
from pyengine.linux.cgroup import Cgroup
from pyengine.model.record import ContainerRecord
from pyengine.model.signals import SIGKILL
from pyengine.model.state import ContainerState
from pyengine.store import records
from pyengine.store.layout import STEADY, Home

_Value = TypeVar("_Value")


def remove(house: House, container_id: str, error: StoreError) -> None:
    """Remove a container by force whose records are damaged, as *error* tells.

    It is looked for where its records that can be read say, else where containers are by default.
    What a newer version has written is not damaged: *error* is raised, and nothing done.
    """
    home = house.catalog.home(container_id)
    if records.is_newer(home.record) or records.is_newer(home.state):
        raise error
    record = _read(home.record, ContainerRecord)
    _end(house, container_id, home, record.spec.cgroup_parent if record is not None else "")
    try:
        path, give_name_back = house.catalog.forsake(container_id)
    except ContainerNotFound:
        return
    if house.sweeper.throw_away(path, give_name_back):
        if path.split("/")[-2] == STEADY:
            streams.remove(house.layout, container_id)
        for waiting in house.expected(container_id):
            waiting.end()
        if record is not None:
            house.tell("destroy", record)
        else:
            house.events.emit("container", "destroy", container_id)


def _end(house: House, container_id: str, home: Home, parent: str) -> None:
    """End what runs in it: what we watch, what is in its cgroup, what its state says it is."""
    running = house.running.pop(container_id, None)
    if running is not None:
        running.kill()
        if not running.done.wait(PATIENCE):
            raise TimedOut(f"killing container {container_id[:12]}", PATIENCE)
        return
    state = _read(home.state, ContainerState) or ContainerState()
    pidfd = process.open_process(state.pid, state.start_time)
    cgroup = Cgroup.open(house.hierarchy, container_id, parent, pid=state.pid)
    cgroup.kill()
    if pidfd is not None:
        try:
            process.send_signal(pidfd, SIGKILL)
            process.has_ended(pidfd, PATIENCE)
        finally:
            os.close(pidfd)
    cgroup.remove()


def _read(path: str, kind: type[_Value]) -> _Value | None:
    try:
        return records.read(path, kind)
    except StoreError:
        return None
