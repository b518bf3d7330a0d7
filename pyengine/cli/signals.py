"""Signals to the command, handed to whom they are meant for."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Any

# what says that this process itself is broken, what nobody can catch, what the kernel says about
# our own children and sockets, and what stops a program that reads its terminal out of turn
_OURS = frozenset(
    signal.Signals[name]
    for name in (
        *("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP"),
        *("SIGKILL", "SIGSTOP", "SIGCHLD", "SIGPIPE", "SIGURG", "SIGTTIN", "SIGTTOU"),
        *("SIGPROF", "SIGVTALRM", "SIGXCPU", "SIGXFSZ"),
    )
)

FORWARDED = frozenset(
    number for number in signal.valid_signals() if number not in _OURS and number < signal.SIGRTMIN
) | frozenset(range(signal.SIGRTMIN, signal.SIGRTMAX + 1))
"""What a command attached to a container passes on."""


class Signals:
    """While it is entered, each signal of *numbers* becomes a call of *handle* in a thread.

    A Python handler runs between two instructions of the main thread, perhaps inside a lock of
    the engine; a thread waits for that lock like any other caller. Only the main thread of a
    process may enter.
    """

    def __init__(self, numbers: Iterable[int], handle: Callable[[int], None]) -> None:
        self._numbers = tuple(numbers)
        self._handle = handle
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self._read, True)
        self._old_wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in self._numbers:
            self._before[number] = signal.signal(number, _woken)
        self._thread = threading.Thread(target=self._listen, name="pyengine-signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_wakeup)
        os.close(self._write)  # the thread reads the end of the pipe
        self._thread.join()
        os.close(self._read)

    def _listen(self) -> None:
        while numbers := os.read(self._read, 64):
            for number in numbers:
                self._handle(number)


def _woken(_number: int, _frame: FrameType | None) -> None:
    """Nothing: the number is in the pipe already."""
