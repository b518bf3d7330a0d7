"""Tables as docker prints them, in which nothing a container says moves the cursor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyengine import printable as plain

__all__ = ["columns", "ellipsis", "plain"]

_GAP = 3


def columns(rows: Iterable[Sequence[str]], narrowest: int = 10) -> str:
    """*rows* of cells under each other, each column as wide as its widest cell.

    No column but the last has less than *narrowest* characters.

    >>> print(columns([["NAMES", "STATUS"], ["a-long-name", "Up 2 hours"]]), end="")
    NAMES         STATUS
    a-long-name   Up 2 hours
    """
    lines = [[plain(cell) for cell in row] for row in rows]
    count = max(map(len, lines), default=0)
    widths = [narrowest] * count
    for line in lines:
        for index, cell in enumerate(line[:-1]):
            widths[index] = max(widths[index], len(cell) + _GAP)
    return "".join(_line(line, widths) for line in lines)


def _line(cells: list[str], widths: list[int]) -> str:
    *before, last = cells or [""]
    return "".join(f"{cell:<{widths[at]}}" for at, cell in enumerate(before)) + last + "\n"


def ellipsis(text: str, width: int) -> str:
    """*text*, cut to *width* characters; the last one then says that it was.

    >>> ellipsis("sleep infinity", 8)
    'sleep i…'
    """
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…" * (width > 0)
