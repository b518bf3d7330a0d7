"""Running a program in a container to its end (row O12)."""

from __future__ import annotations

import os
import time

from attrs import evolve

from pyengine.containers.birth import Streams
from pyengine.containers.collecting import Collector
from pyengine.containers.execution import Execution, exit_of
from pyengine.containers.failure import join_error
from pyengine.containers.feeding import Feeder
from pyengine.containers.house import House
from pyengine.containers.join_options import JoinOptions
from pyengine.containers.join_plans import join_plan, text_of
from pyengine.containers.joining import execution_of, explained, identity_of, join
from pyengine.containers.looking import require_running
from pyengine.containers.running import Running
from pyengine.containers.seats import Seat
from pyengine.containers.supervisor import drive
from pyengine.errors import TimedOut, WrongState
from pyengine.linux import native
from pyengine.linux.kin import end_kin
from pyengine.linux.native_joiner import Visit
from pyengine.model.record import ContainerRecord
from pyengine.model.result import Result
from pyengine.model.state import ContainerState
from pyengine.model.usage import Usage


def execute(
    house: House,
    container_id: str,
    options: JoinOptions,
    *,
    stdin: object = None,
    timeout: float | None = None,
) -> Result:
    """Run a program in a container to its end.

    Raises `TimedOut` with what it has said, after everything it had started has been killed.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    collector = Collector()
    running = house.running.get(container_id)
    if stdin is None and running is not None and not options.tty:
        done = _visit(house, running, options, deadline, collector)
        if isinstance(done, Result):
            return done
        execution = done
    else:
        if stdin is not None:
            options = evolve(options, open_stdin=True)
        execution = join(house, container_id, options)
    in_time = _see_through(execution, collector, stdin, deadline)
    stdout, stderr = collector.both()
    if not in_time:
        raise TimedOut(
            f"executing {' '.join(options.argv)}"[:200],
            timeout or 0.0,
            stdout.decode(errors="replace"),
            stderr.decode(errors="replace"),
        )
    ended = execution.exit
    return Result(
        ended.exit_code, stdout, stderr, execution.duration, execution.usage, ended.signal
    )


def _see_through(
    execution: Execution, collector: Collector, stdin: object, deadline: float | None
) -> bool:
    """Watch it to its end; False if that had to be made, for *deadline* had passed."""
    given = stdin if isinstance(stdin, bytes) else b""
    keep = stdin is not None and not isinstance(stdin, bytes)
    execution.collect(collector.hear, given, keep_stdin=keep)
    feeder = Feeder(stdin, execution.streams.stdin, lambda: None) if keep else None
    in_time = False
    try:
        in_time = drive(execution, deadline)
    finally:
        if not execution.is_done:
            execution.kill()
            execution.seat.cgroup.wait_empty()
            drive(execution, None)
        if feeder is not None:
            feeder.close()
    return in_time


# --- the short way, of who has no input ---


def _visit(
    house: House,
    running: Running,
    options: JoinOptions,
    deadline: float | None,
    collector: Collector,
) -> Result | Execution:
    """Its result; or it, where there is more to it than to wait: it says much, or for too long."""
    record, state = require_running(house, running.spec.id, "execute in")
    house.tell(f"exec_create: {text_of(options.argv)}", record)
    started = time.monotonic()
    with explained(record):
        seat, visit = _begin(house, running, record, state, options)
    try:
        house.tell(f"exec_start: {text_of(options.argv)}", record)
        end = visit.see_through(deadline, collector.take)
    except BaseException:
        _give_up(seat, visit)
        raise
    if end is None:
        return _take_over(house, record, options, seat, visit, started)
    duration = time.monotonic() - started
    if seat.is_empty():
        running.seats.give_back(seat)
    else:
        seat.let_go()  # somebody lives on in it: it goes with the container
    exited = exit_of(end)
    house.tell("exec_die", record, exitCode=str(exited.exit_code))
    usage = Usage(end.peak_memory, end.user_seconds, end.system_seconds)
    return Result(exited.exit_code, *collector.both(), duration, usage, exited.signal)


def _begin(
    house: House,
    running: Running,
    record: ContainerRecord,
    state: ContainerState,
    options: JoinOptions,
) -> tuple[Seat, Visit]:
    identity = identity_of(house, record.spec, state, options)
    target = running.open_pidfd()
    if target is None:
        raise WrongState(record.spec.name, "exited", "execute in")
    seat = None
    try:
        seat = running.seats.take()
        joiner = house.joiner_for(record)
        plan = join_plan(record, options, identity, seat, running, joiner.ids)
        fds = (native.own_pidfd(os.getpid()), *seat.tasks)
        return seat, joiner.visit(
            plan, stdin=house.no_input(), fds=fds, cgroup=seat.v2, target=target
        )
    except BaseException:
        if seat is not None:
            seat.remove()
        raise
    finally:
        os.close(target)


def _give_up(seat: Seat, visit: Visit) -> None:
    """Nothing that it has begun goes on."""
    seat.cgroup.kill()  # where there is one; `end` kills the program itself
    child, out, err = visit.child()
    if seat.is_nowhere:
        end_kin(child.pid)
    native.end(child)
    for fd in (out, err):
        if fd >= 0:
            os.close(fd)
    seat.remove()


def _take_over(
    house: House,
    record: ContainerRecord,
    options: JoinOptions,
    seat: Seat,
    visit: Visit,
    started: float,
) -> Execution:
    child, out, err = visit.child()
    if child.report >= 0 and (failure := native.hear(child)) is not None:
        native.bury(child)
        os.close(out)
        os.close(err)
        seat.remove()
        raise join_error(failure, options.argv, options.workdir or record.spec.workdir)
    return execution_of(house, record, child, Streams(-1, out, err), seat, started)
