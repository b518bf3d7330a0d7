"""Starting a container's program, and running one to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from attrs import evolve, frozen

from pyengine.containers import restarting
from pyengine.containers.birth import Neighbour, Tools, give_birth
from pyengine.containers.ending import abandon, kill, record_end
from pyengine.containers.feeding import Feeder
from pyengine.containers.house import House
from pyengine.containers.identity import Identity
from pyengine.containers.log_writer import LogWriter
from pyengine.containers.looking import status_of
from pyengine.containers.making import create, draft, publish, withdraw
from pyengine.containers.running import Listener, Running
from pyengine.containers.userns_mode import require_users
from pyengine.errors import EngineError, InvalidRequest, TimedOut, Unsupported, WrongState
from pyengine.linux.process import open_process
from pyengine.model.options import ContainerOptions
from pyengine.model.record import ContainerRecord
from pyengine.model.spec import ContainerSpec
from pyengine.model.state import ContainerState, Status
from pyengine.model.warning import LimitNotEnforced
from pyengine.store.layout import STEADY, Home

_REFUSED = {
    Status.RUNNING: "it runs already",
    Status.PAUSED: "unpause it",
    Status.RESTARTING: "it will be started again by itself",
    Status.REMOVING: "make another",
    Status.DEAD: "remove it",
}


@frozen
class Wishes:
    """How a program is to be watched.

    *given* is its whole input; with *keep_stdin* its input stays open for others to write to.
    *listener* hears its output from the first byte on; without *keep* the container is removed
    at its end.
    """

    given: bytes = b""
    keep_stdin: bool = True
    listener: Listener | None = None
    keep: bool = True


def start(
    house: House, container_id: str, *, owner: str | None = None, stdin: object = None
) -> Running | None:
    """Start the program of a container that does not run, and have it watched.

    One that belongs to nobody the keeper is asked to start: then there is no `Running` here.
    *stdin* is what it reads, in place of what others will write to it.

    Raises `WrongState`, and what can go wrong at a birth; that is written into the container's
    state (row O02).
    """
    house.enter()
    if _is_kept(house.catalog.record(container_id), owner) and not house.keeps:
        from pyengine.containers import keeper

        keeper.start(house, container_id, stdin=stdin)
        return None
    house.supervisor.begin()
    with house.catalog.locked(container_id) as home:
        record = house.catalog.record(container_id)
        state = house.catalog.state(container_id)
        status = status_of(house, container_id)
        if status in _REFUSED:
            raise WrongState(record.spec.name, str(status), "start", _REFUSED[status])
        if house.delays:
            restarting.forget(house, container_id)
        running = _try(house, record, home, evolve(state, restarts=0))
    if stdin is not None and running.stdin >= 0:
        running.feeder = Feeder(stdin, running.open_stdin(), running.close_stdin)
        running.loses_stdin()  # who comes after us could not go on with what it was given
    house.watch(running)
    return running


def start_again(house: House, container_id: str) -> None:
    """Start one that waits for that, if it still does. Raises as `start`."""
    with house.catalog.locked(container_id) as home:
        state = house.catalog.state(container_id)
        if state.status is not Status.RESTARTING or not house.catalog.is_mine(state.watcher):
            restarting.forget(house, container_id)
            return  # somebody has stopped it, or started it himself
        record = house.catalog.record(container_id)
        running = _try(house, record, home, evolve(state, status=Status.EXITED, watcher=""))
    house.watch(running)


def _try(house: House, record: ContainerRecord, home: Home, state: ContainerState) -> Running:
    """The birth of one that was made before; if it fails, its state tells that."""
    try:
        if record.committed:
            from pyengine.containers.committing import begin_anew

            begin_anew(home)  # who committed it may have been killed before he did
        running = _begin(house, record, home, state, Wishes())
    except EngineError as error:
        if house.delays:  # before it is told
            restarting.forget(house, record.spec.id)
        _record_failure(house, record, state, error)
        raise
    house.tell("start", record)
    return running


def start_in_time(
    house: House, container_id: str, *, timeout: float | None = None, owner: str | None = None
) -> None:
    """`start`; one that took longer than *timeout* seconds is killed, and `TimedOut` raised."""
    before = time.monotonic()
    start(house, container_id, owner=owner)
    if timeout is not None and time.monotonic() - before > timeout:
        kill(house, container_id)
        raise TimedOut(f"starting container {container_id[:12]}", timeout)


def begin_new(house: House, options: ContainerOptions, wishes: Wishes) -> Running:
    """Make a container and start its program; who gets it has to drive or watch it.

    What has to be written down is written while the program is on its way. If anything fails,
    nothing of the container is left.
    """
    drafted = draft(house, options)
    if drafted.record.spec.cgroup_parent:
        try:  # who cleans up after us must know where to look before there is something
            drafted.home = house.catalog.write_record(drafted.record)
        except BaseException:
            withdraw(house, drafted)
            raise
    try:
        running = _begin(
            house,
            drafted.record,
            drafted.home,
            ContainerState(),
            wishes,
            written=lambda state: publish(house, drafted, state),
        )
    except BaseException:
        withdraw(house, drafted)
        raise
    running.spec = drafted.record.spec
    house.tell("start", drafted.record)
    source = options.stdin
    if running.stdin >= 0 and source is not None:
        running.feeder = Feeder(source, running.open_stdin(), running.close_stdin)
    return running


def create_and_start(
    house: House, options: ContainerOptions, *, timeout: float | None = None
) -> str:
    """Make a container and start it, its input fed with what *options* say; answers its id."""
    if options.owner != "process":
        return _create_and_keep(house, options)
    before = time.monotonic()
    given = options.stdin if isinstance(options.stdin, bytes) else b""
    house.enter()
    house.supervisor.begin()
    running = begin_new(house, options, Wishes(given=given, keep_stdin=not given))
    house.watch(running)
    if timeout is not None and time.monotonic() - before > timeout:
        abandon(house, running.spec.id)
        raise TimedOut(f"starting container {running.spec.name}", timeout)
    return running.spec.id


def _create_and_keep(house: House, options: ContainerOptions) -> str:
    reads = options.stdin_open or options.stdin is not None
    record = create(house, evolve(options, stdin=None, stdin_open=reads))
    try:
        start(house, record.spec.id, stdin=options.stdin)
    except BaseException:
        abandon(house, record.spec.id)
        raise
    return record.spec.id


def _begin(
    house: House,
    record: ContainerRecord,
    home: Home,
    state: ContainerState,
    wishes: Wishes,
    written: Callable[[ContainerState], object] | None = None,
) -> Running:
    """The birth itself, and who hears it; *state* is what the container did before.

    *written* writes down that it runs, where that is not a change of its state only.
    """
    spec = record.spec

    def alive(notes: tuple[str, ...], pid: int, started: int, identity: Identity) -> None:
        running_state = _running_state(house, state, pid, started, identity)
        running_state = evolve(running_state, warnings=notes)
        if written is not None:
            written(running_state)
        else:
            house.catalog.write_state(spec.id, running_state)

    require_users(house, record)
    log = log_of(record, home.log)
    _mark_tracer(house, spec)
    if spec.cgroup_parent:
        house.guard.each_in(spec.cgroup_parent)
    house.guard.ensure()
    born = give_birth(
        record,
        home,
        Tools(
            house.layout,
            house.hierarchy,
            house.joiner_for(record),
            house.spares,
            _neighbour(house),
            kept=house.keeps,
            level=STEADY if house.keeps else house.catalog.owner,
            ranges=house.ranges if record.first_id else None,
            caution=_caution(house, state),
        ),
        is_new=not (state.started or state.finished),  # nor has anybody tried
        alive=alive,
    )
    running = Running(
        spec,
        born,
        log,
        lambda ended: record_end(house, ended),
        given=wishes.given,
        keep_stdin=wishes.keep_stdin and spec.open_stdin,
    )
    running.keep = wishes.keep and not spec.auto_remove
    running.flushes = house.keeps
    running.resume = house.supervisor.resume
    if wishes.listener is not None:
        running.listen(wishes.listener)
    for attachment in house.expected(spec.id):
        attachment.bind(running)
    house.running[spec.id] = running
    if house.keeps:
        from pyengine.containers import handover

        handover.keep_all(house.guard, running)
    if born.cgroup.v2_path is None and not house.keeps:
        house.guard.hold(id(running), born.pidfd)
    if spec.health is not None:
        from pyengine.containers import health

        health.begin(house, running)
    return running


def _caution(house: House, state: ContainerState) -> Callable[[Sequence[LimitNotEnforced]], object]:
    """How to tell of limits that are not enforced: to who asked, not to those who restart it."""

    def tell(unenforced: Sequence[LimitNotEnforced]) -> None:
        from pyengine.containers.cautions import warn

        if not state.restarts and not house.keeps:
            warn(unenforced)

    return tell


def _mark_tracer(house: House, spec: ContainerSpec) -> None:
    """Remember that somebody in another container can trace whoever joins that one."""
    shared = spec.namespaces.pid.removeprefix("container:")
    other = house.running.get(shared)
    if other is not None and "CAP_SYS_PTRACE" in spec.security.capabilities:
        other.has_tracers = True


def _is_kept(record: ContainerRecord, owner: str | None) -> bool:
    """Whether its program shall outlive this process. Raises `InvalidRequest`, `Unsupported`."""
    if owner not in (None, "process", "none"):
        raise InvalidRequest("owner", owner, expected="'process' or 'none'")
    if (owner or record.spec.owner) == "process":
        return False
    if record.spec.owner == "process":
        missing = "the container belongs to a process, and goes with it"
        raise Unsupported("owner='none'", missing, "make it with owner='none'")
    return True


def _running_state(
    house: House, state: ContainerState, pid: int, started: int, identity: Identity
) -> ContainerState:
    return ContainerState(
        status=Status.RUNNING,
        pid=pid,
        start_time=started,
        started=time.time(),
        finished=state.finished,
        restarts=state.restarts,
        uid=identity.uid,
        gid=identity.gid,
        groups=identity.groups,
        home=identity.home,
        watcher=house.catalog.owner,
        kept=house.keeps,
    )


def _record_failure(
    house: House, record: ContainerRecord, state: ContainerState, error: EngineError
) -> None:
    code = error.exit_code if error.exit_code in (126, 127) else 128
    failed = evolve(state, exit_code=code, error=str(error)[:4096], finished=time.time())
    house.catalog.write_state(record.spec.id, failed)


def log_of(record: ContainerRecord, path: str) -> LogWriter:
    """Who writes down what a container says."""
    spec = record.spec
    if not _ATTRIBUTES.isdisjoint(dict(spec.log.options)):
        from pyengine.containers.logs import attributes_for

        return LogWriter(path, spec.log, attributes_for(spec, record.image_id))
    return LogWriter(path, spec.log)


_ATTRIBUTES = frozenset(("labels", "labels-regex", "env", "env-regex", "tag"))


def _neighbour(house: House) -> Callable[[str], Neighbour]:
    def find(container_id: str) -> Neighbour:
        state = house.catalog.state(container_id)
        pidfd = open_process(state.pid, state.start_time)
        if pidfd is None:
            raise WrongState(container_id[:12], str(state.status), "share a namespace of")
        return Neighbour(state.pid, pidfd)

    return find
