"""Command lines as docker reads them: flags, what they are given, and what follows them.

argparse cannot: docker's flags end at the image's name, ``-eA=1`` and ``-it=false`` are flags
with values, and a prefix of a name is not that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from attrs import field, frozen

from pyengine.cli.usage import UsageError

Value = bool | int | str | tuple[str, ...]

_TRUTH = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
_RANGES = {
    "int": (-(1 << 63), (1 << 63) - 1),
    "uint16": (0, (1 << 16) - 1),
    "uint64": (0, (1 << 64) - 1),
}
_SEVERAL = frozenset(("list", "map", "mount", "network", "ulimit", "filter", "stringSlice"))
_NUMBER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|[1-9][0-9]*|0)", re.ASCII)


@frozen
class Flag:
    """One flag: ``--name``, perhaps ``-short``, and what it takes.

    *kind* is docker's word for its values: ``bool`` takes none unless it comes with ``=``;
    ``list``, ``map``, ``mount``, ``network``, ``ulimit`` and ``filter`` may be given again and
    again, and so may ``stringSlice``, whose values commas divide; ``int``, ``uint16`` and
    ``uint64`` are numbers; whatever else is kept as it is written. *keyword* names the option of
    the engine that takes its value (empty: the verb has a use for it). *default* is what its help
    shows. A *hidden* one is an old or second name.
    """

    name: str
    kind: str
    about: str
    short: str = ""
    keyword: str = ""
    default: str = ""
    hidden: bool = False

    @property
    def is_repeatable(self) -> bool:
        """Whether each use adds to what was given before."""
        return self.kind in _SEVERAL

    def __str__(self) -> str:
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


HELP = Flag("help", "bool", "Print usage")


@frozen
class Given:
    """What a command line says: *values* of the flags it names, and its *arguments*."""

    values: Mapping[str, Value] = field(factory=dict)
    arguments: tuple[str, ...] = ()

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def is_set(self, name: str, *, default: bool = False) -> bool:
        """What the flag of that name, a ``bool``, is set to."""
        return bool(self.values.get(name, default))

    def text(self, name: str, default: str = "") -> str:
        """What the flag of that name was given last."""
        return str(self.values.get(name, default))

    def number(self, name: str) -> int | None:
        """The number that the flag of that name was given; `None`: it is not there."""
        value = self.values.get(name)
        return value if isinstance(value, int) else None

    def several(self, name: str) -> tuple[str, ...]:
        """All that the flag of that name was given."""
        value = self.values.get(name, ())
        return value if isinstance(value, tuple) else ()


def parse(
    words: Sequence[str], flags: Iterable[Flag], *, command: str, interspersed: bool = True
) -> Given:
    """Read *words* by the table *flags*.

    Unless *interspersed*, the first word that is no flag ends them. ``--`` ends them always,
    and is dropped. *command* is what the `UsageError` names.

    >>> table = [Flag("tty", "bool", "", "t"), Flag("env", "list", "", "e")]
    >>> given = parse(["-te", "A=1", "host:", "-t"], table, command="x", interspersed=False)
    >>> given.values, given.arguments
    ({'tty': True, 'env': ('A=1',)}, ('host:', '-t'))
    """
    reader = _Reader(flags, command)
    arguments: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            arguments.extend(rest)
        elif word.startswith("--"):
            reader.long(word[2:], rest)
        elif word.startswith("-") and word != "-":
            reader.short(word[1:], rest)
        else:
            arguments.append(word)
            if not interspersed:
                arguments.extend(rest)
    return Given(reader.values, tuple(arguments))


class _Reader:
    """Collects the values of flags."""

    def __init__(self, flags: Iterable[Flag], command: str) -> None:
        self.values: dict[str, Value] = {}
        self._command = command
        self._long = {flag.name: flag for flag in (*flags, HELP)}
        self._short = {flag.short: flag for flag in self._long.values() if flag.short}
        # as everywhere, but where it means something else: `run -h NAME`
        self._short.setdefault("h", HELP)

    def long(self, word: str, rest: Iterable[str]) -> None:
        """``--name``, ``--name=value`` or ``--name value``."""
        name, equals, value = word.partition("=")
        if not name or name.startswith("-"):
            raise self._fault(f"bad flag syntax: --{word}")
        if (flag := self._long.get(name)) is None:
            raise self._fault(f"unknown flag: --{name}")
        if equals:
            self._take(flag, value)
        elif flag.kind == "bool":
            self._take(flag, "true")
        else:
            self._take(flag, self._next(rest, f"--{name}"))

    def short(self, letters: str, rest: Iterable[str]) -> None:
        """``-it``, ``-eA=1``, ``-e=A=1``, ``-e A=1`` or ``-t=false``."""
        for index, letter in enumerate(letters):
            left, after = letters[index:], letters[index + 1 :]
            if (flag := self._short.get(letter)) is None:
                raise self._fault(f"unknown shorthand flag: {letter!r} in -{left}")
            if len(after) > 1 and after.startswith("="):
                self._take(flag, after[1:])
                return
            if flag.kind != "bool":
                self._take(flag, after or self._next(rest, f"{letter!r} in -{left}"))
                return
            self._take(flag, "true")

    def _next(self, rest: Iterable[str], where: str) -> str:
        for word in rest:
            return word
        raise self._fault(f"flag needs an argument: {where}")

    def _take(self, flag: Flag, text: str) -> None:
        if flag.is_repeatable:
            before = self.values.get(flag.name, ())
            more = text.split(",") if flag.kind == "stringSlice" else (text,)
            self.values[flag.name] = (*before, *more) if isinstance(before, tuple) else (*more,)
        else:
            self.values[flag.name] = self._value(flag, text)

    def _value(self, flag: Flag, text: str) -> Value:
        if flag.kind == "bool":
            if text not in _TRUTH:
                raise self._invalid(flag, text, "it is neither true nor false")
            return _TRUTH[text]
        if (bounds := _RANGES.get(flag.kind)) is None:
            return text
        if len(text) > 70 or _NUMBER.fullmatch(text) is None:
            raise self._invalid(flag, text, "it is not a whole number")
        number = _whole(text)
        if not bounds[0] <= number <= bounds[1]:
            raise self._invalid(flag, text, f"it is not from {bounds[0]} to {bounds[1]}")
        return number

    def _invalid(self, flag: Flag, text: str, why: str) -> UsageError:
        return self._fault(f'invalid argument "{text}" for "{flag}" flag: {why}')

    def _fault(self, why: str) -> UsageError:
        return UsageError(why, self._command)


def _whole(text: str) -> int:
    digits = text.lstrip("+-")
    octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()  # 010, as in C
    number = int(digits, 8 if octal else 0)
    return -number if text.startswith("-") else number
