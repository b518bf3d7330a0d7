"""Putting a program into a container that runs (rows O12 to O14)."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable

from attrs import evolve, frozen

from pyengine.containers.accounts import identity_in
from pyengine.containers.birth import Streams, open_outputs, terminal_streams
from pyengine.containers.collecting import Collector
from pyengine.containers.compile import has_home, oom_score
from pyengine.containers.execution import Execution
from pyengine.containers.failure import host_error, join_error
from pyengine.containers.feeding import Feeder
from pyengine.containers.house import House
from pyengine.containers.identity import Identity
from pyengine.containers.looking import cgroup_of, require_running
from pyengine.containers.privilege_steps import CONTROL, ENTER, privileges, rlimits, tie
from pyengine.containers.running import Running
from pyengine.containers.seats import Seat
from pyengine.containers.supervisor import drive
from pyengine.errors import KernelError, TimedOut, WrongState
from pyengine.linux import native
from pyengine.linux import plan as p
from pyengine.linux.capabilities import NAMES, held, mask
from pyengine.linux.plan import Block, Plan, Step
from pyengine.linux.process import is_alive, open_process
from pyengine.linux.seccomp import filter_for
from pyengine.model.record import ContainerRecord
from pyengine.model.result import Result
from pyengine.model.spec import ContainerSpec
from pyengine.model.state import ContainerState

_SHARED = p.NEWNS | p.NEWUTS | p.NEWIPC | p.NEWNET | p.NEWCGROUP | p.NEWTIME


@frozen
class JoinOptions:
    """What is asked of a program that joins; empty, or `None`: as the container has it."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str | None], ...] = ()
    workdir: str = ""
    user: str = ""
    tty: bool = False
    open_stdin: bool = False
    privileged: bool = False
    console_size: tuple[int, int] = (0, 0)


def join(house: House, container_id: str, options: JoinOptions) -> Execution:
    """Start a program in a running container; who gets it has to have it watched.

    Raises `WrongState`, `InvalidRequest` (its user), `ExecutableNotFound`, `NotExecutable`
    and `KernelError`.
    """
    record, state = require_running(house, container_id, "execute in")
    text = " ".join(map(shlex.quote, options.argv))
    house.tell(f"exec_create: {text}", record)
    try:
        execution = _join(house, record, state, options)
    except OSError as error:
        raise host_error(error, "put a program into the container") from error
    house.tell(f"exec_start: {text}", record)
    return execution


def _join(
    house: House, record: ContainerRecord, state: ContainerState, options: JoinOptions
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
        identity = _identity(record.spec, state, options)
        return _spawn(house, record, options, identity, target, opened)
    finally:
        for fd in opened:
            os.close(fd)


def _identity(spec: ContainerSpec, state: ContainerState, options: JoinOptions) -> Identity:
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
        return identity_in(root, options.user, spec.group_add)
    finally:
        os.close(root)


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
        plan = _plan(record.spec, options, identity, target, seat, running)
        child = house.joiner.spawn(plan, theirs)
        failure = native.hear(child)
        if child.terminal >= 0:
            streams = terminal_streams(child)
        if failure is not None:
            native.bury(child)
            workdir = options.workdir or record.spec.workdir
            raise join_error(failure, options.argv, workdir)
    except BaseException as error:
        for fd in {streams.stdin, streams.stdout, streams.stderr} - {-1}:
            os.close(fd)
        if seat is not None:
            seat.remove()
        if isinstance(error, FileNotFoundError):  # its cgroup is gone: so is the container
            raise WrongState(record.spec.name, "exited", "execute in") from error
        raise
    execution = Execution(child.pid, child.pidfd, streams, seat, _teller(house, record))
    if running is not None:
        execution.give_back = running.seats.give_back
    return execution


def _teller(house: House, record: ContainerRecord) -> Callable[[Execution], None]:
    def tell(ended: Execution) -> None:
        house.tell("exec_die", record, exitCode=str(ended.exit.exit_code))

    return tell


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


def _plan(
    spec: ContainerSpec,
    options: JoinOptions,
    identity: Identity,
    target: int,
    seat: Seat,
    running: Running | None,
) -> Plan:
    """The steps are the same for the same wishes: those of a container of ours are kept."""
    key = (
        *(options.workdir, options.tty, options.console_size, options.open_stdin),
        *(options.privileged, identity, len(seat.tasks)),
    )
    if options.privileged and running is not None:
        running.has_tracers = True
    ushered = _needs_usher(spec, running)
    steps = running.join_plans.get((ushered, key)) if running is not None else None
    if steps is None:
        steps = compile_join(
            spec,
            options,
            identity,
            tasks=len(seat.tasks),
            held=held() if options.privileged else 0,
            ushered=ushered,
        )
        if running is not None and len(running.join_plans) < _MOST_PLANS:
            running.join_plans[ushered, key] = steps
    return Plan(
        argv=options.argv,
        env=environment(spec, options, identity),
        parts=(steps,),
        fds=(native.own_pidfd(os.getpid()), *seat.tasks),
        cgroup=seat.v2,
        target=target,
        joined=joined_namespaces(spec, ushered=ushered),
    )


def joined_namespaces(spec: ContainerSpec, *, ushered: bool) -> int:
    """The CLONE_NEW* flags of the namespaces that the joiner shares with *spec*'s."""
    inside = spec.namespaces.pid != "host" and not ushered
    return _SHARED | (p.NEWPID if inside else 0)


def _needs_usher(spec: ContainerSpec, running: Running | None) -> bool:
    """Whether somebody inside may trace who is about to join: others never get at the joiner,
    which is not dumpable (ptrace(2)), and for them the way in is a process shorter.
    """
    if spec.namespaces.pid == "host":
        return False  # there the host's processes are seen anyway
    traces = "CAP_SYS_PTRACE" in spec.security.capabilities or spec.namespaces.pid != "private"
    return traces or running is None or running.has_tracers


_MOST_PLANS = 8


def compile_join(
    spec: ContainerSpec,
    options: JoinOptions,
    identity: Identity,
    *,
    tasks: int,
    held: int,
    ushered: bool,
) -> Block:
    """Everything a child does between being cloned and running as one of *spec*'s programs.

    Its fds are the owner's pidfd and *tasks* v1 ``tasks`` files; *held* is the mask of what a
    privileged program can be given. *ushered*, it is born inside once all of the host is left
    behind, its root, these fds and what it may do too: its own are the last steps, which a
    filter has to allow. Pure: the order is `compile_plan`'s.
    """
    seccomp = spec.security.seccomp
    shared = _SHARED | (p.NEWPID if ushered else 0)
    session = [Step("setsid")]
    if options.tty:
        rows, columns = options.console_size
        session.append(Step("tty", flags=rows << 16 | columns, doing="make its terminal"))
        session.append(CONTROL)
    workdir = options.workdir or spec.workdir
    rest = privileges(
        spec.security,
        identity,
        None if seccomp is None else filter_for(seccomp, spec.security.capabilities),
        owner=None if ushered else p.JOIN_FDS,
        own_stdio=True,
        capabilities=mask(NAMES) & held if options.privileged else None,
    )
    return Block(
        (
            *(
                Step("cgroup", fd=p.JOIN_FDS + 1 + index, doing="join the container's cgroup")
                for index in range(tasks)
            ),
            *oom_score(spec),
            Step("setns", fd=p.JOIN_TARGET, flags=shared, doing="join the container's namespaces"),
            *(() if ushered else session),
            *(() if options.tty or options.open_stdin else (_NULL_STDIN,)),
            Step("keyring", doing="join a session keyring of its own"),
            Step("chdir", workdir, doing=f"enter the working directory {workdir!r}"),
            Step("umask", flags=0o022),
            *rlimits(spec.ulimits),
            *rest.steps,
            *((ENTER, *session, tie(-1)) if ushered else ()),
        )
    )


_NULL_STDIN = Step("null_stdin", doing="give it an empty input")


def environment(spec: ContainerSpec, options: JoinOptions, identity: Identity) -> tuple[str, ...]:
    """The container's configured variables, not those its first process has made of them
    (pitfall 36), and what was asked for.
    """
    env = spec.env
    if options.env or options.tty:
        variables = dict(entry.partition("=")[::2] for entry in env)
        if options.tty:
            variables.setdefault("TERM", "xterm")
        for name, value in options.env:
            if value is None:
                variables.pop(name, None)
            else:
                variables[name] = value
        env = tuple(f"{name}={value}" for name, value in variables.items())
    return env if has_home(env) else (*env, f"HOME={identity.home}")


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
    if stdin is not None:
        options = evolve(options, open_stdin=True)
    execution = join(house, container_id, options)
    collector = Collector()
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
