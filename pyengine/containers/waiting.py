"""Waiting for what becomes of a container, whoever watches it (row O08)."""

from __future__ import annotations

import os
import select
import time

from pyengine.containers import recovery
from pyengine.containers.house import House
from pyengine.containers.running import Running
from pyengine.errors import (
    ContainerNotFound,
    InvalidRequest,
    KernelError,
    StoreError,
    TimedOut,
)
from pyengine.linux import process
from pyengine.linux.watch import Watch
from pyengine.model.state import ALIVE, LIVELY, ContainerState, ExitStatus, Status

CONDITIONS = ("not-running", "next-exit", "removed")
PATIENCE = 10.0
"""Seconds that a killed program has to be gone; only one stuck in the kernel takes longer."""


def wait(
    house: House, container_id: str, condition: str = "not-running", timeout: float | None = None
) -> ExitStatus:
    """Wait until *condition* is true, and tell how the program ended last.

    Raises `InvalidRequest` for another condition, `TimedOut`, and `ContainerNotFound` where it
    is removed before there was an end to tell of.
    """
    house.enter()
    if condition == "healthy":
        from pyengine.containers.health import wait_healthy

        return wait_healthy(house, container_id, timeout)
    if condition not in CONDITIONS:
        raise InvalidRequest("condition", condition, expected=" or ".join((*CONDITIONS, "healthy")))
    deadline = None if timeout is None else time.monotonic() + timeout
    last: ExitStatus | None = None
    seen: Running | None = None
    began, has_seen_end = time.time(), False
    try:
        while True:
            running = house.running.get(container_id)
            if running is None or running is seen:  # without space on the disk it stays there
                state = _settled_state(house, container_id)
                if state.status not in LIVELY:
                    last, has_seen_end = _exit_status(state), state.finished > began
                    if condition == "not-running":
                        return last
                stopped = condition == "not-running"
                running = _next_run(house, container_id, deadline, seen, or_stopped=stopped)
            seen = running
            last, has_seen_end = _end_of(house, container_id, running, deadline), True
            if condition == "next-exit" or (
                condition == "not-running" and not _goes_on(house, container_id, running)
            ):
                return last
    except ContainerNotFound:
        if last is None:
            raise
        return last if has_seen_end else _told_end(house, container_id, began) or last
    except TimedOut as error:
        raise TimedOut(f"waiting for container {container_id[:12]}", timeout or 0.0) from error


_HEARSAY = 1.0
"""Seconds until what another process did is written down for everybody; it takes a tenth."""


def _told_end(house: House, container_id: str, began: float) -> ExitStatus | None:
    """How it ended last since *began*, as who watched it has told everybody; `None`: it has not.

    It may start, end and be removed before we come to look at its record.
    """
    filters = {"container": [container_id], "event": ["die", "destroy"]}
    told = None
    try:
        with house.events.stream(since=began, filters=filters, timeout=_HEARSAY) as events:
            for event in events:
                if event.action == "destroy":
                    break
                told = ExitStatus(int(event.attributes.get("exitCode", "0")))
    except (TimedOut, StoreError, KernelError):
        pass
    return told


def _settled_state(house: House, container_id: str) -> ContainerState:
    """What it does; nobody waits to start again whose watcher is gone."""
    state = house.catalog.state(container_id)
    if state.status is Status.RESTARTING and (
        not recovery.watcher_lives(house.layout, state.watcher)
    ):
        recovery.recover(house.layout, house.hierarchy, house.tell)
        state = house.catalog.state(container_id)
    return state


def _goes_on(house: House, container_id: str, running: Running | None) -> bool:
    """Whether it starts again after the end of *running*, or has by now."""
    if running is not None and not running.keep:
        return False
    status = house.catalog.state(container_id).status
    if status in ALIVE and running is not None:
        return house.running.get(container_id) is not running  # else its end cannot be written
    return status in LIVELY


def _end_of(
    house: House, container_id: str, running: Running | None, deadline: float | None
) -> ExitStatus:
    """How the program that runs now ends. Raises `TimedOut`."""
    if running is not None:
        if not running.done.wait(_left(deadline)):
            raise _too_late()
        return running.exit
    if not _wait_foreign_end(house, container_id, _left(deadline)):
        raise _too_late()
    return _exit_status(house.catalog.state(container_id))


def _exit_status(state: ContainerState) -> ExitStatus:
    return ExitStatus(state.exit_code, state.signal or None, state.oom_killed, state.error)


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _too_late() -> TimedOut:
    return TimedOut("waiting for a container", 0.0)


class _Arrival:
    """Takes hold of a program at its birth, so that even the shortest is not missed."""

    def __init__(self, watch: Watch) -> None:
        self.running: Running | None = None
        self._watch = watch

    def bind(self, running: Running) -> None:
        self.running = running
        self._watch.wake()

    def end(self) -> None:
        """It is removed: the watch tells that, too."""


def _next_run(
    house: House,
    container_id: str,
    deadline: float | None,
    seen: Running | None,
    *,
    or_stopped: bool,
) -> Running | None:
    """Wait until it runs, or is stopped for sure; `None` if it is, or another process watches it.
    The run that was *seen* to end is not a next one.

    Its directory tells: each change of its state is a file renamed there. Raises
    `ContainerNotFound` once it is removed, and `TimedOut`.
    """
    with _watch(house, container_id) as watch:
        arrival = _Arrival(watch)
        house.expect(container_id, arrival)
        try:
            poll = select.poll()
            poll.register(watch, select.POLLIN)
            while True:
                running = arrival.running or house.running.get(container_id)
                if running is not None and running is not seen:
                    return running
                state = house.catalog.state(container_id)
                if state.status not in LIVELY:
                    if or_stopped:
                        return None
                elif state.status is Status.RESTARTING:
                    pass
                elif not house.catalog.is_mine(state.watcher):  # ours may just be being born
                    return None
                left = _left(deadline)
                if not poll.poll(None if left is None else left * 1000):
                    raise _too_late()
                watch.take()
        finally:
            house.cancel(container_id, arrival)


def _watch(house: House, container_id: str) -> Watch:
    try:
        return Watch(house.catalog.home(container_id).path, "state.json")
    except KernelError:
        house.catalog.record(container_id)  # it may just have been removed
        raise


def wait_end(house: House, container_id: str, timeout: float | None) -> bool:
    """Wait at most *timeout* seconds until its end is recorded; whether it is."""
    running = house.running.get(container_id)
    if running is not None:
        return running.done.wait(timeout)
    try:
        return _wait_foreign_end(house, container_id, timeout)
    except ContainerNotFound:
        return True


def _wait_foreign_end(house: House, container_id: str, timeout: float | None) -> bool:
    """The same for a container that another process watches: its pidfd, then its record."""
    deadline = None if timeout is None else time.monotonic() + timeout
    state = house.catalog.state(container_id)
    pidfd = process.open_process(state.pid, state.start_time)
    if pidfd is not None:
        try:
            if not process.has_ended(pidfd, timeout):
                return False
        finally:
            os.close(pidfd)
    return _wait_recorded(house, container_id, state.pid, deadline)


def _wait_recorded(house: House, container_id: str, pid: int, deadline: float | None) -> bool:
    """Wait for its watcher to write the end of *pid* down; if that one is dead as well, we do."""
    from pyengine.linux.cgroup_files import wait_until

    def is_recorded() -> bool:
        state = house.catalog.state(container_id)
        return state.status not in ALIVE or state.pid != pid

    def is_settled() -> bool:
        if is_recorded():
            return True
        return not recovery.watcher_lives(house.layout, house.catalog.state(container_id).watcher)

    left = _left(deadline)
    if not wait_until(is_settled, PATIENCE if left is None else min(left, PATIENCE)):
        return False
    if is_recorded():
        return True
    if not house.catalog.state(container_id).kept:
        recovery.recover(house.layout, house.hierarchy, house.tell)
        return True
    from pyengine.containers import keeper

    with keeper.ensure(house.layout):  # it takes it on, and then writes it down
        return wait_until(is_recorded, PATIENCE if left is None else min(left, PATIENCE))
