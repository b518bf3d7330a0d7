"""Being there while a container's own program speaks, and speaking to it (row O10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from pyengine.containers import asking
from pyengine.containers.house import House
from pyengine.containers.inbox import Inbox
from pyengine.containers.looking import require_running, status_of
from pyengine.containers.remote import RemoteProgram
from pyengine.containers.running import Running
from pyengine.errors import WrongState
from pyengine.linux.terminal import set_window_size
from pyengine.model.log import LogLine
from pyengine.model.options_program import console_size
from pyengine.model.state import Status


class Attachment(Inbox):
    """One user's place beside a container, which may start only later."""

    def __init__(self, house: House, container_id: str, streams: frozenset[str]) -> None:
        super().__init__()
        self.house = house
        self.container_id = container_id
        self.running: Running | None = None
        self.remote: RemoteProgram | None = None  # where another process watches it
        self.pid = 0  # of its program there
        self._streams = streams

    @property
    def wishes(self) -> dict[str, bool]:
        """What is to be heard from there."""
        return {name: name in self._streams for name in ("stdout", "stderr")}

    def hear(self, stream: str, data: bytes, time_ns: int) -> bool:
        """As `Inbox.hear`, but for streams that nobody wants to hear."""
        return stream not in self._streams or super().hear(stream, data, time_ns)

    def bind(self, running: Running, before: Callable[[], None] | None = None) -> None:
        """The program is born. *before* is as `Running.listen` has it."""
        self.running = running
        self.unpause = running.unpause
        if not running.listen(self, before):
            self.end()

    def bind_remote(self, remote: RemoteProgram) -> None:
        """Another process watches the program, or will."""
        self.remote = remote
        self.pid = remote.pid
        self.unpause = remote.unpause
        remote.bind(self)

    def begin(self, pid: int) -> None:
        """It runs there."""
        self.pid = pid

    def unbind(self) -> None:
        """It could not be started there."""
        remote, self.remote = self.remote, None
        if remote is not None:
            remote.leave()
            remote.done.wait()
            self.revive()

    def detach(self) -> None:
        """Leave; the program goes on."""
        if self.remote is not None:
            self.remote.leave()
        elif self.running is not None:
            self.running.leave(self)
        else:
            self.house.cancel(self.container_id, self)
        self.end()


def attach(
    house: House,
    container_id: str,
    *,
    stdout: bool = True,
    stderr: bool = True,
    logs: bool = False,
    asks: bool = True,
) -> Attachment:
    """Hear the container from now on, or, where it does not run yet, from its start on.

    With *logs* what it has said until now comes first. Where another process watches it, that
    one is asked, if it *asks*. Raises `WrongState` for a paused one, and `Unsupported` where
    its watcher cannot be asked.
    """
    house.enter()
    record = house.catalog.record(container_id)
    if stderr and record.spec.tty:
        stdout = True
    streams = frozenset(name for name, wanted in (("stdout", stdout), ("stderr", stderr)) if wanted)
    attachment = Attachment(house, container_id, streams)
    past: Iterator[LogLine] = iter(())

    def look_back() -> None:
        nonlocal past
        past = _read_until_now(house, container_id)

    with house.catalog.locked(container_id):  # it shall not start just now
        status = status_of(house, container_id)
        running = house.running.get(container_id)
        _check(record.spec.name, status)
        is_elsewhere = running is None and status is Status.RUNNING
        if is_elsewhere and not asks:
            raise WrongState(record.spec.name, "not watched here", "attach to", "ask again")
        if is_elsewhere:
            pass
        elif running is not None:
            attachment.bind(running, look_back if logs else None)
        else:
            if logs:
                look_back()
            house.expect(container_id, attachment)
    if is_elsewhere:
        wishes = {**attachment.wishes, "logs": logs}
        attachment.bind_remote(asking.attach_watched(house, container_id, wishes))
    attachment.precede(
        [(line.stream, line.data, line.time_ns) for line in past if line.stream in streams]
    )
    house.tell("attach", record)
    return attachment


def _check(name: str, status: Status) -> None:
    if status is Status.PAUSED:
        raise WrongState(name, "paused", "attach to", "unpause it first")
    if status is Status.RESTARTING:
        raise WrongState(name, "restarting", "attach to", "wait until it runs")


def _read_until_now(house: House, container_id: str) -> Iterator[LogLine]:
    from pyengine.containers.logs import read_logs

    lines = read_logs(house.catalog.home(container_id).log)
    first = next(lines, None)  # with it, how far to read is settled
    return lines if first is None else chain((first,), lines)


def resize(house: House, container_id: str, rows: int, columns: int) -> None:
    """Tell the container's terminal how large it is (row O16).

    Raises `WrongState` where it has none, `Unsupported` where its watcher cannot be asked.
    """
    house.enter()
    record = house.catalog.record(container_id)
    running = house.running.get(container_id)
    if running is None:
        require_running(house, container_id, "resize")
        rows, columns = console_size((rows, columns))
        asking.ask_watcher(house, container_id, "resize", {"rows": rows, "columns": columns})
        return
    if running.terminal < 0:
        raise WrongState(record.spec.name, "without a terminal", "resize")
    size = console_size((rows, columns))
    set_window_size(running.terminal, *size)
    house.tell("resize", record, height=str(rows), width=str(columns))
