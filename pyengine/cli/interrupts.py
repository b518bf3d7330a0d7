"""Being told to end: what was begun is put back in order first, then the signal has its way."""

from __future__ import annotations

import os
import signal
from types import FrameType

_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

PATIENCE = 3
"""How many signals it takes to end a command that is still putting things in order."""


class Interrupted(BaseException):
    """Signal *number* asks this command to end; raised in its main thread."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def listen() -> None:
    """From now on, a signal that asks this command to end raises `Interrupted`.

    A second one does not break off the tidying up, a third ends it by force. What the caller
    had us ignore, as nohup(1) does, stays ignored.
    """
    heard: list[int] = []

    def hear(number: int, _frame: FrameType | None) -> None:
        heard.append(number)
        if len(heard) == 1:
            raise Interrupted(number)
        if len(heard) >= PATIENCE:
            end_by(number)

    for number in _ASKING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, hear)


def end_by(number: int) -> int:
    """End this process by signal *number*, so that whoever waits for it sees the cause."""
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (number,))
    os.kill(os.getpid(), number)
    return 128 + number  # where it has no such effect
