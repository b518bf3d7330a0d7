"""What a template may call: Go's own functions, and those that docker adds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pyengine.cli.template_values import NOTHING, FreeMap, is_true, kind_of, shown

Function = Callable[..., Any]

_CONTROLS = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_LARGEST_TEXT = 1 << 20
"""Beyond it a template asks for padding that nobody will read."""


def json_text(value: object) -> str:
    """*value* as one line of JSON, with the keys of maps in order.

    >>> json_text({"b": "<é>", "a": [1, None]})
    '{"a":[1,null],"b":"<é>"}'
    """
    import json

    text = json.dumps(
        None if value is NOTHING else value,
        ensure_ascii=False,
        separators=(",", ":"),
        sort_keys=True,
        default=shown,
    )
    return valid_json(text)


def valid_json(text: str) -> str:
    """*text*, which is JSON, without what UTF-8 cannot hold, and without controls of terminals.

    JSON lets stand what is above ASCII, where there are controls as well, and signs that turn
    text around; the line ends of JavaScript are escaped by Go, too.
    """
    if text.isascii() and "\x7f" not in text:
        return text
    text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a string, found {shown(value)} ({kind_of(value)})")
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected an integer, found {shown(value)} ({kind_of(value)})")
    return value


def _length(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, Mapping | list | tuple):
        return len(value)
    raise ValueError(f"len of {kind_of(value)}")


def _index(value: object, *keys: object) -> object:
    for key in keys:
        value = _entry(value, key)
    return value


def _entry(value: object, key: object) -> object:
    if isinstance(value, Mapping):
        if _text(key) in value:
            return value[_text(key)]
        return "" if isinstance(value, FreeMap) else NOTHING
    if isinstance(value, list | tuple | str):
        number = _whole(key)
        if not 0 <= number < len(value):
            raise ValueError(f"index out of range: {number}")
        return ord(value[number]) if isinstance(value, str) else value[number]
    raise ValueError(f"can't index item of type {kind_of(value)}")


def _slice(value: object, *bounds: object) -> object:
    if not isinstance(value, list | tuple | str):
        raise ValueError(f"can't slice item of type {kind_of(value)}")
    if len(bounds) > 2:
        raise ValueError(f"slice takes two bounds, not {len(bounds)}")
    start, end = [*map(_whole, bounds), *(0, len(value))[len(bounds) :]]
    if not 0 <= start <= end <= len(value):
        raise ValueError(f"slice bounds out of range: {start}:{end}")
    return value[start:end]


def _equal(first: object, *others: object) -> bool:
    if not others:
        raise ValueError("missing argument for comparison")
    return any(_same(first, other) for other in others)


def _same(one: object, other: object) -> bool:
    one, other = (None if value is NOTHING else value for value in (one, other))
    if one is None or other is None:
        return one is other
    _require_alike(one, other)
    return one == other


def _require_alike(one: object, other: object) -> None:
    kinds = [kind_of(value) for value in (one, other)]
    basic = ["number" if kind in ("int", "float64") else kind for kind in kinds]
    if basic[0] != basic[1] or basic[0] not in ("number", "string", "bool"):
        raise ValueError(f"incompatible types for comparison: {kinds[0]} and {kinds[1]}")


def _less(one: Any, other: Any) -> bool:
    _require_alike(one, other)
    if isinstance(one, bool):
        raise ValueError("invalid type for comparison: bool")
    return bool(one < other)


def _print(*values: object) -> str:
    """As Go's Sprint: a space between two values of which neither is a text."""
    parts: list[str] = []
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            parts.append(" ")
        parts.append(shown(value))
    return "".join(parts)


def _println(*values: object) -> str:
    return " ".join(map(shown, values)) + "\n"


def _printf(form: object, *values: object) -> str:
    from pyengine.cli.template_printf import printf

    return printf(_text(form), values)


def _pad(value: object, before: object, after: object) -> str:
    text, left, right = _text(value), max(_whole(before), 0), max(_whole(after), 0)
    if left + right > _LARGEST_TEXT:
        raise ValueError(f"pad of more than {_LARGEST_TEXT} spaces")
    return f"{' ' * left}{text}{' ' * right}" if text else ""


def _truncate(value: object, length: object) -> str:
    return _text(value)[: max(_whole(length), 0)]


def _title(value: object) -> str:
    """The first letter of each word large; the others stay."""
    found: list[str] = []
    before = " "
    for letter in _text(value):
        inside = before.isalnum() or before == "_"
        found.append(letter if inside else letter.upper())
        before = letter
    return "".join(found)


def _join(values: object, separator: object) -> str:
    if not isinstance(values, list | tuple):
        raise ValueError(f"expected a list of strings, found {shown(values)} ({kind_of(values)})")
    return _text(separator).join(map(_text, values))


def _split(value: object, separator: object) -> list[str]:
    text, mark = _text(value), _text(separator)
    return text.split(mark) if mark else list(text)


# `and` and `or` look at no more than they need, so template_render does them
_LAZY: dict[str, Function] = {"and": lambda *_: None, "or": lambda *_: None}

FUNCTIONS: dict[str, tuple[int, int | None, Function]] = {
    "and": (1, None, _LAZY["and"]),
    "or": (1, None, _LAZY["or"]),
    "not": (1, 1, lambda value: not is_true(value)),
    "eq": (1, None, _equal),
    "ne": (2, 2, lambda one, other: not _same(one, other)),
    "lt": (2, 2, _less),
    "le": (2, 2, lambda one, other: not _less(other, one)),
    "gt": (2, 2, lambda one, other: _less(other, one)),
    "ge": (2, 2, lambda one, other: not _less(one, other)),
    "len": (1, 1, _length),
    "index": (1, None, _index),
    "slice": (1, 3, _slice),
    "print": (0, None, _print),
    "println": (0, None, _println),
    "printf": (1, None, _printf),
    "json": (1, 1, json_text),
    "join": (2, 2, _join),
    "split": (2, 2, _split),
    "lower": (1, 1, lambda value: _text(value).lower()),
    "upper": (1, 1, lambda value: _text(value).upper()),
    "title": (1, 1, _title),
    "pad": (3, 3, _pad),
    "truncate": (2, 2, _truncate),
}
"""By name: how few and how many arguments (`None`: any number), and what is called."""
