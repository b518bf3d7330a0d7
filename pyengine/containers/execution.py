"""A program that was put into a running container, until it has ended and been reaped."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator

from pyengine.containers.birth import Streams
from pyengine.containers.pump import KEEP, Pump, Sink
from pyengine.containers.seats import Seat
from pyengine.errors import WrongState
from pyengine.linux import native
from pyengine.linux.kin import end_kin
from pyengine.linux.process import send_signal
from pyengine.linux.terminal import set_window_size
from pyengine.model.signals import SIGKILL
from pyengine.model.state import ExitStatus
from pyengine.model.usage import Usage


def exit_of(end: native.End) -> ExitStatus:
    """How it ended, as a shell would say it."""
    if end.signal is not None:
        return ExitStatus(128 + end.signal, end.signal)
    if end.exit_code is not None:
        return ExitStatus(end.exit_code)
    return ExitStatus(137, error="somebody else has reaped it")


class Execution:
    """One such program. It must be reaped soon, whoever asked for it and forgot: the container
    cannot end before (pid_namespaces(7)), so somebody always watches.
    """

    def __init__(
        self,
        pid: int,
        pidfd: int,
        streams: Streams,
        seat: Seat,
        on_end: Callable[[Execution], None],
        started: float,
    ) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.streams = streams
        self.seat = seat
        self.is_done = False
        self._done: threading.Event | None = None  # made when somebody waits
        self.started = started
        self.duration = 0.0
        self.exit = ExitStatus(0)
        self.usage = Usage()
        self.is_over = False
        self.on_done: Callable[[], None] = lambda: None
        self.give_back: Callable[[Seat], None] = Seat.remove
        self.terminal = streams.stdout if streams.stdin >= 0 and streams.stderr < 0 else -1
        self._on_end = on_end
        self._pump: Pump | None = None
        self._end: native.End | None = None
        self._is_given = False
        self._has_seat = True
        self._was_killed = False
        self._lock = threading.Lock()

    def collect(self, sink: Sink, given: bytes, *, keep_stdin: bool = False) -> None:
        """Have its output heard by *sink* and *given* written to it, by who drives it."""
        streams = self.streams
        both = (streams.stdout, "stdout"), (streams.stderr, "stderr")
        outputs = {fd: name for fd, name in both if fd >= 0}
        self._pump = Pump(outputs, sink, -1 if keep_stdin else streams.stdin, given)

    def interests(self) -> Iterator[tuple[int, int]]:
        """Its pidfd, and its streams where they are ours."""
        yield self.pidfd, select.POLLIN
        if self._pump is not None:
            yield from self._pump.interests()

    def ready(self, fd: int) -> int:
        """One of them has something."""
        if fd == self.pidfd:
            self.is_over = True
            return KEEP
        assert self._pump is not None
        return self._pump.ready(fd)

    def is_paused(self, fd: int) -> bool:
        """Whether nobody has room for what *fd* says."""
        return self._pump is not None and self._pump.is_paused(fd)

    def unpause(self, resume: Callable[[int], None]) -> None:
        """There is room again: have *resume* called for each descriptor that waits for it."""
        for fd in self._pump.unpause() if self._pump is not None else ():
            resume(fd)

    def finish(self) -> None:
        """Reap it and tell who waits. What it has left running in the background runs on."""
        end = self._end = self._end or native.wait(self.pidfd)
        assert end is not None
        self.duration = time.monotonic() - self.started
        with self._lock:
            pidfd, self.pidfd, self.terminal = self.pidfd, -1, -1
            if pidfd >= 0:
                os.close(pidfd)
        if self._pump is not None:
            self._pump.drain()
        self._give_seat_back()
        self.usage = Usage(end.peak_memory, end.user_seconds, end.system_seconds)
        self.exit = exit_of(end)
        self._on_end(self)
        self.on_done()
        with self._lock:
            self.is_done = True
            if self._done is not None:
                self._done.set()

    def wait(self, timeout: float | None) -> bool:
        """Wait at most *timeout* seconds until its end has been noticed; whether it has."""
        with self._lock:
            if self.is_done:
                return True
            if self._done is None:
                self._done = threading.Event()
            done = self._done
        return done.wait(timeout)

    def _give_seat_back(self) -> None:
        with self._lock:  # from here on it may be somebody else's: never kill in it again
            given, self._is_given = self._is_given, True
            if given:
                return
            self._has_seat = not self.seat.is_empty()
        if self._has_seat:
            self.seat.let_go()  # somebody lives on in it: it goes with the container
        elif self._was_killed:
            # Linux 6.18 kills at once who is born into a cgroup that was ever killed
            self.seat.remove()
        else:
            self.give_back(self.seat)

    def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal how large it is. Raises `WrongState` where it has none."""
        with self._lock:
            if self.terminal < 0:
                raise WrongState(str(self.pid), "without a terminal", "resize")
            set_window_size(self.terminal, rows, columns)

    def kill(self) -> None:
        """End it and everything it has started."""
        with self._lock:
            if self._has_seat:
                self._was_killed = True
                self.seat.cgroup.kill()
                if self.seat.is_nowhere:
                    end_kin(self.pid)
                if self.seat.v2 < 0 and self.pidfd >= 0:  # whoever it has started may be nowhere
                    send_signal(self.pidfd, SIGKILL)

    def signal(self, number: int) -> bool:
        """Send it signal *number*; whether it was still there."""
        with self._lock:
            return self.pidfd >= 0 and send_signal(self.pidfd, number)
