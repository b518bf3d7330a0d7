"""Programs that do one thing for each line they are given, and answer with how long it took.

Each is a process of its own and says ``ready`` first. To do the thing once it gets an empty
line, and it answers ``NANOSECONDS NAME=VALUE…``, in one line. So contestants can take turns:
what disturbs the machine for a while disturbs all of them.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from attrs import field, frozen, mutable

from benchmarks.samples import Sample

PROJECT = Path(__file__).parent.parent
PATIENCE = 120.0  # seconds for a contestant to tidy up and leave

_Thing = TypeVar("_Thing")


class ContestantFailed(Exception):
    """A contestant has ended, or said something else than how long it took."""

    def __init__(self, name: str, said: str) -> None:
        super().__init__(name, said)
        self.name = name
        self.said = said

    def __str__(self) -> str:
        said = f"it said {self.said!r}" if self.said else "it ended"
        return f"no answer of {self.name}: {said}; see above for its reason"


@frozen
class Lap:
    """One thing done: how long it took, and what else was said of it."""

    nanoseconds: int
    parts: Mapping[str, float] = field(factory=dict)

    @classmethod
    def parse(cls, line: str) -> Lap:
        """Read ``NANOSECONDS NAME=VALUE…``; `ValueError` if it is not that.

        >>> Lap.parse("1200 clone=700 exec=500").parts["exec"]
        500.0
        """
        total, *words = line.split()
        parts = dict(word.split("=", 1) for word in words)
        return cls(int(total), {name: float(value) for name, value in parts.items()})


@mutable(eq=False)
class Contestant:
    """A running contestant; *greeting* is what it said when it was ready."""

    name: str
    process: subprocess.Popen[str] = field(repr=False)
    greeting: tuple[str, ...] = ()

    @classmethod
    def start(cls, name: str, argv: Sequence[str]) -> Contestant:
        """Start *argv* and wait until it is ready; what it says on stderr is for the user."""
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            start_new_session=True,  # Ctrl-C is ours; theirs is the end of their stdin
        )
        contestant = cls(name, process)
        word, *greeting = contestant._hear().split() or [""]
        if word != "ready":
            contestant.close()
            raise ContestantFailed(name, word)
        contestant.greeting = tuple(greeting)
        return contestant

    def once(self) -> Lap:
        """Let it do its thing once."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise ContestantFailed(self.name, "") from None
        line = self._hear()
        try:
            return Lap.parse(line)
        except ValueError:
            raise ContestantFailed(self.name, line.strip()) from None

    def _hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def close(self) -> None:
        """Tell it that this was all, and wait until it is gone."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def interleave(
    things: Mapping[str, Callable[[], _Thing]],
    n: int,
    *,
    warm_up: int = 0,
    progress: Callable[[int], None] | None = None,
) -> dict[str, list[_Thing]]:
    """Do each of *things* once a round, *n* rounds after *warm_up* that do not count.

    The order changes from round to round, the same in every run: what one leaves behind in the
    kernel (a namespace that is still being torn down) must not always meet the same next one.
    *progress* hears how many rounds are done, below zero while they do not count.
    """
    shuffled = random.Random(0)
    order = list(things)
    found: dict[str, list[_Thing]] = {name: [] for name in things}
    for number in range(-warm_up, n):
        shuffled.shuffle(order)
        for name in order:
            thing = things[name]()
            if number >= 0:
                found[name].append(thing)
        if progress is not None:
            progress(number + 1)
    return found


def times(laps: Sequence[Lap], unit: float = 1e-6) -> Sample:
    """How long *laps* took, in milliseconds unless another *unit* (of a nanosecond) is given."""
    return Sample(lap.nanoseconds * unit for lap in laps)


def part(laps: Sequence[Lap], name: str, unit: float = 1.0) -> Sample:
    """What *laps* said of *name*, times *unit*."""
    return Sample(lap.parts[name] * unit for lap in laps)
