"""Patterns of names as Go's path.Match has them: ``*`` and ``?`` stop at a slash."""

from __future__ import annotations

import re
from functools import lru_cache

from pyengine.errors import InvalidRequest

LONGEST = 1024


def matches(pattern: str, text: str) -> bool:
    """Whether all of *text* is what *pattern* describes; `InvalidRequest` for a bad one.

    Beside ``*`` and ``?`` there are ``[a-z]``, ``[^a-z]`` and ``\\`` before any sign.

    >>> matches("alp*:3.?", "alpine:3.9"), matches("*", "a/b")
    (True, False)
    """
    first, *chunks = _chunks(pattern)
    if not chunks:
        return first.fullmatch(text) is not None
    if (found := first.match(text)) is None:
        return False
    at = found.end()
    # each chunk takes the first place that it can have: so the time is bounded (Go does it, too)
    for chunk in chunks[:-1]:
        if (found := chunk.match(text, at)) is None:
            return False
        at = found.end()
    return chunks[-1].fullmatch(text, at) is not None


@lru_cache(maxsize=64)
def _chunks(pattern: str) -> tuple[re.Pattern[str], ...]:
    """What stands between the stars; every chunk but the first begins with one."""
    if len(pattern) > LONGEST:
        raise InvalidRequest("pattern", pattern, why=f"more than {LONGEST} characters")
    found, chunk, at = [], "", 0
    while at < len(pattern):
        if pattern[at] == "*":
            found.append(chunk)
            chunk = "[^/]*?"
            while pattern[at : at + 1] == "*":
                at += 1
        else:
            piece, at = _piece(pattern, at)
            chunk += piece
    return tuple(re.compile(one, re.DOTALL) for one in (*found, chunk))


def _piece(pattern: str, at: int) -> tuple[str, int]:
    """The regular expression for the sign at *at*, and where the next one is."""
    sign = pattern[at]
    if sign == "?":
        return "[^/]", at + 1
    if sign == "[":
        return _class(pattern, at + 1)
    if sign == "\\":
        return re.escape(_sign(pattern, at)[0]), at + 2
    return re.escape(sign), at + 1


def _class(pattern: str, at: int) -> tuple[str, int]:
    negated = pattern[at : at + 1] == "^"
    at += negated
    ranges: list[str] = []
    while pattern[at : at + 1] != "]" or not ranges:
        low, at = _sign(pattern, at, in_class=True)
        high = low
        if pattern[at : at + 1] == "-":
            high, at = _sign(pattern, at + 1, in_class=True)
        if low <= high:  # Go takes an empty range, which holds nothing
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            ranges.append("")
    inner = "".join(ranges)
    if not inner:
        return ("." if negated else "(?!)"), at + 1
    return (f"[^{inner}]" if negated else f"[{inner}]"), at + 1


def _sign(pattern: str, at: int, *, in_class: bool = False) -> tuple[str, int]:
    escaped = pattern[at : at + 1] == "\\"
    at += escaped
    sign = pattern[at : at + 1]
    if not sign or (in_class and not escaped and sign in "-]"):
        raise InvalidRequest("pattern", pattern, why="syntax error in pattern")
    return sign, at + 1
