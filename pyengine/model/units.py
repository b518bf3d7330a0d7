"""Sizes and lengths of time, read from what people write and written for people to read."""

from __future__ import annotations

import re

from pyengine.errors import InvalidRequest

LARGEST_SIZE = (1 << 63) - 1
"""The kernel and Docker's API count bytes in 64 bits, one of them the sign."""

_SIZE = re.compile(r"(\d{1,20}(?:\.\d{1,20})?) ?([kmgtp]?)i?b?", re.IGNORECASE | re.ASCII)
_POWERS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_SIZE_EXPECTED = "a number of bytes, or a text such as '512m' or '1.5g' (b, k, m, g, t, p)"

_PART = r"(\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(ns|us|µs|μs|ms|s|m|h)"  # both signs for micro: Go
_DURATION = re.compile(rf"([-+]?)((?:{_PART})+)", re.ASCII)
_DURATION_PART = re.compile(_PART, re.ASCII)
_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_DURATION_EXPECTED = "seconds, or a text such as '1m30s' or '250ms' (h, m, s, ms, us, ns)"

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")

_HOUR, _DAY = 3600, 24


def parse_size(value: object, what: str = "size") -> int:
    """How many bytes *value* is; k, m, g, t and p are powers of 1024, as in Docker.

    *value* is an `int` or a text; *what* names it in the `InvalidRequest` that anything
    else, a negative size or one beyond 2^63 raises.

    >>> parse_size("1.5g"), parse_size("10kB"), parse_size(4096)
    (1610612736, 10240, 4096)
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidRequest(what, value, expected=_SIZE_EXPECTED)
    if isinstance(value, int):
        size = value
    else:
        if (match := _SIZE.fullmatch(value.strip())) is None:
            raise InvalidRequest(what, value, expected=_SIZE_EXPECTED)
        number, unit = match.groups()
        power = _POWERS[unit.lower()]
        whole, _, fraction = number.partition(".")
        size = int(whole) * power  # never through a float: large sizes keep every byte
        if fraction:
            size += int(fraction) * power // 10 ** len(fraction)
    if size < 0:
        raise InvalidRequest(what, value, why="a size is not negative")
    if size > LARGEST_SIZE:
        raise InvalidRequest(what, value, why="beyond 2^63 - 1 bytes")
    return size


def parse_duration(value: object, what: str = "duration") -> float:
    """How many seconds *value* is: a number, a `timedelta`, or a text as Go writes them.

    It may be negative. *what* names it in the `InvalidRequest` that anything else raises.

    >>> parse_duration("1m30s"), parse_duration("250ms"), parse_duration(5)
    (90.0, 0.25, 5.0)
    """
    if isinstance(value, bool):
        raise InvalidRequest(what, value, expected=_DURATION_EXPECTED)
    if isinstance(value, int | float):
        return _finite(value, what)
    if isinstance(value, str):
        return _parse_go_duration(value, what)
    total_seconds = getattr(value, "total_seconds", None)  # a timedelta, without importing it
    if callable(total_seconds):
        return _finite(total_seconds(), what)
    raise InvalidRequest(what, value, expected=_DURATION_EXPECTED)


def _finite(value: float, what: str) -> float:
    # 1e10 seconds are 317 years, and what Go's 64 bits of nanoseconds can hold; NaN compares false
    if not -1e10 < value < 1e10:
        raise InvalidRequest(what, value, expected=_DURATION_EXPECTED)
    return float(value)


def _parse_go_duration(text: str, what: str) -> float:
    if text == "0":
        return 0.0
    if (match := _DURATION.fullmatch(text)) is None:
        why = "it has no unit" if text.replace(".", "", 1).isdecimal() else ""
        raise InvalidRequest(what, text, expected=_DURATION_EXPECTED, why=why)
    seconds = sum(
        float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(match[2])
    )
    return _finite(-seconds if match[1] == "-" else seconds, what)


def format_size(size: float, *, binary: bool = False, precision: int = 4) -> str:
    """*size* bytes as docker prints them: powers of 1000 for disks, of 1024 for memory.

    *precision* is the number of significant digits: 4, or 3 in docker's tables.

    >>> format_size(1_500_000), format_size(64 << 20, binary=True)
    ('1.5MB', '64MiB')
    """
    base, units = (1024.0, _BINARY) if binary else (1000.0, _DECIMAL)
    index = 0
    amount = float(size)
    while abs(amount) >= base and index < len(units) - 1:
        amount /= base
        index += 1
    return f"{amount:.{precision}g}{units[index]}"


def format_duration(seconds: float) -> str:
    """About how long *seconds* are, in docker's words.

    >>> format_duration(0.2), format_duration(75), format_duration(3700)
    ('Less than a second', 'About a minute', 'About an hour')
    """
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if (minutes := whole // 60) < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = int(seconds / _HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    for limit, unit, name in _LONG:
        if hours < limit:
            return f"{hours // unit} {name}"
    return f"{hours // (_DAY * 365)} years"


_LONG = (
    (48, 1, "hours"),
    (_DAY * 7 * 2, _DAY, "days"),
    (_DAY * 30 * 2, _DAY * 7, "weeks"),
    (_DAY * 365 * 2, _DAY * 30, "months"),
)


def format_ago(seconds: float) -> str:
    """How long ago something was; ``"2 minutes ago"``.

    >>> format_ago(125)
    '2 minutes ago'
    """
    return f"{format_duration(seconds)} ago"
