"""Conditions under which a container is ready, as values; `pyengine.ready` makes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from attrs import frozen


class Condition:
    """Something that becomes true of a running container.

    ``one & other`` is true once both have been, ``one | other`` once one of them has.
    """

    def __and__(self, other: object) -> Condition:
        return Both(self, other) if isinstance(other, Condition) else NotImplemented

    def __or__(self, other: object) -> Condition:
        return Either(self, other) if isinstance(other, Condition) else NotImplemented


@frozen
class Both(Condition):
    """Each has been true."""

    one: Condition
    other: Condition

    def __str__(self) -> str:
        return f"{_in_and(self.one)} & {_in_and(self.other)}"


@frozen
class Either(Condition):
    """One of them has been true."""

    one: Condition
    other: Condition

    def __str__(self) -> str:
        return f"{self.one} | {self.other}"


def _in_and(condition: Condition) -> str:
    return f"({condition})" if isinstance(condition, Either) else str(condition)


@frozen
class Log(Condition):
    """*times* lines of its output match *pattern*."""

    pattern: re.Pattern[str]
    times: int = 1

    def __str__(self) -> str:
        more = f", times={self.times}" if self.times != 1 else ""
        return f"log({self.pattern.pattern!r}{more})"


@frozen
class Port(Condition):
    """Somebody inside accepts connections on TCP port *number*."""

    number: int

    def __str__(self) -> str:
        return f"port({self.number})"


@frozen
class Http(Condition):
    """A GET of *path* from TCP port *port* inside is answered with *status*."""

    path: str
    port: int = 80
    status: int = 200

    def __str__(self) -> str:
        return f"http({self.path!r}, port={self.port}, status={self.status})"


@frozen
class Healthy(Condition):
    """Its health check says that it is well."""

    def __str__(self) -> str:
        return "health()"


@frozen
class Exec(Condition):
    """The program *argv*, run inside, ends with exit code 0."""

    argv: tuple[str, ...]

    def __str__(self) -> str:
        return f"exec({list(self.argv)!r})"


def leaves(condition: Condition) -> Iterator[Condition]:
    """The conditions that *condition* is made of."""
    if isinstance(condition, Both | Either):
        yield from leaves(condition.one)
        yield from leaves(condition.other)
    else:
        yield condition


def is_met(condition: Condition, has_been: Callable[[Condition], bool]) -> bool:
    """Whether *condition* is true, by what each of its leaves *has_been*."""
    if isinstance(condition, Both):
        return is_met(condition.one, has_been) and is_met(condition.other, has_been)
    if isinstance(condition, Either):
        return is_met(condition.one, has_been) or is_met(condition.other, has_been)
    return has_been(condition)
