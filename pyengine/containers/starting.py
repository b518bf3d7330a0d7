"""Starting a container's program, and running one to its end."""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import evolve

from pyengine.containers.birth import Born, Neighbour, give_birth
from pyengine.containers.ending import abandon, kill, record_end
from pyengine.containers.feeding import Feeder
from pyengine.containers.house import House
from pyengine.containers.log_writer import LogWriter
from pyengine.containers.looking import status_of
from pyengine.containers.making import create
from pyengine.containers.running import Listener, Running
from pyengine.errors import EngineError, TimedOut, Unsupported, WrongState
from pyengine.linux.process import open_process
from pyengine.model.options import ContainerOptions
from pyengine.model.record import ContainerRecord
from pyengine.model.state import ContainerState, Status

_REFUSED = {
    Status.RUNNING: "it runs already",
    Status.PAUSED: "unpause it",
    Status.REMOVING: "make another",
    Status.DEAD: "remove it",
}


def start(
    house: House,
    container_id: str,
    *,
    owner: str | None = None,
    given: bytes = b"",
    keep_stdin: bool = True,
    listener: Listener | None = None,
    watch: bool = True,
    discard: bool = False,
) -> Running:
    """Give birth to the program of a container that does not run.

    *listener* hears its output from the first byte on. Without *watch* the caller drives what
    comes back; *discard* removes the container at its end. Raises `WrongState`, and what can go wrong at a birth; that is written into
    the container's state (row O02).
    """
    house.enter()
    with house.catalog.locked(container_id) as home:
        record = house.catalog.record(container_id)
        _require_owner(record, owner)
        state = house.catalog.state(container_id)
        status = status_of(house, container_id)
        if status in _REFUSED:
            raise WrongState(record.spec.name, str(status), "start", _REFUSED[status])
        try:
            born = give_birth(
                record, home, house.layout, house.hierarchy, house.joiner, _neighbour(house)
            )
        except EngineError as error:
            _record_failure(house, record, state, error)
            raise
        running = Running(
            record.spec,
            born,
            _log(record, home.log),
            lambda ended: record_end(house, ended),
            given=given,
            keep_stdin=keep_stdin and record.spec.open_stdin,
        )
        running.keep = not (discard or record.spec.auto_remove)
        running.resume = house.supervisor.resume
        if listener is not None:
            running.listen(listener)
        for attachment in house.expected(container_id):
            attachment.bind(running)
        house.running[container_id] = running
        house.catalog.write_state(container_id, _running_state(house, state, born))
        house.tell("start", record)
    if watch:
        house.supervisor.watch(running)
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


def create_and_start(
    house: House, options: ContainerOptions, *, timeout: float | None = None
) -> str:
    """Make a container and start it, its input fed with what *options* say; answers its id."""
    if options.owner != "process":
        refuse_detached()
    source = options.stdin
    given = source if isinstance(source, bytes) else b""
    container_id = create(house, options).spec.id
    before = time.monotonic()
    try:
        running = start(house, container_id, given=given, keep_stdin=not given)
        if running.stdin >= 0 and source is not None:
            running.feeder = Feeder(source, running.open_stdin(), running.close_stdin)
        if timeout is not None and time.monotonic() - before > timeout:
            raise TimedOut(f"starting container {container_id[:12]}", timeout)
    except BaseException:
        abandon(house, container_id)
        raise
    return container_id


def _require_owner(record: ContainerRecord, owner: str | None) -> None:
    if (owner or record.spec.owner) != "process":
        refuse_detached()


def refuse_detached() -> None:
    """Raise `Unsupported`: nobody would watch a program that outlives its process."""
    missing = "a program that outlives its process needs a keeper, which is not built yet"
    remedy = "start(owner='process'): the program ends with this process, the container stays"
    raise Unsupported("starting a detached container", missing, remedy)


def _running_state(house: House, state: ContainerState, born: Born) -> ContainerState:
    identity = born.identity
    return ContainerState(
        status=Status.RUNNING,
        pid=born.pid,
        start_time=born.start_time,
        started=time.time(),
        finished=state.finished,
        restarts=state.restarts,
        uid=identity.uid,
        gid=identity.gid,
        groups=identity.groups,
        home=identity.home,
        watcher=house.catalog.owner,
    )


def _record_failure(
    house: House, record: ContainerRecord, state: ContainerState, error: EngineError
) -> None:
    code = error.exit_code if error.exit_code in (126, 127) else 128
    failed = evolve(state, exit_code=code, error=str(error)[:4096], finished=time.time())
    house.catalog.write_state(record.spec.id, failed)


def _log(record: ContainerRecord, path: str) -> LogWriter:
    spec = record.spec
    if not _ATTRIBUTES.isdisjoint(dict(spec.log.options)):
        from pyengine.containers.logs import attributes_for

        return LogWriter(path, spec.log, attributes_for(spec))
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

