"""A program's streams, joined to those of the command, until one of them ends."""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pyengine.cli.detach import KeyWatcher
from pyengine.cli.interrupts import Interrupted
from pyengine.cli.say import STDERR, STDOUT, encoded, write
from pyengine.cli.terminal import STDIN, RawTerminal
from pyengine.errors import EngineError

if TYPE_CHECKING:
    from pyengine import Process

_PIECE = 1 << 16

_STILL_HERE = (
    "pyengine: this program ends with this command, so it cannot be let go of (run -d, then "
    "attach, can); still attached\r\n"
)


def converse(
    process: Process, *, reads: bool, watcher: KeyWatcher | None, may_leave: bool = False
) -> bool:
    """Write what *process* says until it has said all; with *reads*, hand it what we read.

    Every byte goes through as it is. A *watcher* stands for a terminal: where it sees its keys
    in what is typed, we let go of the program if it *may_leave*, and answer False; else the user
    is told that it would end with us. When the terminal goes, so does its user: `Interrupted`.
    """
    feeder = (
        _Feeder(process, watcher, may_leave=may_leave)
        if reads and process.stdin is not None
        else None
    )
    try:
        for chunk in process:
            write(chunk.data, STDERR if chunk.stream == "stderr" else STDOUT)
    finally:
        if feeder is not None:
            feeder.stop()
    if feeder is not None and feeder.is_hung_up:
        raise Interrupted(signal.SIGHUP)
    return feeder is None or not feeder.has_left


def raw_terminal(is_wanted: bool) -> RawTerminal | ExitStack:
    """The user's terminal made raw, if that *is_wanted*; to be entered."""
    return RawTerminal() if is_wanted else ExitStack()


class _Feeder:
    """A thread that hands standard input on, as it comes, to its end."""

    def __init__(self, process: Process, watcher: KeyWatcher | None, *, may_leave: bool) -> None:
        self._process = process
        self._may_leave = may_leave
        self.has_left = False
        self._watcher = watcher
        self.is_hung_up = False
        self._stopped, self._stop = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="pyengine-stdin", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Read no more; what was typed for somebody else stays for him."""
        os.close(self._stop)
        # a program that takes no input and is still there keeps the thread; it is a daemon
        self._thread.join(timeout=1.0)
        if not self._thread.is_alive():
            os.close(self._stopped)

    def _run(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        try:
            while data := self._next():
                if rest := self._watched(data):
                    stdin.write(rest)
                if self.has_left:
                    self._process.close()
                    return
            if not self._is_stopped():
                self._end()
        except (OSError, EngineError):  # the program reads no more, or has ended
            return

    def _end(self) -> None:
        """There is no more: a file ends, but a terminal has been hung up."""
        if self._watcher is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
        else:
            self.is_hung_up = True
            self._process.close()

    def _watched(self, data: bytes) -> bytes:
        if self._watcher is None:
            return data
        found = self._watcher.feed(data)
        if self._watcher.found and self._may_leave:
            self.has_left = True
            return found
        while self._watcher.found:
            write(encoded(_STILL_HERE), STDERR)
            found += self._watcher.feed(self._watcher.reset())
        return found

    def _next(self) -> bytes:
        """What can be read now; empty at the end, or when it is time to stop."""
        poll = select.poll()
        poll.register(STDIN, select.POLLIN)
        poll.register(self._stopped, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._stopped in ready:
                return b""
            try:
                return os.read(STDIN, _PIECE)
            except BlockingIOError:  # somebody else who reads it was faster
                continue
            except OSError:  # the terminal has been hung up, or there never was an input
                return b""

    def _is_stopped(self) -> bool:
        return bool(select.select([self._stopped], [], [], 0)[0])
