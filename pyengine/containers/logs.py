"""Logs of containers, as everybody else in the house reads them.

They are kept by `log_writer`, in files that `log_file` appends to and `log_rotation` moves; a
reader is `log_reader`, which finds these files through `log_pieces`, or `log_follower`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from pyengine.containers.log_follower import LogFollower
from pyengine.containers.log_reader import read_blocks
from pyengine.errors import Unsupported
from pyengine.model.log import LogLine, LogWindow
from pyengine.model.log_options import LogSettings, attributes_of
from pyengine.model.moments import rfc3339
from pyengine.model.spec import ContainerSpec, LogConfig

__all__ = [
    "LogFollower",
    "attributes_for",
    "follow_logs",
    "log_text",
    "read_logs",
    "require_readable",
    "stamped",
]


def require_readable(config: LogConfig) -> None:
    """`Unsupported` if nothing is kept that could be read."""
    if not LogSettings.of(config).is_kept:
        missing = f"configured logging driver does not support reading ({config.driver!r})"
        raise Unsupported("reading logs", missing, "make the container with log='json-file'")


def attributes_for(spec: ContainerSpec, image_id: str = "") -> dict[str, str]:
    """What each entry of the container's log shall carry. Raises as `attributes_of` does."""
    fields = {
        "Command": " ".join(spec.argv),
        "DaemonName": "pyengine",
        "FullID": spec.id,
        "ID": spec.id[:12],
        "ImageFullID": image_id,
        "ImageID": image_id.removeprefix("sha256:")[:12],
        "ImageName": spec.image,
        "Name": spec.name,
    }
    return attributes_of(spec.log, dict(spec.labels), spec.env, fields)


def read_logs(
    path: str,
    *,
    stdout: bool = True,
    stderr: bool = True,
    since: object = None,
    until: object = None,
    tail: object = None,
) -> Iterator[LogLine]:
    """What is in the log at *path* now, through all its files, in order.

    *since* and *until* are moments as `parse_time` reads them, both inclusive. *tail* is how
    many of the last entries among those that are wanted: a line longer than 16 KiB is several,
    as in Docker. A log of any length is read in little memory; lines that are damaged are
    skipped. Raises `InvalidRequest` at once, and `StoreError` for a file that cannot be opened.
    """
    window = LogWindow.of(stdout=stdout, stderr=stderr, since=since, until=until, tail=tail)
    return (line for block in read_blocks(path, window) for line in block.lines(window))


def log_text(
    path: str,
    *,
    stdout: bool = True,
    stderr: bool = True,
    since: object = None,
    until: object = None,
    tail: object = None,
    timestamps: bool = False,
    details: bool = False,
) -> str:
    """The log at *path* as one text, as `read_logs` and `stamped` give it.

    What is not UTF-8 shows as U+FFFD.
    """
    window = LogWindow.of(stdout=stdout, stderr=stderr, since=since, until=until, tail=tail)
    if timestamps or details:
        lines = (line for block in read_blocks(path, window) for line in block.lines(window))
        pieces = [line for _, line in stamped(lines, timestamps=timestamps, details=details)]
    else:
        pieces = [block.output(window) for block in read_blocks(path, window)]
    return b"".join(pieces).decode(errors="replace")


def follow_logs(
    path: str,
    *,
    stdout: bool = True,
    stderr: bool = True,
    since: object = None,
    until: object = None,
    tail: object = None,
    is_finished: Callable[[], bool],
    ended: int | None = None,
    timeout: float | None = None,
) -> LogFollower:
    """What is in the log at *path*, and what comes, until *is_finished*: see `LogFollower`."""
    window = LogWindow.of(stdout=stdout, stderr=stderr, since=since, until=until, tail=tail)
    return LogFollower(path, window, is_finished=is_finished, ended=ended, timeout=timeout)


def stamped(
    lines: Iterable[LogLine], *, timestamps: bool = False, details: bool = False
) -> Iterator[tuple[str, bytes]]:
    """The stream and the bytes of each entry, each line of a stream with what shall precede it.

    *timestamps* are RFC 3339 with nine digits after the second; *details* the attributes.

    >>> line = LogLine("stdout", b"up\\n", 1_500_000_000, {"tier": "a b"})
    >>> next(stamped([line], timestamps=True, details=True))
    ('stdout', b'1970-01-01T00:00:01.500000000Z tier=a+b up\\n')
    """
    within: dict[str, bool] = {}  # streams whose line has begun
    for line in lines:
        data = line.data
        if not within.get(line.stream, False):
            if details:
                data = _details(line.attributes) + data
            if timestamps:
                data = rfc3339(line.time_ns).encode() + b" " + data
        within[line.stream] = not line.ends_line
        yield line.stream, data


def _details(attributes: Mapping[str, str]) -> bytes:
    from urllib.parse import quote_plus

    pairs = (f"{quote_plus(name)}={quote_plus(attributes[name])}" for name in sorted(attributes))
    return ",".join(pairs).encode() + b" "
