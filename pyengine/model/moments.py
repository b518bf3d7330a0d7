"""Moments, read from what people write and written for people to read."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from pyengine.errors import InvalidRequest
from pyengine.model.units import parse_duration

_SECOND = 1_000_000_000  # nanoseconds
_LAST = 9_200_000_000  # seconds since 1970 whose nanoseconds fit 64 bits: until 2261

_TIME_EXPECTED = (
    "seconds since 1970, a datetime, a text such as '2024-01-31T10:00:00.5Z', "
    "or a length of time before now such as '10m'"
)
_UNIX = re.compile(r"(\d{1,10})(?:\.(\d{1,9}))?", re.ASCII)
_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(?:([Zz])|([-+])(\d\d):(\d\d))?)?",
    re.ASCII,
)


def parse_time(value: object, what: str = "time", now_ns: int | None = None) -> int:
    """Nanoseconds since 1970 of *value*, a moment in one of these forms:

    - `int` or `float`: seconds since 1970; an `int` too large for that is nanoseconds
    - `datetime`; without a zone it is local time
    - ``"2024-01-31T10:00:00.123456789+02:00"``, or only its beginning; without a zone local time
    - ``"1706695200.123456789"``: seconds since 1970
    - ``"10m"``, ``"1h30m"``: that long before *now_ns* (default: the present)

    *what* names it in the `InvalidRequest` that anything else raises, and what lies before 1970
    or after 2261.

    >>> parse_time("2024-01-31T10:00:00.5Z"), parse_time(1.5), parse_time("10m", now_ns=10**12)
    (1706695200500000000, 1500000000, 400000000000)
    """
    moment = _moment(value, what, now_ns)
    if not 0 <= moment <= _LAST * _SECOND:
        raise InvalidRequest(what, value, expected=_TIME_EXPECTED, why="not between 1970 and 2261")
    return moment


def _moment(value: object, what: str, now_ns: int | None) -> int:
    if isinstance(value, bool):
        raise InvalidRequest(what, value, expected=_TIME_EXPECTED)
    if isinstance(value, int):
        return value if value > _LAST else value * _SECOND
    if isinstance(value, float):
        if not -1e11 < value < 1e11:  # NaN compares false
            raise InvalidRequest(what, value, expected=_TIME_EXPECTED)
        whole = int(value)
        return whole * _SECOND + round((value - whole) * _SECOND)
    if isinstance(value, str):
        return _moment_of_text(value, what, now_ns)
    if isinstance(value, datetime):
        return _moment_of_datetime(value, what)
    raise InvalidRequest(what, value, expected=_TIME_EXPECTED)


def _moment_of_text(text: str, what: str, now_ns: int | None) -> int:
    if match := _UNIX.fullmatch(text):
        return int(match[1]) * _SECOND + _fraction(match[2])
    if match := _DATE.fullmatch(text):
        return _moment_of_date(match, text, what)
    try:
        seconds = parse_duration(text, what)
    except InvalidRequest:
        raise InvalidRequest(what, text, expected=_TIME_EXPECTED) from None
    return (time.time_ns() if now_ns is None else now_ns) - round(seconds * _SECOND)


def _fraction(digits: str | None) -> int:
    return int(digits.ljust(9, "0")) if digits else 0


def _moment_of_date(match: re.Match[str], text: str, what: str) -> int:
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    offset = timedelta(hours=int(match[10] or 0), minutes=int(match[11] or 0))
    try:
        zone = timezone(-offset if match[9] == "-" else offset) if match[8] or match[9] else None
        made = datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError as error:
        raise InvalidRequest(what, text, expected=_TIME_EXPECTED, why=str(error)) from error
    return _moment_of_datetime(made, what) + _fraction(match[7])


def _moment_of_datetime(moment: datetime, what: str) -> int:
    try:  # without a zone it is local time, as datetime.timestamp has it
        past = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(what, str(moment), expected=_TIME_EXPECTED, why=str(error)) from error
    return past // timedelta(microseconds=1) * 1000


@lru_cache(maxsize=16)
def _to_the_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def rfc3339(time_ns: int) -> str:
    """*time_ns* nanoseconds since 1970 as text, always with nine digits after the second.

    >>> rfc3339(1_706_695_200_500_000_000)
    '2024-01-31T10:00:00.500000000Z'
    """
    return f"{_to_the_second(time_ns // _SECOND)}.{time_ns % _SECOND:09}Z"
