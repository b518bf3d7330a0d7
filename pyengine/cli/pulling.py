"""How far a pull or a push is, told as docker's command does: drawn anew, or line by line."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from pyengine.cli.say import STDERR, STDOUT, encoded, write
from pyengine.cli.table import ellipsis, plain
from pyengine.cli.terminal import is_terminal

if TYPE_CHECKING:
    from pyengine import ProgressEvent

_PER_SECOND = 10
_BAR = 50  # characters, where there is room
_ROOM_FOR_NUMBERS = 50  # columns for the id, the status and two sizes


class Teller:
    """Called with each `ProgressEvent`; writes docker's words for it to *descriptor*.

    On a terminal each layer has a line, drawn anew as it goes on; elsewhere a line is written
    where something begins or ends. A *first* line is said before the first event.
    """

    def __init__(
        self,
        descriptor: int = STDOUT,
        *,
        pushing: bool = False,
        first: str = "",
        steps: bool = True,
    ) -> None:
        self._descriptor, self._pushing, self._first = descriptor, pushing, first
        self._moves = is_terminal(descriptor) and os.environ.get("TERM", "dumb") != "dumb"
        self._steps = steps
        self._rows: dict[str, int] = {}
        self._drawn: dict[str, str] = {}
        self._lines = 0
        self._next = 0.0
        self._lock = threading.Lock()

    def __call__(self, event: ProgressEvent) -> None:
        """Tell of *event*."""
        with self._lock:
            if self._first:
                self._say(self._first)
                self._first = ""
            if event.id and self._moves:
                self._draw(event)
            elif not event.id or self._steps:
                for line in event.to_lines(pushing=self._pushing):
                    self._say(line)

    def _say(self, line: str) -> None:
        self._lines += 1
        write(encoded(plain(line) + "\n"), self._descriptor)

    def _draw(self, event: ProgressEvent) -> None:
        rows, width = self._room()
        text = ellipsis(plain(self._row(event, width)), width - 1)
        if event.id not in self._rows:
            if len(self._rows) >= rows - 2:  # what has scrolled away cannot be drawn anew
                return
            self._rows[event.id] = self._lines
            self._drawn[event.id] = ""
            self._say(text)
            return
        if self._drawn[event.id] == text or (event.is_counting and not self._is_due()):
            return
        up = self._lines - self._rows[event.id]
        if up >= rows:
            return
        self._drawn[event.id] = text
        write(encoded(f"\x1b[{up}A\r\x1b[2K{text}\r\x1b[{up}B"), self._descriptor)

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + 1 / _PER_SECOND
        return True

    def _row(self, event: ProgressEvent, width: int) -> str:
        from pyengine import format_size

        status = str(event.to_docker(pushing=self._pushing)["status"])
        if not event.is_counting:
            return f"{event.id}: {status}"
        size = format_size(event.current)
        if event.fraction is None or event.total is None:
            return f"{event.id}: {status}  {size}"
        room = min(_BAR, max(width - _ROOM_FOR_NUMBERS, 10))
        done = int(event.fraction * room)
        bar = f"{'=' * done}>"[:room]
        return f"{event.id}: {status} [{bar:<{room}}]  {size}/{format_size(event.total)}"

    def _room(self) -> tuple[int, int]:
        """Rows and columns of the terminal."""
        try:
            columns, rows = os.get_terminal_size(self._descriptor)
        except OSError:
            return 24, 80
        return rows or 24, columns or 80


def run_teller(image: str, policy: str) -> Teller:
    """Who tells of what ``run`` pulls: beside the program's output, not in it."""
    return Teller(STDERR, first="" if policy == "always" else _not_here(image))


def _not_here(image: str) -> str:
    from pyengine import Reference
    from pyengine.errors import InvalidRequest

    try:
        name = Reference.parse(image).with_default_tag().familiar
    except InvalidRequest:  # one in an archive
        return ""
    return f"Unable to find image '{name}' locally"
