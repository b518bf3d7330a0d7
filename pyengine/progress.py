"""How far a pull is, shown where somebody watches: on a terminal, in a notebook, line by line.

A display is told by many threads, redraws some times a second at most, and shows nothing that a
terminal would obey, whoever chose the names.
"""

from __future__ import annotations

import html
import importlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from pyengine.errors import InvalidRequest
from pyengine.model.printing import printable
from pyengine.model.progress import ProgressEvent
from pyengine.model.units import format_size

Progress = Callable[[ProgressEvent], object]
"""Who is told how far something is."""

PER_SECOND = 8
"""How often a display that moves is drawn anew."""
LINES_EVERY = 5.0
"""Seconds between two lines about how far something is, where nothing can be drawn anew."""
MOST_ROWS = 24
"""Pieces that are shown at once; of more, those that have not ended, the oldest first."""
_BAR = 24


class Display(Protocol):
    """Something that shows events, one at a time."""

    def show(self, event: ProgressEvent) -> None:
        """Take *event* in, and show it when there is time for that."""

    def close(self) -> None:
        """Show how it ended."""


@contextmanager
def watching(
    progress: Progress | str | None, *, pushing: bool = False, stream: TextIO | None = None
) -> Iterator[Progress | None]:
    """Whom to tell of events, for the length of a ``with``; `None`: nobody.

    *progress* is a function, which is called by one thread at a time; ``"auto"``, a display that
    moves on a terminal and in a notebook, and nothing where nobody watches; ``"plain"``, a line
    for each step; `None` or ``"none"``. Displays are on *stream*, the standard error by default,
    with docker's words for *pushing* or for pulling. Raises `InvalidRequest` for anything else.
    """
    lock = threading.Lock()
    if progress is None or progress == "none":
        yield None
        return
    if callable(progress):
        tell = progress

        def call(event: ProgressEvent) -> None:
            with lock:
                tell(event)

        yield call
        return
    if progress not in ("auto", "plain"):
        expected = "'auto', 'plain', 'none' or a function"
        raise InvalidRequest("progress", progress, expected=expected)
    display, broken = None, False
    try:
        display = _display(progress == "plain", pushing, stream or sys.stderr)
    except (OSError, ValueError):  # whoever watched has gone
        pass
    if display is None:
        yield None
        return

    def show(event: ProgressEvent) -> None:
        nonlocal broken
        with lock:
            if not broken:
                try:
                    display.show(event)
                except (OSError, ValueError):  # the pull goes on
                    broken = True

    try:
        yield show
    finally:
        with lock:
            try:
                display.close()
            except (OSError, ValueError):
                pass


def _display(is_plain: bool, pushing: bool, stream: TextIO) -> Display | None:
    if is_plain:
        return Lines(stream, pushing=pushing)
    if _in_notebook():
        return Cell(pushing=pushing)
    if not _is_watched(stream):
        return None
    if os.environ.get("TERM", "dumb") == "dumb":
        return Lines(stream, pushing=pushing)
    try:
        return Bars(stream, pushing=pushing)
    except ImportError:
        return Lines(stream, pushing=pushing)


def _is_watched(stream: TextIO) -> bool:
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        return False
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


def _in_notebook() -> bool:
    """Whether this is a program that somebody writes in a notebook."""
    ipython = sys.modules.get("IPython")  # without it nobody does
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


class Pace:
    """Says when it is time again: *seconds* after it was last."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._next = float("-inf")

    def is_due(self) -> bool:
        """Whether it is time; if so, it is not until *seconds* have passed."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


class Lines:
    """A line for each step of each piece, and now and then how far one is."""

    def __init__(self, stream: TextIO, *, pushing: bool = False, pace: Pace | None = None) -> None:
        self._stream, self._pushing = stream, pushing
        self._pace = pace or Pace(LINES_EVERY)

    def show(self, event: ProgressEvent) -> None:
        """Write what there is to say of it."""
        lines = event.to_lines(pushing=self._pushing)
        if event.is_counting and self._pace.is_due():
            lines = (f"{event.id}: {words(event, pushing=self._pushing)}",)
        if lines:
            self._stream.write("".join(f"{printable(line)}\n" for line in lines))
            self._stream.flush()

    def close(self) -> None:
        """Everything is written."""


class Board:
    """What there is to show: the last event of each piece, and what was said of the whole."""

    def __init__(self, *, pushing: bool = False) -> None:
        self._pushing = pushing
        self._pieces: dict[str, ProgressEvent] = {}
        self.heads: list[str] = []

    def take(self, event: ProgressEvent) -> None:
        """Remember *event*."""
        if event.id:
            self._pieces[event.id] = event
        else:
            lines = [printable(line) for line in event.to_lines(pushing=self._pushing)]
            self.heads = [*self.heads, *lines][-MOST_ROWS:]

    @property
    def shown(self) -> list[ProgressEvent]:
        """The pieces to show, in the order in which they came."""
        events = list(self._pieces.values())
        if len(events) <= MOST_ROWS:
            return events
        going = [event for event in events if not event.is_final][:MOST_ROWS]
        return going or events[-MOST_ROWS:]

    @property
    def hidden(self) -> int:
        """How many pieces are not shown."""
        return len(self._pieces) - len(self.shown)

    def rows(self) -> list[str]:
        """All of it as text."""
        rows = [*self.heads]
        rows += [_row(event, pushing=self._pushing) for event in self.shown]
        if self.hidden:
            rows.append(f"and {self.hidden} more")
        return rows


def words(event: ProgressEvent, *, pushing: bool = False) -> str:
    """What is being done, and how far it is.

    >>> words(ProgressEvent("downloading", "c0ffee", 1_000_000, 2_500_000))
    'Downloading 1MB/2.5MB'
    """
    status = printable(str(event.to_docker(pushing=pushing)["status"]))
    if not event.is_counting:
        return status
    of = f"/{format_size(event.total)}" if event.total is not None else ""
    return f"{status} {format_size(event.current)}{of}"


def bar(fraction: float | None, width: int = _BAR) -> str:
    """A bar of *width* characters in brackets; blank where nobody knows how much there is.

    >>> bar(0.5, 6)
    '[==>   ]'
    """
    done = int((fraction or 0.0) * width)
    head = ">" if 0 < done < width else ""
    return f"[{('=' * (done - len(head)) + head):<{width}}]"


def _row(event: ProgressEvent, *, pushing: bool) -> str:
    told = words(event, pushing=pushing)
    if event.is_counting and event.fraction is not None:
        return f"{printable(event.id)}: {bar(event.fraction)} {told}"
    return f"{printable(event.id)}: {told}"


def _done(event: ProgressEvent) -> float:
    """How much of its bar is full: a bar is of one thing, such as a download, at a time."""
    if event.is_counting:
        return event.fraction or 0.0
    return 0.0 if event.action in ("resolving", "waiting", "retrying") else 1.0


class Bars:
    """Bars that move on a terminal, drawn by rich. Raises `ImportError` where that is not."""

    def __init__(self, stream: TextIO, *, pushing: bool = False, pace: Pace | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        class Patient(Console):
            """One that does not end the program where its reader has gone."""

            def on_broken_pipe(self) -> None:
                self.quiet = True

        self._board, self._pushing = Board(pushing=pushing), pushing
        self._pace = pace or Pace(1 / PER_SECOND)
        self._live = Live(
            console=Patient(file=stream, highlight=False, markup=False, emoji=False),
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()
        self._live.console.show_cursor(True)  # who is killed meanwhile cannot give it back

    def show(self, event: ProgressEvent) -> None:
        """Take it in, and draw all if it is time."""
        self._board.take(event)
        if self._pace.is_due():
            self._draw()

    def close(self) -> None:
        """Leave the last picture where it is."""
        try:
            self._draw()
        finally:
            self._live.stop()

    def _draw(self) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1))
        for event in self._board.shown:
            line = ProgressBar(
                total=1.0,
                completed=_done(event),
                width=_BAR,
                complete_style="cyan",
                finished_style="green",
            )
            told = words(event, pushing=self._pushing)
            table.add_row(Text(printable(event.id)), line, Text(told, overflow="ellipsis"))
        parts: list[Any] = [Text(line) for line in self._board.heads]
        parts.append(table)
        if self._board.hidden:
            parts.append(Text(f"and {self._board.hidden} more"))
        self._live.update(Group(*parts), refresh=True)


class Cell:
    """A part of a notebook's output that is replaced by what there is to say now."""

    def __init__(self, *, pushing: bool = False, pace: Pace | None = None) -> None:
        self._board = Board(pushing=pushing)
        self._pace = pace or Pace(1 / PER_SECOND)
        self._handle: Any = None

    def show(self, event: ProgressEvent) -> None:
        """Take it in, and show all if it is time."""
        self._board.take(event)
        if self._pace.is_due():
            self._draw()

    def close(self) -> None:
        """Leave the last picture where it is."""
        self._draw()

    def _draw(self) -> None:
        display = importlib.import_module("IPython.display").display
        text = "\n".join(self._board.rows())
        data = {"text/plain": text, "text/html": f"<pre>{html.escape(text)}</pre>"}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)
