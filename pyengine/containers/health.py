"""Health checks: run inside a container for as long as it runs, and what they have said ."""

from __future__ import annotations

import os
import select
import threading
import time
from functools import partial

from pyengine.containers.execution import Execution
from pyengine.containers.house import House
from pyengine.containers.join_options import JoinOptions
from pyengine.containers.joining import join
from pyengine.containers.looking import health_of, state_of
from pyengine.containers.outputs import last_words
from pyengine.containers.running import Running
from pyengine.containers.waiting import PATIENCE, wait_end
from pyengine.errors import EngineError, InvalidRequest, NotReady, TimedOut
from pyengine.linux.process import has_ended
from pyengine.linux.watch import Watch
from pyengine.model.health import (
    MOST_OUTPUT,
    TIMED_OUT,
    Health,
    HealthStatus,
    Probe,
    argv_of,
    is_checked,
    settled,
    shown_output,
)
from pyengine.model.record import ContainerRecord
from pyengine.model.spec import HealthCheck
from pyengine.model.state import LIVELY, ExitStatus, Status
from pyengine.store import records


def begin(house: House, running: Running) -> None:
    """Check the container from now on, if it has a check."""
    check = running.spec.health
    if check is not None and is_checked(check):
        checks = house.checks[running.spec.id] = Checks(house, running, settled(check))
        checks.wait()


def end(house: House, container_id: str) -> None:
    """Its program has ended."""
    checks = house.checks.pop(container_id, None)
    if checks is not None:
        checks.end()


class Checks:
    """The checks of one run: one probe at a time, each an alarm after the end of the last."""

    def __init__(self, house: House, running: Running, check: HealthCheck) -> None:
        self._house = house
        self._running = running
        self._check = check
        self._id = running.spec.id
        self._options = JoinOptions(argv_of(check))
        state = house.catalog.state(self._id)
        known = health_of(house, running.spec, state)  # who takes it on goes on asking
        self._health = known or Health(run=state.started)
        self._writing = threading.Lock()
        self._alarm = 0
        self._is_over = False

    def wait(self) -> None:
        """Probe when it is time to."""
        seconds = self._health.pause_before_next(time.time(), self._check)
        self._alarm = self._house.alarms.after(seconds, self._probe)
        if self._is_over:
            self._house.alarms.cancel(self._alarm)

    def end(self) -> None:
        """No more of them."""
        self._is_over = True
        self._house.alarms.cancel(self._alarm)

    def _probe(self) -> None:
        if self._has_ended():
            return
        if self._is_paused():
            self.wait()
            return
        started, heard = time.time(), _Heard()
        self._alarm = self._house.alarms.after(self._check.timeout, heard.give_up)
        try:
            execution = join(self._house, self._id, self._options)
        except EngineError as error:
            self._house.alarms.cancel(self._alarm)
            self._conclude(Probe(started, time.time(), TIMED_OUT, str(error)))
            return
        heard.execution = execution  # the thread that would give it up is this one
        execution.collect(heard.hear, b"")
        execution.on_done = partial(self._ended, execution, heard, started)
        self._house.supervisor.watch(execution)

    def _ended(self, execution: Execution, heard: _Heard, started: float) -> None:
        self._house.alarms.cancel(self._alarm)
        output, code = shown_output(bytes(heard.data)), execution.exit.exit_code
        if heard.was_too_late:
            told = f"Health check exceeded timeout ({self._check.timeout:g}s)"
            output, code = f"{told}: {output}" if output else told, TIMED_OUT
        self._conclude(Probe(started, time.time(), code, output))

    def _conclude(self, probe: Probe) -> None:
        """Remember and tell what a probe has said, and set the next."""
        if self._has_ended():
            return
        before = self._health
        if not self._is_paused():  # else it could not do what it was asked to
            self._health = before.after(probe, self._check)
        self.wait()
        if self._health is not before:
            self._write()
            if self._health.status is not before.status:
                record = ContainerRecord(self._running.spec)
                self._house.tell(f"health_status: {self._health.status}", record)

    def _write(self) -> None:
        try:
            with self._writing:
                records.write(self._house.catalog.home(self._id).health, self._health)
        except EngineError:  # removed; or no space, then the next one tells
            return

    def _is_paused(self) -> bool:
        try:
            return self._house.catalog.state(self._id).status is Status.PAUSED
        except EngineError:
            return False

    def _has_ended(self) -> bool:
        """Whether the container's program is dead, and with it whatever was put into it."""
        if self._is_over or (pidfd := self._running.open_pidfd()) is None:
            return True
        try:
            return has_ended(pidfd, 0)
        finally:
            os.close(pidfd)


class _Heard:
    """The beginning of what a probe says, and whether it took too long to say it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.was_too_late = False
        self.execution: Execution | None = None

    def hear(self, stream: str, data: bytes, time_ns: int) -> bool:
        self.data += data[: max(0, MOST_OUTPUT + 1 - len(self.data))]
        return True

    def give_up(self) -> None:
        """End the probe."""
        self.was_too_late = True
        if self.execution is not None:
            self.execution.kill()


def wait_healthy(house: House, container_id: str, timeout: float | None) -> ExitStatus:
    """Wait until the container is well; answers how it ended last, which is nothing yet.

    Raises `NotReady` when it ends before, `InvalidRequest` for one that nobody checks, and
    `TimedOut`.
    """
    record = house.catalog.record(container_id)
    if not is_checked(record.spec.health):
        why = "the container has no health check"
        raise InvalidRequest("condition", "healthy", why=why, expected="another, or health=")
    deadline = None if timeout is None else time.monotonic() + timeout
    with Watch(house.catalog.home(container_id).path, "") as watch:
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        while True:
            state = state_of(house, container_id)
            health = health_of(house, record.spec, state)
            if health is not None and health.status is HealthStatus.HEALTHY:
                return ExitStatus(state.exit_code, state.signal or None)
            if state.status not in (*LIVELY, Status.CREATED):
                wait_end(house, container_id, PATIENCE)  # then its last words are in its log
                code = house.catalog.state(container_id).exit_code
                why = f"the container ended with exit code {code}"
                raise NotReady("health()", last_words(house, container_id), why)
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimedOut(f"waiting until {record.spec.name} is healthy", timeout or 0.0)
            poll.poll(None if left is None else left * 1000)
            watch.take()
