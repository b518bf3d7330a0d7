"""The terminal of whoever typed the command: made raw for a while, and always made whole."""

from __future__ import annotations

import os
import termios
from types import TracebackType
from typing import Any

from pyengine.cli.say import STDOUT

STDIN = 0


def is_terminal(descriptor: int) -> bool:
    """Whether *descriptor* is one."""
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def size() -> tuple[int, int] | None:
    """Rows and columns of the terminal that output goes to, if there is one."""
    try:
        columns, rows = os.get_terminal_size(STDOUT)
    except OSError:
        return None
    return rows, columns


class RawTerminal:
    """While it is entered, every key goes to the program as it is, ctrl-C too.

    Leaving, in whatever way, gives the terminal its old settings.
    """

    def __init__(self, descriptor: int = STDIN) -> None:
        self._descriptor = descriptor
        self._before: list[Any] | None = None

    def __enter__(self) -> RawTerminal:
        if is_terminal(self._descriptor):
            before = termios.tcgetattr(self._descriptor)
            self._before = [*before[:6], list(before[6])]
            self._set(_raw(before))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            self._set(self._before)
            self._before = None

    def _set(self, attributes: list[Any]) -> None:
        try:  # now: what was typed ahead stays
            termios.tcsetattr(self._descriptor, termios.TCSANOW, attributes)
        except termios.error:  # the terminal has gone
            pass


def _raw(before: list[Any]) -> list[Any]:
    """The settings of cfmakeraw(3)."""
    iflag, oflag, cflag, lflag, ispeed, ospeed, characters = before
    iflag &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    oflag &= ~termios.OPOST
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    characters = list(characters)
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, characters]
