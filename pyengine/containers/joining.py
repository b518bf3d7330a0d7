"""Putting a program into a container that runs (rows O12 to O14)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import evolve

from pyengine.containers.accounts import identity_in
from pyengine.containers.birth import Streams, open_outputs, terminal_streams
from pyengine.containers.execution import Execution
from pyengine.containers.failure import host_error, join_error
from pyengine.containers.house import House
from pyengine.containers.identity import Identity
from pyengine.containers.join_options import JoinOptions
from pyengine.containers.join_plans import join_plan, text_of
from pyengine.containers.looking import cgroup_of, require_running
from pyengine.containers.preparing import ids_of
from pyengine.containers.seats import Seat
from pyengine.errors import EngineError, KernelError, WrongState
from pyengine.linux import native
from pyengine.linux.process import is_alive, open_process
from pyengine.model.codec import to_plain
from pyengine.model.record import ContainerRecord
from pyengine.model.spec import ContainerSpec
from pyengine.model.state import ContainerState


def join(house: House, container_id: str, options: JoinOptions) -> Execution:
    """Start a program in a running container; who gets it has to have it watched.

    Raises `WrongState`, `InvalidRequest` (its user), `ExecutableNotFound`, `NotExecutable`
    and `KernelError`.
    """
    record, state = require_running(house, container_id, "execute in")
    house.tell(f"exec_create: {text_of(options.argv)}", record)
    with explained(record):
        return _join(house, record, state, options)


@contextmanager
def explained(record: ContainerRecord) -> Iterator[None]:
    """What the host refuses is told in our words; with its cgroup a container is gone itself."""
    try:
        yield
    except EngineError:
        raise
    except FileNotFoundError as error:
        raise WrongState(record.spec.name, "exited", "execute in") from error
    except OSError as error:
        raise host_error(error, "put a program into the container") from error


def join_detached(house: House, container_id: str, options: JoinOptions) -> int:
    """Have the container's watcher put a program inside; answers its pid.

    Raises as `join`, and `Unsupported` where that one cannot be asked.
    """
    require_running(house, container_id, "execute in")
    if container_id in house.running:
        return join_unheard(house, container_id, options)
    from pyengine.containers import asking

    asked = {"options": to_plain(options)}
    told, _ = asking.ask_watcher(house, container_id, "exec", asked)
    return int(told.get("pid", 0))


def join_unheard(house: House, container_id: str, options: JoinOptions) -> int:
    """`join`, with nobody to listen to it; answers its pid. It is watched."""
    house.supervisor.begin()
    execution = join(house, container_id, evolve(options, open_stdin=False))
    execution.collect(lambda *_: True, b"")
    house.supervisor.watch(execution)
    return execution.pid


def _join(
    house: House,
    record: ContainerRecord,
    state: ContainerState,
    options: JoinOptions,
) -> Execution:
    container_id = record.spec.id
    running = house.running.get(container_id)
    if running is not None:
        target = running.open_pidfd()
    else:
        target = open_process(state.pid, state.start_time)
    if target is None:
        raise WrongState(record.spec.name, "exited", "execute in")
    opened = [target]
    try:
        identity = identity_of(house, record.spec, state, options)
        return _spawn(house, record, options, identity, target, opened)
    finally:
        for fd in opened:
            os.close(fd)


def identity_of(
    house: House, spec: ContainerSpec, state: ContainerState, options: JoinOptions
) -> Identity:
    """Who the program will be: who the container's own is, if nobody else was asked for."""
    if not options.user or options.user == spec.user:
        return Identity(state.uid, state.gid, state.groups, state.home)
    try:
        root = os.open(f"/proc/{state.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(error.errno or 0, "look into the container") from error
    try:
        # only now is it sure whose root that was
        if not is_alive(state.pid, state.start_time):
            raise WrongState(spec.name, "exited", "execute in")
        identity = identity_in(root, options.user, spec.group_add)
    except PermissionError:
        identity = _identity_of_theirs(house, spec, options.user)
    finally:
        os.close(root)
    record = house.catalog.record(spec.id)
    ids = ids_of(record, house.joiner_for(record))
    if ids is None:
        return identity
    from pyengine.containers.rootless import mapped

    return mapped(identity, options.user, spec.group_add, ids)


def _identity_of_theirs(house: House, spec: ContainerSpec, user: str) -> Identity:
    """Of files that are closed to us, and not to the root of its users."""
    from pyengine.containers.their_accounts import identity_of_theirs

    record = house.catalog.record(spec.id)
    stack = (house.catalog.home(spec.id).upper, *record.layers)
    return identity_of_theirs(house.joiner_for(record), stack, user, spec.group_add)


def _spawn(
    house: House,
    record: ContainerRecord,
    options: JoinOptions,
    identity: Identity,
    target: int,
    opened: list[int],
) -> Execution:
    running = house.running.get(record.spec.id)
    streams, seat = Streams(), None
    try:
        seat = running.seats.take() if running else Seat.make(cgroup_of(house, record.spec.id))
        theirs, streams = _open_streams(house, options, opened)
        plan = join_plan(record, options, identity, seat, running, house.joiner_for(record).ids)
        fds = (native.own_pidfd(os.getpid()), *seat.tasks)
        plan = evolve(plan, fds=fds, cgroup=seat.v2, target=target)
        started = time.monotonic()
        child = house.joiner_for(record).spawn(plan, theirs)
        house.tell(f"exec_start: {text_of(options.argv)}", record)
        if (failure := native.hear(child)) is not None:
            native.bury(child)
            workdir = options.workdir or record.spec.workdir
            raise join_error(failure, options.argv, workdir)
        if child.terminal >= 0:
            streams = terminal_streams(child)
    except BaseException:
        for fd in {streams.stdin, streams.stdout, streams.stderr} - {-1}:
            os.close(fd)
        if seat is not None:
            seat.remove()
        raise
    return execution_of(house, record, child, streams, seat, started)


def execution_of(
    house: House,
    record: ContainerRecord,
    child: native.Child,
    streams: Streams,
    seat: Seat,
    started: float,
) -> Execution:
    """*child*, which runs in the container of *record*; its end will be told."""

    def tell(ended: Execution) -> None:
        house.tell("exec_die", record, exitCode=str(ended.exit.exit_code))

    execution = Execution(child.pid, child.pidfd, streams, seat, tell, started)
    running = house.running.get(record.spec.id)
    if running is not None:
        execution.give_back = running.seats.give_back
    return execution


def _open_streams(
    house: House, options: JoinOptions, opened: list[int]
) -> tuple[tuple[int, int, int], Streams]:
    if options.tty:  # its ends are made inside, as the container's own are
        read = house.no_input()
        return (read, read, read), Streams()
    if options.open_stdin:
        read, stdin = os.pipe2(os.O_CLOEXEC)
        opened.append(read)
    else:
        read, stdin = house.no_input(), -1
    (out, err), ends = open_outputs(stdin)
    opened.extend(ends)
    return (read, *ends), Streams(stdin, out, err)
