"""JSON from strangers, read within limits; what readers take differently is refused."""

from __future__ import annotations

import json
import re
import sys
from itertools import pairwise
from typing import Any, NoReturn

from pyengine.errors import InvalidContent

MOST_DEPTH = 64
MOST_TOKENS = 400_000
"""Texts, brackets and commas of one document: what they become costs memory, not their bytes."""

_LARGEST = (1 << 63) - 1  # what every reader of the trade can hold
_TOKEN = re.compile(rb'"[^"]*"|[\[\]{},]')
_ESCAPED_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")
_MOST_MEMORY = 17 << 20


def loads(data: bytes, *, most_bytes: int, most_depth: int = MOST_DEPTH, what: str) -> Any:
    """The value that *data* writes down; *what* names it in the `InvalidContent` raised else.

    Refused are more than *most_bytes* bytes, deeper nesting than *most_depth*, what is not
    UTF-8, a key that comes twice, numbers beyond 64 bits, ``NaN`` and its like, half of a
    surrogate pair.

    >>> loads(b'{"a": [1]}', most_bytes=100, what="a manifest")
    {'a': [1]}
    """
    if len(data) > most_bytes:
        raise InvalidContent(what, f"it has {len(data)} bytes, more than {most_bytes}")
    _measure(data, most_depth, what)
    reader = _Reader(what)
    try:
        value = json.loads(
            _text(data, what),
            object_pairs_hook=reader.unique,
            parse_int=reader.integer,
            parse_float=reader.number,
            parse_constant=reader.constant,
        )
    except json.JSONDecodeError as error:
        raise InvalidContent(what, f"it is no JSON: {error.msg} at {error.pos}") from None
    except RecursionError:  # the caller's stack was nearly used up
        raise InvalidContent(what, "it is nested too deeply") from None
    if _ESCAPED_HALF.search(data) and _has_half_pair(value):
        raise InvalidContent(what, "it has half of a surrogate pair")
    return value


def _text(data: bytes, what: str) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidContent(what, f"it is not UTF-8 at byte {error.start}") from None
    if sys.getsizeof(text) > _MOST_MEMORY:  # one rare sign, and every other takes four bytes
        raise InvalidContent(what, f"its text takes more than {_MOST_MEMORY} bytes of memory")
    return text


def _has_half_pair(value: Any) -> bool:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            if not one.isascii() and _HALF.search(one):
                return True
        elif isinstance(one, dict):
            left.extend(one)
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)
    return False


def _measure(data: bytes, most_depth: int, what: str) -> None:
    """Refuse what is deep or in many pieces, before anything is made of it."""
    depth = 0
    plain = data.replace(b"\\\\", b"").replace(b'\\"', b"")  # now every quote opens or closes
    for tokens, token in enumerate(_TOKEN.finditer(plain), 1):
        sign = plain[token.start()]
        if sign in b"[{":
            depth += 1
            if depth > most_depth:
                raise InvalidContent(what, f"it is nested deeper than {most_depth} levels")
        elif sign in b"]}":
            depth -= 1
        if tokens > MOST_TOKENS:
            raise InvalidContent(what, f"it has more than {MOST_TOKENS} tokens")


class _Reader:
    """What `json` asks about pairs and numbers."""

    def __init__(self, what: str) -> None:
        self._what = what

    def unique(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            names = sorted(name for name, _ in pairs)
            twice = next(one for one, other in pairwise(names) if one == other)
            self._refuse(f"the key {_short(twice)} comes twice")
        return made

    def integer(self, digits: str) -> int:
        if len(digits) > 20 or abs(int(digits)) > _LARGEST:
            self._refuse(f"the number {_short(digits)} is beyond 64 bits")
        return int(digits)

    def number(self, digits: str) -> float:
        value = float(digits) if len(digits) <= 400 else float("inf")
        if value in (float("inf"), float("-inf")):
            self._refuse(f"the number {_short(digits)} is too large")
        return value

    def constant(self, name: str) -> NoReturn:
        self._refuse(f"{name} is no number of JSON")

    def _refuse(self, why: str) -> NoReturn:
        raise InvalidContent(self._what, why)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
