"""What ``run``, ``start``, ``exec`` and ``attach`` do with the terminal and with signals."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyengine.cli import terminal
from pyengine.cli.attached import raw_terminal
from pyengine.cli.detach import DEFAULT_KEYS, KeyWatcher, parse_keys
from pyengine.cli.flags import Given
from pyengine.cli.signals import FORWARDED, Signals
from pyengine.cli.usage import COUNT_FAULT, UsageError
from pyengine.errors import EngineError, WrongState


def require_terminal(*, tty: bool, reads: bool) -> None:
    """`UsageError` where the program shall have a terminal, and what it shall read is none."""
    if tty and reads and not terminal.is_terminal(terminal.STDIN):
        raise NotATerminal("the input device is not a TTY", status=COUNT_FAULT)


class NotATerminal(UsageError):
    """Standard input is no terminal, and one was asked for."""

    def __str__(self) -> str:
        return self.why


def watcher_of(given: Given, *, tty: bool) -> KeyWatcher | None:
    """What looks for the detach keys; without a terminal nobody types them."""
    keys = parse_keys(given.text("detach-keys") or DEFAULT_KEYS)
    return KeyWatcher(keys) if tty else None


@contextmanager
def session(
    *,
    tty: bool,
    reads: bool,
    forward: Callable[[int], object] | None,
    resize: Callable[[int, int], object],
) -> Iterator[None]:
    """The terminal raw if need be, its size told by *resize*, signals given to *forward*.

    Without *forward* they end the command. A program that has ended no longer minds either.
    """

    def handle(number: int) -> None:
        try:
            if tty and number == signal.SIGWINCH:
                tell_size(resize)
            elif forward is not None:
                forward(number)
        except EngineError:  # it does not run yet, or no more
            pass

    numbers = set(FORWARDED) if forward is not None else set()
    if tty:
        numbers.add(signal.SIGWINCH)
    with Signals(numbers, handle), raw_terminal(tty and reads):
        yield


def tell_size(resize: Callable[[int, int], object]) -> None:
    """Tell *resize* the rows and columns of the user's terminal, if there is one.

    A quick program has ended by now, and its terminal with it: it no longer minds.
    """
    if (size := terminal.size()) is not None and all(size):
        try:
            resize(*size)
        except WrongState:
            return
