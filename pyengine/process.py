"""A program in a container, held by its streams."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BufferedReader, RawIOBase
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from pyengine.containers.inbox import Inbox, OutputChunk
from pyengine.errors import ForeignProcess, TimedOut, WrongState
from pyengine.linux.terminal import set_window_size
from pyengine.model.signals import SIGKILL, parse_signal
from pyengine.model.state import ExitStatus

if TYPE_CHECKING:
    from pyengine.containers.attaching import Attachment
    from pyengine.containers.execution import Execution
    from pyengine.containers.house import House
    from pyengine.containers.remote import RemoteProgram

__all__ = ["InputWriter", "OutputChunk", "Process"]


class InputWriter:
    """A program's standard input; writing waits until the program takes it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes) -> int:
        """Write all of *data* and answer its length.

        Raises `BrokenPipeError` where the program reads no more.
        """
        rest = memoryview(data)
        while rest:
            if self._fd < 0:
                raise BrokenPipeError("the program's input is closed")
            try:
                rest = rest[os.write(self._fd, rest) :]
            except OSError as error:  # EIO: its terminal is gone
                raise BrokenPipeError("the program reads no more") from error
        return len(data)

    def close(self) -> None:
        """Let the program see the end of its input; with a terminal that is the EOT character."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._fd < 0


class _Output(RawIOBase):
    """One stream of an `Inbox` as a file."""

    def __init__(self, inbox: Inbox, stream: str) -> None:
        self._inbox = inbox
        self._stream = stream
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        if not self._rest:
            chunk = self._inbox.next(self._stream)
            if chunk is None:
                return 0
            self._rest = chunk.data
        view = memoryview(buffer)  # type: ignore[arg-type]
        piece = self._rest[: len(view)]
        view[: len(piece)] = piece
        self._rest = self._rest[len(piece) :]
        return len(piece)


class _Backend(Protocol):
    """What a `Process` asks of who watches its program."""

    @property
    def pid(self) -> int: ...
    @property
    def inbox(self) -> Inbox: ...
    def open_stdin(self) -> InputWriter | None: ...
    def wait(self, timeout: float | None) -> ExitStatus | None: ...
    def signal(self, number: int) -> None: ...
    def resize(self, rows: int, columns: int) -> None: ...
    def close(self) -> None: ...


class Process:
    """A program in a container: its streams, its end, its terminal.

    Iterate over it for everything it says, as `OutputChunk` values in order; or read
    `stdout` and `stderr`, binary files, each for itself. With a terminal there is only `stdout`.
    """

    def __init__(self, backend: _Backend) -> None:
        self._held = backend
        self._owner = os.getpid()
        self._stdin: InputWriter | None = None
        self._stdout = BufferedReader(_Output(backend.inbox, "stdout"))
        self._stderr = BufferedReader(_Output(backend.inbox, "stderr"))

    @property
    def _backend(self) -> _Backend:
        self._check_owner()
        return self._held

    def _check_owner(self) -> None:
        """In a fork nobody watches the program."""
        if os.getpid() != self._owner:
            raise ForeignProcess(self._owner)

    @property
    def stdout(self) -> BufferedReader[_Output]:
        """What it says on its standard output, or its terminal."""
        self._check_owner()
        return self._stdout

    @property
    def stderr(self) -> BufferedReader[_Output]:
        """What it says on its standard error."""
        self._check_owner()
        return self._stderr

    @property
    def pid(self) -> int:
        """Its process id on the host; 0 for a container's own program that does not run yet."""
        return self._backend.pid

    @property
    def stdin(self) -> InputWriter | None:
        """Its input, if it was asked for (and, for an attached container, once it runs)."""
        backend = self._backend
        if self._stdin is None:
            self._stdin = backend.open_stdin()
        return self._stdin

    def __iter__(self) -> Iterator[OutputChunk]:
        while (chunk := self._backend.inbox.next()) is not None:
            yield chunk

    def wait(self, timeout: float | None = None) -> ExitStatus:
        """Wait until it has ended. Raises `TimedOut` after *timeout* seconds; it runs on then."""
        ended = self._backend.wait(timeout)
        if ended is None:
            raise TimedOut("waiting for a program", timeout or 0.0)
        return ended

    def poll(self) -> int | None:
        """Its exit code, or `None` while it runs."""
        ended = self._backend.wait(0)
        return None if ended is None else ended.exit_code

    def kill(self, signal: str | int = "SIGKILL") -> None:
        """Send it *signal*; SIGKILL ends everything it has started as well."""
        self._backend.signal(parse_signal(signal))

    def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal how large it is. Raises `WrongState` where it has none."""
        self._backend.resize(rows, columns)

    def close(self) -> None:
        """Let go: a program that was put into a container ends, an attached one goes on."""
        if self.stdin is not None:  # also one that was asked for and never written to
            self.stdin.close()
        self._backend.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Executed:
    """The backend of a program that was put into a container."""

    def __init__(self, house: House, execution: Execution) -> None:
        self._house = house
        self._execution = execution
        self._stdin_fd = execution.streams.stdin
        self.inbox = Inbox(lambda: execution.unpause(house.supervisor.resume))
        execution.collect(self.inbox.hear, b"", keep_stdin=True)
        execution.on_done = self.inbox.end
        house.supervisor.watch(execution)

    @property
    def pid(self) -> int:
        return self._execution.pid

    def open_stdin(self) -> InputWriter | None:
        fd, self._stdin_fd = self._stdin_fd, -1
        return None if fd < 0 else InputWriter(fd)

    def wait(self, timeout: float | None) -> ExitStatus | None:
        return self._execution.exit if self._execution.wait(timeout) else None

    def signal(self, number: int) -> None:
        if number == SIGKILL:
            self._execution.kill()
        else:
            self._execution.signal(number)

    def resize(self, rows: int, columns: int) -> None:
        self._execution.resize(rows, columns)

    def close(self) -> None:
        if self._stdin_fd >= 0:
            os.close(self._stdin_fd)
            self._stdin_fd = -1
        if not self._execution.is_done:
            self._execution.kill()
            self._execution.wait(None)
        self.inbox.end()


class Attached:
    """The backend of a container's own program."""

    def __init__(self, attachment: Attachment, *, stdin: bool) -> None:
        self._attachment = attachment
        self._wants_stdin = stdin
        self.inbox: Inbox = attachment

    @property
    def pid(self) -> int:
        running = self._attachment.running
        return running.born.pid if running is not None else self._attachment.pid

    def open_stdin(self) -> InputWriter | None:
        running, remote = self._attachment.running, self._attachment.remote
        if self._wants_stdin and remote is not None and self._attachment.pid:
            return _RemoteInput(remote)
        if not self._wants_stdin or running is None:
            return None
        fd = running.open_stdin()
        if fd < 0:
            return None
        return _AttachedInput(fd, running.close_stdin)

    def wait(self, timeout: float | None) -> ExitStatus | None:
        from pyengine.containers import waiting

        running = self._attachment.running
        if running is not None:
            return running.exit if running.done.wait(timeout) else None
        remote = self._attachment.remote
        if remote is not None:
            return self._wait_remote(remote, timeout)
        try:
            return waiting.wait(
                self._attachment.house, self._attachment.container_id, "next-exit", timeout
            )
        except TimedOut:
            return None

    def _wait_remote(self, remote: RemoteProgram, timeout: float | None) -> ExitStatus | None:
        """Its watcher tells how it ended; or else its state does, where that one is gone."""
        from pyengine.containers import waiting

        if not remote.done.wait(timeout):
            return None
        if remote.exit is not None:
            return remote.exit
        try:
            return waiting.wait(
                self._attachment.house, self._attachment.container_id, "not-running", timeout
            )
        except TimedOut:
            return None

    def signal(self, number: int) -> None:
        from pyengine.containers import ending

        ending.send(self._attachment.house, self._attachment.container_id, number)

    def resize(self, rows: int, columns: int) -> None:
        running = self._attachment.running
        if self._attachment.remote is not None and self._attachment.pid:
            from pyengine.containers import attaching

            attaching.resize(self._attachment.house, self._attachment.container_id, rows, columns)
            return
        if running is None or running.terminal < 0:
            raise WrongState(self._attachment.container_id[:12], "without a terminal", "resize")
        set_window_size(running.terminal, rows, columns)

    def close(self) -> None:
        self._attachment.detach()


class _AttachedInput(InputWriter):
    """The input of a container: when its first user is done with it, so is the program."""

    def __init__(self, fd: int, on_close: object) -> None:
        super().__init__(fd)
        self._on_close = on_close

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._on_close()  # type: ignore[operator]


class _RemoteInput(InputWriter):
    """The input of a container that another process watches."""

    def __init__(self, remote: RemoteProgram) -> None:
        super().__init__(-1)
        self._remote = remote
        self._is_closed = False

    def write(self, data: bytes) -> int:
        if self._is_closed:
            raise BrokenPipeError("the program's input is closed")
        self._remote.write(bytes(data))
        return len(data)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._remote.close_stdin()

    @property
    def closed(self) -> bool:
        return self._is_closed
