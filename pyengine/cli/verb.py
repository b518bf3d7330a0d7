"""What a verb of the command line is, and one call of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import field, frozen

from pyengine.cli.flags import Flag, Given
from pyengine.cli.usage import COUNT_FAULT, UsageError

if TYPE_CHECKING:
    from pyengine import Engine
    from pyengine.errors import EngineError


@frozen
class Verb:
    """One verb: how it is written, what it is for, and *act*, which answers the exit code.

    Without *flags* (`None`, not none of them) its words are not read at all.
    *least* and *most* count its arguments (`None`: any number). Unless *interspersed*, its
    flags end where its arguments begin. *fault* says what to end with after an error.
    """

    usage: str
    about: str
    act: Callable[[Call], int]
    flags: tuple[Flag, ...] | None = ()
    least: int = 0
    most: int | None = 0
    interspersed: bool = True
    fault: Callable[[EngineError], int] = lambda _error: 1

    def check_count(self, count: int, command: str) -> None:
        """`UsageError` unless *count* arguments are what it takes."""
        if count >= self.least and (self.most is None or count <= self.most):
            return
        if self.most == 0:
            raise UsageError(f'"{command}" accepts no arguments.', command, COUNT_FAULT)
        kind = "exactly" if self.least == self.most else "at least"
        limit = self.least
        if self.most is not None and count > self.most and self.least != self.most:
            kind, limit = "at most", self.most
        plural = "" if limit == 1 else "s"
        why = f'"{command}" requires {kind} {limit} argument{plural}.'
        raise UsageError(why, command, COUNT_FAULT)


@frozen
class Call:
    """One use of a verb: as what *command* it was called, what it was *given*, and on which root.

    *engine* opens the engine; whoever opens it closes it.
    """

    command: str
    given: Given
    engine: Callable[[], Engine] = field(repr=False)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What is not a flag."""
        return self.given.arguments
