"""What a container is and does, asked of the kernel first and of its record second."""

from __future__ import annotations

import os
from collections.abc import Iterator

from attrs import evolve

from pyengine.containers import recovery
from pyengine.containers.house import House
from pyengine.containers.running import Running
from pyengine.errors import ContainerNotFound, StoreError, Unsupported, WrongState
from pyengine.linux.cgroup import Cgroup
from pyengine.linux.process import has_ended, is_alive, open_process
from pyengine.linux.processes import list_processes, namesakes
from pyengine.model.health import Health, HealthStatus, is_checked
from pyengine.model.info import ContainerInfo
from pyengine.model.process_info import ProcessInfo
from pyengine.model.record import ContainerRecord
from pyengine.model.spec import ContainerSpec
from pyengine.model.state import ContainerState, Status
from pyengine.model.stats import Stats
from pyengine.store import records
from pyengine.store.layout import Home


def state_of(house: House, container_id: str) -> ContainerState:
    """What it does, as the kernel sees it: nobody runs who is dead."""
    state = house.catalog.state(container_id)
    if state.status not in (Status.RUNNING, Status.PAUSED):
        if state.status is not Status.RESTARTING:
            return state
        goes_on = state.kept or recovery.watcher_lives(house.layout, state.watcher)
        return state if goes_on else evolve(state, status=Status.EXITED)
    running = house.running.get(container_id)
    if running is not None and running.born.pid == state.pid:
        dead = running.is_over  # we hold its pidfd: its number cannot be anybody else's
        if running.done.is_set():
            return end_of(running, state)  # there was no space to write it down
    else:
        dead = not is_alive(state.pid, state.start_time)
    if not dead:
        return state
    if house.catalog.record(container_id).spec.restart != "no" and (
        recovery.watcher_lives(house.layout, state.watcher)
    ):
        return state  # it may start again: that is up to its watcher, who is about to decide it
    ended = evolve(state, status=Status.EXITED, pid=0, start_time=0)
    if state.kept and not recovery.watcher_lives(house.layout, state.watcher):
        return evolve(ended, exit_code=recovery.LOST_EXIT, error=recovery.UNWATCHED)
    if recovery.watcher_lives(house.layout, state.watcher):  # who is about to record its end
        return ended
    return evolve(ended, exit_code=recovery.UNKNOWN_EXIT, error=recovery.UNWATCHED)


def end_of(running: Running, state: ContainerState) -> ContainerState:
    """The state after *state* of a container whose program has ended."""
    exited = running.exit
    return evolve(
        state,
        status=Status.EXITED,
        pid=0,
        start_time=0,
        finished=state.started + running.duration,
        exit_code=exited.exit_code,
        signal=exited.signal or 0,
        oom_killed=exited.oom_killed,
        error=exited.error,
        stopped_by_hand=state.stopped_by_hand or running.stopped_by_hand,
        watcher="",
        kept=False,
    )


def status_of(house: House, container_id: str) -> Status:
    """The one word of `state_of`."""
    return state_of(house, container_id).status


def cgroup_of(house: House, container_id: str) -> Cgroup:
    """Its cgroups, as its record says where they are."""
    running = house.running.get(container_id)
    if running is not None:
        return running.cgroup
    spec = house.catalog.record(container_id).spec
    pid = house.catalog.state(container_id).pid
    return Cgroup.open(house.hierarchy, container_id, spec.cgroup_parent, pid=pid)


def require_running(
    house: House, container_id: str, action: str
) -> tuple[ContainerRecord, ContainerState]:
    """Its record and its state, if it runs; else `WrongState`, for a paused one too."""
    house.enter()
    record = house.catalog.record(container_id)
    state = state_of(house, container_id)
    if state.status is Status.PAUSED:
        raise WrongState(record.spec.name, "paused", action, "unpause it first")
    if state.status is not Status.RUNNING:
        hint = f"container {record.spec.id} is not running"
        raise WrongState(record.spec.name, str(state.status), action, hint)
    return record, state


def inspect(house: House, container_id: str, *, size: bool = False) -> ContainerInfo:
    """Everything of it, as it is now. Raises `ContainerNotFound`."""
    house.enter()
    record = house.catalog.record(container_id)
    home = house.catalog.home(container_id)
    state = state_of(house, container_id)
    return ContainerInfo(
        spec=record.spec,
        state=state,
        log_path=home.log if record.spec.log.driver == "json-file" else "",
        root=home.upper,
        size=_size(house, home.upper) if size else None,
        health=health_of(house, record.spec, state) if record.spec.health is not None else None,
        holders=_holders(house, home) if os.path.isdir(home.leases) else None,
        image_id=record.image_id,
    )


def _holders(house: House, home: Home) -> tuple[int, ...]:
    """The pids of those who share it: the directory of an owner begins with his."""
    from pyengine.store import leases

    found = leases.holders(home, lambda owner: recovery.watcher_lives(house.layout, owner))
    return tuple(sorted({int(owner.partition("-")[0]) for owner in found}))


def health_of(house: House, spec: ContainerSpec, state: ContainerState) -> Health | None:
    """What its health checks have said since it was started; `None` where there are none.

    One that has ended is not well, whatever they said.
    """
    if not is_checked(spec.health) or not state.started:
        return None
    try:
        health = records.read(house.catalog.home(spec.id).health, Health)
    except StoreError:
        health = None
    if health is None or health.run != state.started:  # the first check of this run is to come
        health = Health(run=state.started)
    if state.status not in (Status.RUNNING, Status.PAUSED):
        health = evolve(health, status=HealthStatus.UNHEALTHY)
    return health


def _size(house: House, directory: str) -> int:
    """Bytes in the files below, also in those that belong to other users of the container's."""
    from pyengine.containers.tree_size import size_of, size_of_readable

    try:
        return size_of(directory)
    except PermissionError:
        if os.geteuid() == 0:
            return size_of_readable(directory)
    from pyengine.containers import their_root, tree_size

    return int(their_root.ask(house.joiner, tree_size.__name__, directory))


def all_infos(
    house: House, *, size: bool = False, unreadable: list[StoreError] | None = None
) -> Iterator[ContainerInfo]:
    """Every container that is there while we look.

    One whose records cannot be read is left out, and why is put in *unreadable*, and logged.
    """
    house.enter()
    for container_id in house.catalog.ids():
        try:
            yield inspect(house, container_id, size=size)
        except ContainerNotFound:
            continue
        except StoreError as error:
            house.warn("a container is left out: %s", error)
            if unreadable is not None:
                unreadable.append(error)


def processes(house: House, container_id: str) -> list[ProcessInfo]:
    """Its processes (row O17). Raises `WrongState` where none runs."""
    house.enter()
    record = house.catalog.record(container_id)
    if status_of(house, container_id) not in (Status.RUNNING, Status.PAUSED):
        hint = f"container {record.spec.id} is not running"
        raise WrongState(record.spec.name, str(status_of(house, container_id)), "list", hint)
    cgroup = cgroup_of(house, container_id)
    if _is_nowhere(cgroup):
        return list_processes(namesakes(house.catalog.state(container_id).pid))
    return list_processes(cgroup.processes())


def _is_nowhere(cgroup: Cgroup) -> bool:
    """Whether no cgroup tree of the host is ours to write to."""
    return cgroup.v2_path is None and not cgroup.v1_paths


def stats(house: House, container_id: str, previous: Stats | None = None) -> Stats:
    """One sample of what it uses; all zero where it does not run (row O18)."""
    from pyengine.containers.statistics import sample

    house.enter()
    record = house.catalog.record(container_id)
    state = state_of(house, container_id)
    if state.status not in (Status.RUNNING, Status.PAUSED):
        return Stats()
    pid = None if record.spec.namespaces.network == "host" else state.pid
    cgroup = cgroup_of(house, container_id)
    if _is_nowhere(cgroup):
        raise Unsupported("stats", *house.hierarchy.why_nowhere())
    return sample(cgroup, network_pid=pid, previous=previous)


def watch_stats(house: House, container_id: str, interval: float) -> Iterator[Stats]:
    """A sample every *interval* seconds until it ends; the first at once."""
    _, state = require_running(house, container_id, "watch")
    pidfd = open_process(state.pid, state.start_time)
    if pidfd is None:
        return
    try:
        previous = stats(house, container_id)
        yield previous
        while not has_ended(pidfd, interval):
            try:
                previous = stats(house, container_id, previous)
            except ContainerNotFound:
                return
            yield previous
    finally:
        os.close(pidfd)
