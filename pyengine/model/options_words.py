"""The small readers that every family of options shares: a text, a flag, a number, a list."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping

from pyengine.errors import InvalidRequest

LONGEST_PATH = 4095
"""PATH_MAX without its final NUL: no system call takes a longer path."""


def text(value: object, what: str) -> str:
    """*value* as a text the kernel can take: no NUL in it, and bytes it can be written as."""
    if isinstance(value, str):
        if "\0" in value:
            raise InvalidRequest(what, value, why="it contains a NUL byte")
        if not value.isascii():
            _encodable(value, what)
        return value
    if isinstance(value, bytes | os.PathLike):
        return text(os.fsdecode(value), what)
    raise InvalidRequest(what, value, expected="a text")


def _encodable(value: str, what: str) -> None:
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidRequest(what, value, why="it contains half of a surrogate pair") from error


def flag(value: object, what: str) -> bool:
    """*value*, which has to be a `bool`: ``"no"`` would be true."""
    if value is True or value is False:
        return value
    raise InvalidRequest(what, value, expected="True or False")


def integer(value: object, what: str, smallest: int, largest: int) -> int:
    """*value* as a whole number from *smallest* to *largest*; a text of digits will do."""
    number = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = int(value)
    elif isinstance(value, str) and len(value) <= 20 and value.isascii():
        sign, digits = (-1, value[1:]) if value.startswith("-") else (1, value)
        if digits.isdigit():
            number = sign * int(digits)
    if number is None or not smallest <= number <= largest:
        raise InvalidRequest(what, value, expected=f"a whole number, {smallest} to {largest}")
    return number


def several(value: object, what: str, expected: str = "a list of texts") -> tuple[object, ...]:
    """The items of *value*; a single text stands for a list of one."""
    if isinstance(value, str | os.PathLike):
        return (value,)
    if isinstance(value, Mapping | bytes) or not isinstance(value, Iterable):
        raise InvalidRequest(what, value, expected=expected)
    return tuple(value)


def texts(value: object, what: str) -> tuple[str, ...]:
    """The texts of *value*; a single text stands for a list of one."""
    return tuple(text(item, what) for item in several(value, what))


def pairs(value: object, what: str) -> tuple[tuple[str, object], ...]:
    """Names and values, from a mapping or from a list of ``NAME=value`` texts.

    A text without ``=`` has the value `None`. No name is empty.
    """
    if isinstance(value, Mapping):
        found = tuple((text(name, what), content) for name, content in value.items())
    else:
        found = tuple(_pair(text(item, what)) for item in several(value, what, _PAIRS))
    for name, content in found:
        if not name:
            raise InvalidRequest(what, f"={content}", why="its name is empty")
    return found


_PAIRS = "a mapping, or a list of 'NAME=value' texts"


def _pair(item: str) -> tuple[str, object]:
    name, equals, content = item.partition("=")
    return name, (content if equals else None)


def word(value: object, what: str) -> str:
    """The content of a variable, a label, a kernel parameter: a text, or a number as a text."""
    if isinstance(value, bool):
        raise InvalidRequest(what, value, why="true and 1 are different texts", expected="a text")
    return str(value) if isinstance(value, int | float) else text(value, what)


def absolute_path(value: object, what: str) -> str:
    """*value* as an absolute path without ``.``, ``..`` or doubled slashes.

    The cleaning is by words, as Docker does it: what is a symbolic link is not known here.
    """
    path = text(value, what)
    if not path.startswith("/"):
        raise InvalidRequest(what, path, expected="an absolute path")
    if len(path) > LONGEST_PATH:
        raise InvalidRequest(what, path, why=f"longer than {LONGEST_PATH} characters")
    # POSIX lets two leading slashes mean something else, and normpath keeps them
    return posixpath.normpath("/" + path.lstrip("/"))
