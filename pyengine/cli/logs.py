"""``logs``: what a container has said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pyengine.cli.flags import Flag
from pyengine.cli.say import STDERR, STDOUT, encoded, write
from pyengine.cli.verb import Call, Verb

if TYPE_CHECKING:
    from pyengine import LogLine


def run(call: Call) -> int:
    """Print it, each stream where it belongs, every byte as it was."""
    given = call.given
    with call.engine() as engine:
        container = engine.containers.get(call.arguments[0])
        read: Callable[..., Iterator[LogLine]]
        read = container.follow_logs if given.is_set("follow") else container.read_logs
        lines = read(
            since=given.text("since") or None,
            until=given.text("until") or None,
            tail=given.text("tail") or None,
        )
        stamps, details = given.is_set("timestamps"), given.is_set("details")
        starts = {"stdout": True, "stderr": True}
        for line in lines:
            # a long line is kept in pieces; what stands before a line stands there once
            before = prefix(line, stamps=stamps, details=details) if starts[line.stream] else b""
            starts[line.stream] = line.data.endswith(b"\n")
            write(before + line.data, STDERR if line.stream == "stderr" else STDOUT)
    return 0


def prefix(line: LogLine, *, stamps: bool, details: bool) -> bytes:
    """What stands before a line: when it was written, and the attributes it was given."""
    words = []
    if stamps:
        words.append(stamp(line.time_ns))
    if details:
        pairs = sorted(line.attributes.items())
        words.append(",".join(f"{_escaped(name)}={_escaped(value)}" for name, value in pairs))
    return encoded("".join(f"{word} " for word in words))


def stamp(time_ns: int) -> str:
    """*time_ns* since 1970, with nine digits of a second.

    >>> stamp(1_706_695_200_500_000_000)
    '2024-01-31T10:00:00.500000000Z'
    """
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09}Z"


def _escaped(text: str) -> str:
    from urllib.parse import quote_plus

    return quote_plus(text)


VERBS = {
    "logs": Verb(
        "[OPTIONS] CONTAINER",
        "Show what a container has said",
        run,
        (
            Flag("details", "bool", "Show what the log options add"),
            Flag("follow", "bool", "Go on until it has ended", "f"),
            Flag("since", "string", "From this time on: RFC 3339, or such as 42m ago"),
            Flag("tail", "string", "Only so many of the last lines", "n", default="all"),
            Flag("timestamps", "bool", "Show when each line was written", "t"),
            Flag("until", "string", "Up to this time: RFC 3339, or such as 42m ago"),
        ),
        least=1,
        most=1,
    ),
}
