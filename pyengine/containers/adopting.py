"""Taking on the containers of a keeper that was killed.

They ran on, and what they said has waited in their streams: see `containers.streams`.

=============================  ==================================================================
What is found                  What is done
=============================  ==================================================================
its program runs               it is watched again; how it ends the kernel tells (Linux 6.15)
its program is gone, and the   what it said last is read, and how it ended is asked, from what
keeper's guard is there        that has kept
… and the guard was killed     what it said last is lost, and so is how it ended: exit code 255
too                            (with a terminal, and with an input that ends, it got to know)
… and it removes itself        it is removed
it waits to start again        it waits as after a first end
it cannot be taken on          it is tried again, as long as we are
=============================  ==================================================================
"""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import suppress
from functools import partial

from attrs import evolve

from pyengine.containers import handover, health, recovery, restarting, streams
from pyengine.containers.birth import Born, Streams
from pyengine.containers.ending import discard, record_end, remove_cgroup
from pyengine.containers.house import House
from pyengine.containers.identity import Identity
from pyengine.containers.looking import cgroup_of
from pyengine.containers.pump import PAUSE
from pyengine.containers.running import Running
from pyengine.containers.starting import log_of
from pyengine.errors import ContainerNotFound, EngineError
from pyengine.linux.native_guard import DeadOnesGuard
from pyengine.linux.process import open_process
from pyengine.model.record import ContainerRecord
from pyengine.model.state import ContainerState, Status
from pyengine.store import owners
from pyengine.store.layout import STEADY

_UNTIL_REAPED = 5.0
"""Seconds that its new parent has to reap it; some never do."""

UNWATCHED = "it ended while nobody watched it"


_AGAIN, _LATEST = 1.0, 60.0
"""Seconds until what could not be taken on is tried again: twice as many each time, up to these."""


def adopt_all(house: House, pause: float = _AGAIN) -> None:
    """Take on every container whose keeper is gone; then nobody needs what that had kept.

    Where that fails it is tried again in *pause* seconds, as long as this process lives.
    """
    guards: dict[str, DeadOnesGuard | None] = {}
    are_all_ours = True
    try:
        for container_id in owners.containers_of(house.layout, STEADY):
            try:
                _adopt(house, container_id, guards)
            except (
                EngineError,
                OSError,
            ) as error:  # the others are taken on
                are_all_ours = False
                house.warn("left for later: %s", error)
    finally:
        for guard in guards.values():
            if guard is not None:
                guard.close()
    if are_all_ours:
        recovery.sweep_doors(house.layout)
    else:
        with suppress(RuntimeError):  # there are too many threads
            later = min(2 * pause, _LATEST)
            house.alarms.after(pause, partial(adopt_all, house, later))


def _adopt(house: House, container_id: str, guards: dict[str, DeadOnesGuard | None]) -> None:
    try:
        with house.catalog.locked(container_id) as home:
            state = house.catalog.state(container_id)
            if not recovery.is_orphaned(house.layout, state):
                return
            record = house.catalog.record(container_id)
            if state.status is Status.RESTARTING:
                house.catalog.write_state(container_id, restarting.wait(house, container_id, state))
                return
            guard = _guard_of(house, state.watcher, guards)
            kept = _kept(guard, container_id)
            pidfd = kept.pop(handover.PIDFD, None) or open_process(state.pid, state.start_time)
            if pidfd is None:
                _close(kept)
                _write_lost(house, record, state)
                return
            running = _running(house, record, state, pidfd, home.log, kept)
            handover.keep_all(house.guard, running)
            mine = evolve(state, watcher=house.catalog.owner)
            try:
                house.catalog.write_state(container_id, mine)
            except EngineError:
                running.let_go()
                raise
            house.running[container_id] = running
            _drop(guard, container_id)  # our own guard has it now, and whose it is is written down
            if record.spec.health is not None:
                health.begin(house, running)
    except ContainerNotFound:
        return
    house.supervisor.watch(running)


def _guard_of(
    house: House, watcher: str, guards: dict[str, DeadOnesGuard | None]
) -> DeadOnesGuard | None:
    if watcher not in guards:
        guards[watcher] = handover.visit(house.layout, watcher)
    return guards[watcher]


def _kept(guard: DeadOnesGuard | None, container_id: str) -> dict[int, int]:
    if guard is None:
        return {}
    try:
        return handover.take_all(guard, container_id)
    except OSError:  # it was killed just now
        return {}


def _drop(guard: DeadOnesGuard | None, container_id: str) -> None:
    if guard is None:
        return
    with suppress(OSError):
        for part in handover.PARTS:
            guard.drop(handover.key_of(container_id, part))


def _close(kept: dict[int, int]) -> None:
    for fd in kept.values():
        os.close(fd)


class Adopted(Running):
    """A running program whose parent we are not: how it ended is known once its parent reaps it."""

    _deadline = 0.0

    def ready(self, fd: int) -> int:
        """As `Running.ready`; but for a while it is not enough that it has ended."""
        if fd == self.born.pidfd and not self._is_reaped_elsewhere():
            return PAUSE  # a hang-up is told all the same (epoll_ctl(2))
        return super().ready(fd)

    def is_paused(self, fd: int) -> bool:
        """As `Running.is_paused`."""
        return fd == self.born.pidfd or super().is_paused(fd)

    def _is_reaped_elsewhere(self) -> bool:
        poll = select.poll()
        poll.register(self.born.pidfd, 0)
        if poll.poll(0):
            return True
        now = time.monotonic()
        if not self._deadline:
            self._deadline = now + _UNTIL_REAPED
            again = threading.Timer(_UNTIL_REAPED, self.resume, (self.born.pidfd,))
            again.daemon = True
            again.start()
        return now >= self._deadline


def _running(
    house: House,
    record: ContainerRecord,
    state: ContainerState,
    pidfd: int,
    path: str,
    kept: dict[int, int],
) -> Running:
    born = Born(
        state.pid,
        pidfd,
        state.start_time,
        _streams(house, record, kept),
        cgroup_of(house, record.spec.id),
        Identity(state.uid, state.gid, state.groups, state.home),
    )
    running = Adopted(
        record.spec,
        born,
        log_of(record, path),
        lambda ended: record_end(house, ended),
        keep_stdin=True,
    )
    running.started = time.monotonic() - max(0.0, time.time() - state.started)
    running.keep = not record.spec.auto_remove
    running.flushes = True
    running.resume = house.supervisor.resume
    return running


def _streams(house: House, record: ContainerRecord, kept: dict[int, int]) -> Streams:
    """Our ends, from who has kept them, or else by their names."""
    stdin, out, err = (kept.get(part, -1) for part in handover.PARTS[:3])
    if record.spec.tty:
        return Streams(os.dup(out), out, -1) if out >= 0 else Streams()
    if out < 0 and err < 0:
        _close(kept)
        return Streams(*streams.reopen(house.layout, record.spec.id))
    return Streams(stdin, out, err)


def _write_lost(house: House, record: ContainerRecord, state: ContainerState) -> None:
    cgroup = cgroup_of(house, record.spec.id)
    cgroup.kill()
    remove_cgroup(house, record.spec.id, cgroup)
    streams.remove(house.layout, record.spec.id)
    lost = evolve(
        state,
        status=Status.EXITED,
        pid=0,
        start_time=0,
        exit_code=recovery.LOST_EXIT,
        finished=time.time(),
        error=UNWATCHED,
        watcher="",
        kept=False,
    )
    house.tell("die", record, exitCode=str(recovery.LOST_EXIT))
    if record.spec.auto_remove:
        discard(house, record)
        return
    if record.spec.restart != "no":
        lost = restarting.after(house, record.spec, lost, lost.finished - lost.started)
    house.catalog.write_state(record.spec.id, lost)
