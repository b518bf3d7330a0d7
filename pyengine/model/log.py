"""What a log holds, as values."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from pyengine.errors import InvalidRequest
from pyengine.model.moments import parse_time

STREAMS = ("", "stdout", "stderr")
"""Streams by the number of their file descriptor."""

_NONE: Mapping[str, str] = {}


@frozen
class LogLine:
    """One entry of a log: a line with its newline, or a piece of one without it.

    A piece is 16 KiB of a line that is longer, or what was there when the container ended.
    *data* is exactly what was written. *attributes* are what the log options ``labels``, ``env``
    and ``tag`` ask for. *time_ns* are nanoseconds since 1970.

    >>> LogLine("stdout", b"caf\\xc3\\xa9\\n", 1_500_000_000).text
    'café\\n'
    """

    stream: str
    data: bytes
    time_ns: int
    attributes: Mapping[str, str] = field(default=_NONE, hash=False)

    @property
    def text(self) -> str:
        """The line as text; what is not UTF-8 shows as U+FFFD."""
        return self.data.decode(errors="replace")

    @property
    def time(self) -> float:
        """Seconds since 1970."""
        return self.time_ns / 1e9

    @property
    def ends_line(self) -> bool:
        """Whether its line ends with it."""
        return self.data.endswith(b"\n")


@frozen
class LogWindow:
    """Which entries of a log are wanted.

    *since* and *until* are nanoseconds since 1970, both inclusive; *tail* how many of the last
    of those that all else lets through, ``None`` for all.
    """

    stdout: bool = True
    stderr: bool = True
    since: int | None = None
    until: int | None = None
    tail: int | None = None

    @classmethod
    def of(
        cls,
        *,
        stdout: bool = True,
        stderr: bool = True,
        since: object = None,
        until: object = None,
        tail: object = None,
    ) -> LogWindow:
        """What somebody asks for, as `parse_time` and `parse_tail` read it."""
        if not stdout and not stderr:
            why = "you must choose at least one stream"
            raise InvalidRequest("logs", {"stdout": False, "stderr": False}, why=why)
        return cls(
            bool(stdout),
            bool(stderr),
            None if since is None else parse_time(since, "since"),
            None if until is None else parse_time(until, "until"),
            parse_tail(tail),
        )

    @property
    def has_all_but_tail(self) -> bool:
        """Whether every entry is wanted, the tail aside."""
        return self.stdout and self.stderr and self.since is None and self.until is None

    def wants(self, stream: int, time_ns: int) -> bool:
        """Whether an entry of *stream* (1 or 2) is wanted, the tail aside."""
        return (
            (self.stdout if stream == 1 else self.stderr)
            and (self.since is None or time_ns >= self.since)
            and (self.until is None or time_ns <= self.until)
        )


_TAIL_EXPECTED = "a number of entries, 'all' or None"


def parse_tail(value: object) -> int | None:
    """How many of the last entries are wanted; ``None`` and ``"all"`` are all of them.

    Raises `InvalidRequest`.

    >>> parse_tail("all"), parse_tail("10"), parse_tail(0)
    (None, 10, 0)
    """
    if value is None or value == "all":
        return None
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise InvalidRequest("tail", value, expected=_TAIL_EXPECTED)
