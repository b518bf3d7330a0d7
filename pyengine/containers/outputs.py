"""What a container has said, read back from its log, also while it is being written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyengine.containers.house import House
from pyengine.containers.logs import LogFollower, follow_logs, log_text, read_logs, require_readable
from pyengine.containers.recovery import watcher_lives
from pyengine.errors import ContainerNotFound, EngineError
from pyengine.linux.process import is_alive, open_process
from pyengine.model.log import LogLine
from pyengine.model.state import ALIVE


def read(house: House, container_id: str, **window: Any) -> Iterator[LogLine]:
    """The entries that are there now; *window* as `read_logs` has it.

    Raises `Unsupported` where no log is kept.
    """
    return read_logs(_log_of(house, container_id), **window)


def text(house: House, container_id: str, **window: Any) -> str:
    """The same as one text; *window* as `log_text` has it."""
    return log_text(_log_of(house, container_id), **window)


_LAST_WORDS = 100


def last_words(house: House, container_id: str) -> str:
    """The last hundred lines, as far as they are to be had."""
    try:
        return text(house, container_id, tail=_LAST_WORDS)
    except EngineError:
        return ""


def follow(house: House, container_id: str, **window: Any) -> LogFollower:
    """The entries that are there, and those that come until the container ends.

    *window* is as `follow_logs` has it.
    """
    path = _log_of(house, container_id)
    state = house.catalog.state(container_id)
    pidfd = open_process(state.pid, state.start_time) if state.status in ALIVE else None

    def is_finished() -> bool:
        # its watcher writes this down beside the log, after the log's last entry
        try:
            now = house.catalog.state(container_id)
        except ContainerNotFound:
            return True
        if now.status not in ALIVE:
            return True
        if watcher_lives(house.layout, now.watcher):
            return False
        return not now.kept or not is_alive(now.pid, now.start_time)

    return follow_logs(path, ended=pidfd, is_finished=is_finished, **window)


def _log_of(house: House, container_id: str) -> str:
    house.enter()
    record = house.catalog.record(container_id)
    require_readable(record.spec.log)
    return house.catalog.home(container_id).log
