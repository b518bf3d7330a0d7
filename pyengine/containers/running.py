"""A container whose program this process watches, from its birth to what is written of its end."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from pyengine.containers.log_writer import LogWriter
from pyengine.containers.pump import DROP, KEEP, Pump
from pyengine.containers.seats import Seats
from pyengine.linux import native
from pyengine.linux.process import send_signal
from pyengine.model.state import ExitStatus
from pyengine.model.usage import Usage

if TYPE_CHECKING:
    from pyengine.containers.birth import Born
    from pyengine.containers.feeding import Feeder
    from pyengine.linux.plan import Block, Plan
    from pyengine.model.spec import ContainerSpec


class Listener(Protocol):
    """Who hears what a container says."""

    def hear(self, stream: str, data: bytes, time_ns: int) -> bool:
        """Take it; False: that is all it can take for now, it will call `Running.resume`."""

    def end(self) -> None:
        """There will be no more."""


class Running:
    """One running program; its `done` is set when its end has been recorded by *on_end*.

    *on_end* is called once, after the last output has been heard and before anybody is told.
    """

    def __init__(
        self,
        spec: ContainerSpec,
        born: Born,
        log: LogWriter,
        on_end: Callable[[Running], None],
        *,
        given: bytes = b"",
        keep_stdin: bool = False,
    ) -> None:
        self.spec = spec
        self.born = born
        self.log = log
        self.done = threading.Event()
        self.started = time.monotonic()
        self.duration = 0.0
        self.exit = ExitStatus(0)
        self.usage = Usage()
        self.is_over = False
        self.cgroup = born.cgroup
        self.seats = Seats(born.cgroup)
        self.join_steps: dict[object, Block] = {}  # of programs put inside, by what was wished
        self.join_plans: dict[object, Plan] = {}
        self.feeder: Feeder | None = None
        self.keep = True
        self.stopped_by_hand = False
        self.flushes = False  # whether nothing of what it says may be lost with this process
        self.has_tracers = False  # whether a program that may trace others was put inside
        self.resume: Callable[[int], None] = lambda _: None
        self.loses_stdin: Callable[[], None] = lambda: None
        self._on_end = on_end
        self._listeners: tuple[Listener, ...] = ()
        self._lock = threading.Lock()
        self._is_reaped = False
        self._end: native.End | None = None
        self._is_told = False  # whether who listens has heard of the end
        streams = born.streams
        outputs = {streams.stdout: "stdout", streams.stderr: "stderr"}
        outputs.pop(-1, None)
        self.terminal = streams.stdout if spec.tty else -1
        self.stdin = streams.stdin if keep_stdin else -1
        self._pump = Pump(outputs, self._say, -1 if keep_stdin else streams.stdin, given)

    # --- watched ---

    def interests(self) -> Iterator[tuple[int, int]]:
        """The streams, and the pidfd, readable once the program is dead (pidfd_open(2))."""
        yield self.born.pidfd, select.POLLIN
        yield from self._pump.interests()

    def ready(self, fd: int) -> int:
        """One of them has something."""
        if fd == self.born.pidfd:
            self.is_over = True
            return KEEP
        answer = self._pump.ready(fd)
        if answer == DROP and fd == self.terminal:
            self.terminal = -1
        return answer

    def is_paused(self, fd: int) -> bool:
        """Whether a listener has no room for what *fd* says."""
        return self._pump.is_paused(fd)

    def finish(self) -> None:
        """Reap it, take its last words, give back what it had, write it down, tell who waits."""
        if self.spec.namespaces.pid != "private":
            self.cgroup.kill()  # no pid namespace of its own has ended the rest with it
        if self._end is None:
            self._end = native.wait(self.born.pidfd)
            self.duration = time.monotonic() - self.started
        self._pump.drain()
        self._close_stdin()
        feeder, self.feeder = self.feeder, None
        if feeder is not None:
            feeder.close()
        with self._lock:
            reaped, self._is_reaped = self._is_reaped, True
            if not reaped:
                os.close(self.born.pidfd)
        self.log.close()
        self.seats.close()
        self._judge(self._end)
        try:
            self._on_end(self)
        finally:
            with self._lock:
                listeners, self._listeners, self._is_told = self._listeners, (), True
            for listener in listeners:
                listener.end()
            self.done.set()

    def let_go(self) -> None:
        """Watch it no more, before anybody did; it runs on."""
        self._pump.close()
        self._close_stdin()
        os.close(self.born.pidfd)
        self.log.close()

    def _judge(self, end: native.End | None) -> None:
        assert end is not None
        oom = False
        if self.spec.resources.memory is not None:
            from pyengine.containers.statistics import usage

            oom = self.cgroup.oom_kills() > 0
            self.usage = usage(self.cgroup.sample(), end)
        else:
            self.usage = Usage(end.peak_memory, end.user_seconds, end.system_seconds)
        if end.signal is not None:
            self.exit = ExitStatus(128 + end.signal, end.signal, oom)
        elif end.exit_code is not None:
            self.exit = ExitStatus(end.exit_code, None, oom)
        else:
            self.exit = ExitStatus(255, None, oom, "somebody else has reaped it")

    def kill(self) -> None:
        """End every process of it now; without a cgroup they end with the first of their pid
        namespace.
        """
        self.cgroup.kill()
        if self.cgroup.v2_path is None:
            with self._lock:
                if not self._is_reaped:
                    send_signal(self.born.pidfd, signal.SIGKILL)

    # --- who listens ---

    def _say(self, stream: str, data: bytes, time_ns: int) -> bool:
        with self._lock:  # who begins to listen hears this, or finds it in the log
            self.log.write(stream, data, time_ns)
            if self.flushes:
                self.log.flush()
            listeners = self._listeners
        willing = True
        for listener in listeners:
            willing = listener.hear(stream, data, time_ns) and willing
        return willing

    def listen(self, listener: Listener, before: Callable[[], None] | None = None) -> bool:
        """Let *listener* hear what is said from now on; False if it is over.

        *before* is called when everything said until then, and nothing else, is in the log.
        """
        with self._lock:
            if before is not None:
                self.log.flush()
                before()
            if self._is_told:
                return False
            self._listeners = (*self._listeners, listener)
        return True

    def leave(self, listener: Listener) -> None:
        """Let *listener* hear no more."""
        with self._lock:
            self._listeners = tuple(each for each in self._listeners if each is not listener)
        self.unpause()

    def unpause(self) -> None:
        """Go on reading after a listener could take no more."""
        for fd in self._pump.unpause():
            self.resume(fd)

    # --- programs that join ---

    def open_pidfd(self) -> int | None:
        """A pidfd of its first process, the caller's own; `None` once that is reaped."""
        with self._lock:
            return None if self._is_reaped else os.dup(self.born.pidfd)

    # --- input, terminal ---

    def open_stdin(self) -> int:
        """A descriptor of the caller's own to write its input to; -1 where it takes none now."""
        with self._lock:
            return -1 if self.stdin < 0 else os.dup(self.stdin)

    def close_stdin(self) -> None:
        """Let the program see the end of its input; with a terminal that is up to who types."""
        if not self.spec.tty:
            self._close_stdin()

    def _close_stdin(self) -> None:
        with self._lock:
            fd, self.stdin = self.stdin, -1
        if fd >= 0:
            os.close(fd)
            self.loses_stdin()
