"""Values to JSON and back.

A value is written as its fields that differ from their defaults, so a record is short and an
older reader finds its way; what it does not know, it refuses.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from enum import Enum
from functools import cache, lru_cache
from typing import Any, TypeVar, get_args, get_origin

import attrs

T = TypeVar("T")


@cache
def _fields(kind: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, field.default) for field in attrs.fields(kind))


def to_plain(value: Any) -> Any:
    """*value* as JSON knows it: attrs values become dicts, tuples lists, enums their value."""
    kind: Any = type(value)
    if kind is str or kind is int or kind is bool or value is None or kind is float:
        return value
    if kind is tuple or kind is list:
        return [to_plain(item) for item in value]
    if kind is dict:
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return value.value
    if getattr(kind, "is_shared", False):
        return _shared(value)
    return _fields_of(kind, value)


@lru_cache(maxsize=64)
def _shared(value: Any) -> dict[str, Any]:
    """The same for all records that hold the same *value*; nobody changes what comes back."""
    return _fields_of(type(value), value)


def _fields_of(kind: Any, value: Any) -> dict[str, Any]:
    plain = {}
    for name, default in _fields(kind):
        item = getattr(value, name)
        if item is not default and item != default:
            plain[name] = to_plain(item)
    return plain


def from_plain(kind: type[T], plain: Any) -> T:
    """The value of *kind* that `to_plain` wrote as *plain*.

    Raises `ValueError` where *plain* is not one.
    """
    try:
        value: T = _reader(typing.cast("Any", kind))(plain)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from error
    return value


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    if attrs.has(kind):
        return _value_reader(kind)
    origin = get_origin(kind)
    if origin is tuple:
        return _tuple_reader(get_args(kind))
    if origin is typing.Union or origin is types.UnionType:
        inner = next(arg for arg in get_args(kind) if arg is not type(None))
        return lambda plain: None if plain is None else _reader(inner)(plain)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return _plain_reader(kind)


def _plain_reader(kind: Any) -> Callable[[Any], Any]:
    allowed = (int, float) if kind is float else kind

    def read(plain: Any) -> Any:
        if not isinstance(plain, allowed) or (isinstance(plain, bool) and kind is not bool):
            raise TypeError(f"{plain!r} is no {kind.__name__}")
        return kind(plain)

    return read


def _tuple_reader(args: tuple[Any, ...]) -> Callable[[Any], Any]:
    if args == (str, ...):  # most of a record is such: all of them are looked at in one go
        return _texts

    def read(plain: Any) -> Any:
        if not isinstance(plain, list):
            raise TypeError(f"{plain!r} is no list")
        if len(args) == 2 and args[1] is Ellipsis:
            item = _reader(args[0])
            return tuple(item(each) for each in plain)
        if len(plain) != len(args):
            raise TypeError(f"{plain!r} has not {len(args)} items")
        return tuple(_reader(arg)(each) for arg, each in zip(args, plain, strict=True))

    return read


def _texts(plain: Any) -> Any:
    if not isinstance(plain, list):
        raise TypeError(f"{plain!r} is no list")
    if not {str}.issuperset(map(type, plain)):
        raise TypeError(f"{plain!r} are not all texts")
    return tuple(plain)


def _value_reader(kind: Any) -> Callable[[Any], Any]:
    readers = {name: _reader(hint) for name, hint in typing.get_type_hints(kind).items()}

    def read(plain: Any) -> Any:
        if not isinstance(plain, dict):
            raise TypeError(f"{plain!r} is no object")
        return kind(**{name: readers[name](item) for name, item in plain.items()})

    return read
