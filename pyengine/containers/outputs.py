"""What a container has said, read back from its log, also while it is being written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pyengine.containers.house import House
from pyengine.containers.looking import state_of
from pyengine.errors import ContainerNotFound, InvalidRequest, Unsupported
from pyengine.linux.process import open_process
from pyengine.model.log import LogLine
from pyengine.model.moments import parse_time
from pyengine.model.options_words import integer
from pyengine.model.state import Status


def read(
    house: House,
    container_id: str,
    *,
    stdout: bool = True,
    stderr: bool = True,
    since: object = None,
    until: object = None,
    tail: object = None,
) -> Iterator[LogLine]:
    """The lines that are there now. Raises `InvalidRequest`, and `Unsupported` without a log."""
    path, wanted = _asked(house, container_id, stdout, stderr, since, until, tail)
    running = house.running.get(container_id)
    if running is not None:
        running.log.flush()
    from pyengine.containers.logs import read_logs

    return read_logs(path, **wanted)  # type: ignore[arg-type]


def follow(
    house: House,
    container_id: str,
    *,
    stdout: bool = True,
    stderr: bool = True,
    since: object = None,
    until: object = None,
    tail: object = None,
    timeout: float | None = None,
) -> Iterator[LogLine]:
    """The lines that are there, and those that come until the container ends.

    Raises `TimedOut` after *timeout* seconds.
    """
    path, wanted = _asked(house, container_id, stdout, stderr, since, until, tail)
    state = house.catalog.state(container_id)
    pidfd = open_process(state.pid, state.start_time)

    def is_finished() -> bool:
        try:
            return state_of(house, container_id).status not in (
                Status.RUNNING,
                Status.PAUSED,
            ) and (container_id not in house.running)
        except ContainerNotFound:
            return True

    from pyengine.containers.logs import follow_logs

    return follow_logs(path, ended=pidfd, is_finished=is_finished, timeout=timeout, **wanted)  # type: ignore[arg-type]


def as_text(lines: Iterable[LogLine], *, timestamps: bool) -> str:
    """All *lines* as one text; bytes that are not UTF-8 show as U+FFFD."""
    if timestamps:
        return "".join(line.stamped() for line in lines)
    return b"".join(line.data for line in lines).decode(errors="replace")


def _asked(
    house: House,
    container_id: str,
    stdout: bool,
    stderr: bool,
    since: object,
    until: object,
    tail: object,
) -> tuple[str, dict[str, object]]:
    house.enter()
    record = house.catalog.record(container_id)
    if record.spec.log.driver == "none":
        missing = "configured logging driver does not support reading"
        raise Unsupported("reading logs", missing, "use log='json-file'")
    if not stdout and not stderr:
        raise InvalidRequest("logs", (stdout, stderr), why="you must choose at least one stream")
    return house.catalog.home(container_id).log, {
        "stdout": stdout,
        "stderr": stderr,
        "since": None if since is None else parse_time(since, "since"),
        "until": None if until is None else parse_time(until, "until"),
        "tail": None if tail in (None, "all") else integer(tail, "tail", 0),
    }
