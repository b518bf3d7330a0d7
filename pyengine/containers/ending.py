"""How containers end: asked to, made to, by themselves; and how they are removed."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial

from attrs import evolve

from pyengine.containers import leftovers, recovery, restarting, streams
from pyengine.containers.house import House
from pyengine.containers.looking import cgroup_of, end_of, status_of
from pyengine.containers.running import Running
from pyengine.containers.userns_mode import take_users_back
from pyengine.containers.waiting import PATIENCE, wait_end
from pyengine.errors import ContainerNotFound, KernelError, StoreError, TimedOut, WrongState
from pyengine.linux import process
from pyengine.linux.cgroup import Cgroup
from pyengine.model.record import ContainerRecord
from pyengine.model.signals import SIGKILL, parse_signal
from pyengine.model.state import ALIVE, LIVELY, Status
from pyengine.store.layout import STEADY


def record_end(house: House, running: Running) -> None:
    """What is done when a program has ended: its cgroup goes, its state is written, or it goes."""
    spec = running.spec
    if spec.health is not None:
        from pyengine.containers import health

        health.end(house, spec.id)
    if running.cgroup.v2_path is None:
        house.guard.drop(id(running))
    remove_cgroup(house, spec.id, running.cgroup)
    if house.keeps:
        _let_go_of_streams(house, spec.id)
    record = ContainerRecord(spec)
    exited = running.exit
    if exited.oom_killed:
        house.tell("oom", record)
    seconds = str(int(running.duration))
    house.tell("die", record, exitCode=str(exited.exit_code), execDuration=seconds)
    _conclude(house, running)


def _let_go_of_streams(house: House, container_id: str) -> None:
    from pyengine.containers import handover

    try:
        streams.remove(house.layout, container_id)
    except StoreError as error:  # who starts it again, or opens the root next, tries again
        house.warn("streams: %s", error)
    handover.let_go(house.guard, container_id)


_AGAIN = 1.0
"""Seconds until what could not be written down is tried again; others wait for that so long."""


def _conclude(house: House, running: Running) -> None:
    """Write its end down, or remove it; again and again, for others believe what is written."""
    if not _is_concluded(house, running):
        with suppress(RuntimeError):  # there are too many threads
            house.alarms.after(_AGAIN, partial(_conclude, house, running))
    elif house.running.get(running.spec.id) is running:  # it may have been started again
        del house.running[running.spec.id]


def _is_concluded(house: House, running: Running) -> bool:
    if house.running.get(running.spec.id) is not running:  # it runs again, or was removed
        return True
    if running.keep:
        return _write_end(house, running)
    try:
        discard(house, ContainerRecord(running.spec))
    except (StoreError, OSError):
        if not house.keeps:  # who has run it is told
            raise
        return False
    return True


def conclude_all(house: House) -> None:
    """Before we leave: what could not be done until now at the end of a container."""
    for running in list(house.running.values()):
        if running.done.is_set():
            _is_concluded(house, running)


def remove_cgroup(house: House, container_id: str, cgroup: Cgroup) -> None:
    """Whatever keeps it there, how the program ended is told; it is tried again as long as we are.

    After that openers of the root try: see `containers.recovery`.
    """
    try:
        cgroup.remove()
    except KernelError as error:
        house.warn("left for later: %s", error)
        house.sweeper.later(lambda: cgroup.remove(timeout=0))


def _write_end(house: House, running: Running) -> bool:
    """Whether it is written down; until then it is known as long as this process lives."""
    container_id = running.spec.id
    try:
        with house.catalog.locked(container_id):
            if house.running.get(container_id) is not running:  # it was started while we waited
                return True
            state = end_of(running, house.catalog.state(container_id))
            spec = house.catalog.record(container_id).spec  # its policy may have been updated
            if spec.restart != "no":
                state = restarting.after(house, spec, state, running.duration)
            house.catalog.write_state(container_id, state)
    except ContainerNotFound:  # removed by force meanwhile
        return True
    except (StoreError, OSError):
        return False
    return True


def discard(house: House, record: ContainerRecord) -> None:
    """Remove what does not run, whatever it has on disk. Raises `StoreError`."""
    if house.delays:
        restarting.forget(house, record.spec.id)
    known = house.running.get(record.spec.id)
    if known is not None and known.done.is_set():  # its end could not be written down
        house.running.pop(record.spec.id, None)
    try:
        path, afterwards = house.catalog.forsake(record.spec.id)
    except ContainerNotFound:
        return
    if house.sweeper.throw_away(path, afterwards):
        take_users_back(house, record)
        for waiting in house.expected(record.spec.id):
            waiting.end()
        house.tell("destroy", record)


# --- signals ---


def send(house: House, container_id: str, signal: object) -> None:
    """Send *signal*; SIGKILL ends everything in the container, and waits for it (row O04).

    Raises `InvalidRequest` for what is no signal, and `WrongState` where nothing runs.
    """
    house.enter()
    number = parse_signal(signal)
    record = house.catalog.record(container_id)
    status = status_of(house, container_id)
    if status not in LIVELY:
        _refuse(record, "kill")
    house.tell("kill", record, signal=str(number))
    if number in (SIGKILL, record.spec.stop_signal):
        if _note_stop(house, record):
            return
    elif status is Status.RESTARTING:
        return
    if number == SIGKILL:
        kill(house, container_id)
    else:
        _signal(house, container_id, number)


def _refuse(record: ContainerRecord, action: str) -> None:
    spec = record.spec
    raise WrongState(spec.name, "not running", action, f"container {spec.id} is not running")


def _signal(house: House, container_id: str, number: int) -> bool:
    """Send it to the first process; whether there is one."""
    running = house.running.get(container_id)
    if running is not None:
        pidfd = running.open_pidfd()
    else:
        state = house.catalog.state(container_id)
        pidfd = process.open_process(state.pid, state.start_time)
    if pidfd is None:
        return False
    try:
        return process.send_signal(pidfd, number)
    finally:
        os.close(pidfd)


def kill(house: House, container_id: str, timeout: float | None = PATIENCE) -> None:
    """End every process of a container now, and wait until its end is recorded."""
    try:
        cgroup = cgroup_of(house, container_id)
        cgroup.kill()
        if cgroup.v2_path is None:
            cgroup.thaw()  # what a v1 tree has frozen dies only once it may go on
            _signal(house, container_id, SIGKILL)
    except ContainerNotFound:
        return
    if not wait_end(house, container_id, timeout):
        raise TimedOut(f"killing container {container_id[:12]}", timeout or 0.0)


def stop(
    house: House, container_id: str, timeout: float | None = None, signal: object = None
) -> None:
    """Ask it to end, and after *timeout* seconds make it (rows C16, C17, O03).

    What does not run is left alone. *timeout* below zero waits for ever.
    """
    house.enter()
    number = None if signal is None else parse_signal(signal)
    record = house.catalog.record(container_id)
    if status_of(house, container_id) not in LIVELY:
        return
    spec = record.spec
    number = number or spec.stop_signal
    patience = spec.stop_timeout if timeout is None else timeout
    if _note_stop(house, record):
        house.tell("stop", record)
        return
    if _signal(house, container_id, number):
        house.tell("kill", record, signal=str(number))
        if status_of(house, container_id) is Status.PAUSED:
            _thaw(house, container_id)
    if not wait_end(house, container_id, None if patience < 0 else patience):
        house.tell("kill", record, signal=str(SIGKILL))
        kill(house, container_id)
    house.tell("stop", record)


def _note_stop(house: House, record: ContainerRecord) -> bool:
    """Somebody wants it to end, and to stay so: it is written down with its end, or now.

    Whether that was all there is to do, because it only waited to start again.
    """
    container_id = record.spec.id
    running = house.running.get(container_id)
    if running is not None and record.spec.restart == "no":
        running.stopped_by_hand = True
        return False
    with house.catalog.locked(container_id):  # so it cannot be starting just now
        state = house.catalog.state(container_id)
        if state.status is Status.RESTARTING:
            restarting.forget(house, container_id)
            state = restarting.give_up(state, by_hand=True)
            house.catalog.write_state(container_id, state)
            return True
        running = house.running.get(container_id)
        if running is not None:
            running.stopped_by_hand = True
        elif state.status in ALIVE:
            house.catalog.write_state(container_id, evolve(state, stopped_by_hand=True))
    return False


def _thaw(house: House, container_id: str) -> None:
    cgroup_of(house, container_id).thaw()
    with house.catalog.locked(container_id):
        state = house.catalog.state(container_id)
        if state.status is Status.PAUSED:
            house.catalog.write_state(container_id, evolve(state, status=Status.RUNNING))


# --- removing ---


def remove(house: House, container_id: str, *, force: bool = False) -> None:
    """Remove a container, its logs and everything it has written (row O07).

    Raises `WrongState` for one that runs, unless *force* kills it, and `StoreError` for one whose
    records are damaged, unless *force* says that it goes all the same.
    """
    house.enter()
    try:
        record = house.catalog.record(container_id)
        status = status_of(house, container_id)
    except StoreError as error:
        if not force:
            raise
        from pyengine.containers import damaged

        damaged.remove(house, container_id, error)
        return
    if status in LIVELY:
        if not force:
            hint = "stop the container before removing or force remove"
            raise WrongState(record.spec.name, str(status), "remove", hint)
        if record.spec.restart == "no" or not _note_stop(house, record):
            try:
                kill(house, container_id)
            except WrongState:
                pass
    if record.spec.owner == "none":
        _end_leftover_cgroup(house, record)
    discard(house, record)


def _end_leftover_cgroup(house: House, record: ContainerRecord) -> None:
    """Where a keeper was killed at starting it: nobody finds it by a container that is gone."""
    try:
        with house.catalog.locked(record.spec.id):
            state = house.catalog.state(record.spec.id)
            if state.status not in LIVELY or recovery.is_orphaned(house.layout, state):
                place = record.spec.cgroup_parent
                leftovers.end_cgroup(house.hierarchy, record.spec.id, place, STEADY)
    except ContainerNotFound:  # it removes itself at its end, and its keeper was quicker
        return


def abandon(house: House, container_id: str) -> None:
    """Remove what failed half-way, whatever state it is in, if it is still there."""
    try:
        remove(house, container_id, force=True)
    except ContainerNotFound:
        return


def close(house: House) -> None:
    """End and remove everything that belongs to this process."""
    restarting.close(house)
    for running in list(house.running.values()):
        running.kill()
    for running in list(house.running.values()):
        running.done.wait(PATIENCE)
    for container_id in house.catalog.own():
        try:
            record = house.catalog.record(container_id)
        except ContainerNotFound:
            continue
        except StoreError:  # it goes with our directory, and its name when a root is opened next
            continue
        discard(house, record)
