"""Values as Go's templates see them: what is true, what has which field, how each is printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class _Nothing:
    """What an entry that is not there gives."""

    def __repr__(self) -> str:
        return "<no value>"


NOTHING = _Nothing()
"""An entry that is not there, in a map whose keys people choose."""


class FreeMap(dict[str, Any]):
    """A map whose keys people choose, such as labels: one that is missing is no mistake."""


class Record(dict[str, Any]):
    """The fields of one thing, and its *methods*, which a template may give arguments."""

    def __init__(self, fields: Mapping[str, Any], **methods: Callable[..., object]) -> None:
        super().__init__(fields)
        self.methods = methods


def is_true(value: object) -> bool:
    """Whether ``if`` takes *value* for true: not zero, not empty, not nothing."""
    return value is not NOTHING and bool(value)


def field_of(value: object, name: str) -> object:
    """The field *name* of *value*; `ValueError` if it has none."""
    if value is NOTHING:
        return NOTHING
    if isinstance(value, Mapping):
        if name in value:
            return value[name]
        if isinstance(value, Record) and name in value.methods:
            return value.methods[name]
        if isinstance(value, FreeMap):
            return NOTHING
        raise ValueError(f"map has no entry for key {name!r}")
    raise ValueError(f"can't evaluate field {name} in {kind_of(value)}")


def kind_of(value: object) -> str:
    """What to call the type of *value* in a message."""
    if value is None or value is NOTHING:
        return "nil"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, Mapping):
        return "map"
    if isinstance(value, list | tuple):
        return "list"
    if callable(value):
        return "function"
    return {int: "int", float: "float64", str: "string"}.get(type(value), type(value).__name__)


def shown(value: object) -> str:
    """*value* as Go prints it with ``%v``.

    >>> shown({"b": [1, True], "a": None})
    'map[a:<nil> b:[1 true]]'
    """
    if isinstance(value, str):
        return value
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, Mapping):
        inside = " ".join(f"{shown(key)}:{shown(value[key])}" for key in sorted(value))
        return f"map[{inside}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(map(shown, value))}]"
    return repr(value) if value is NOTHING else str(value)


def printed(value: object) -> str:
    """*value* as an action alone prints it: nil, too, is no value."""
    return repr(NOTHING) if value is None else shown(value)


def number_text(value: float) -> str:
    """*value* as Go's ``%v`` has it: the fewest digits that read back, large and small with "e".

    >>> number_text(1e6), number_text(1500.0), number_text(0.1), number_text(0.00001)
    ('1e+06', '1500', '0.1', '1e-05')
    """
    if value != value or value in (float("inf"), float("-inf")):
        return "NaN" if value != value else ("+Inf" if value > 0 else "-Inf")
    shortest = next(text for n in range(17) if float(text := f"{value:.{n}e}") == value)
    exponent = int(shortest.partition("e")[2])
    if value and not -4 <= exponent < _FIRST_EXPONENT:
        return shortest
    return repr(value).removesuffix(".0")


_FIRST_EXPONENT = 6
"""From here on Go writes an exponent: 100000, but 1e+06."""


_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def quoted(text: str) -> str:
    r"""*text* in double quotes, with escapes for whatever does not print.

    >>> print(quoted('a "b"\n\x1b'))
    "a \"b\"\n\x1b"
    """
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8: surrogateescape
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
