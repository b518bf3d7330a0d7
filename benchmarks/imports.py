"""What ``import pyengine`` adds to the start of a program."""

from __future__ import annotations

import sys

from benchmarks.bench import bench
from benchmarks.contest import times
from benchmarks.limit import timer
from benchmarks.report import Bound, Comparison

ROUNDS = 50
WARM_UP = 3

WANTED = Bound(50, absolute=True)


def measure(rounds: int = ROUNDS) -> list[Comparison]:
    """A Python that imports pyengine against one that does nothing."""
    with bench() as place:
        laps = place.race(
            {
                "import": timer([sys.executable, "-c", "import pyengine"]),
                "bare": timer([sys.executable, "-c", "pass"]),
            },
            rounds,
            WARM_UP,
        )
    ours, bare = times(laps["import"]), times(laps["bare"])
    return [
        Comparison("python -c 'import pyengine'", "ms", ours, "python -c pass", bare),
        Comparison("what the import adds", "ms", ours.minus(bare), wanted=WANTED),
    ]
