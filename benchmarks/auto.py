"""A container that runs ``true`` as root with users of its own, and one that has the host's."""

from __future__ import annotations

from benchmarks.bench import bench
from benchmarks.contest import times
from benchmarks.report import Bound, Comparison

ROUNDS = 200
WARM_UP = 5

WHAT = 'run true, userns="auto"'
WANTED = Bound(1.2)


def measure(rounds: int = ROUNDS) -> list[Comparison]:
    """Both are ours, and take turns."""
    with bench() as place:
        commands = {"auto": place.ours("run", "--userns", "auto"), "host": place.ours("run")}
        laps = place.race(commands, rounds, WARM_UP)
    found = {name: times(those) for name, those in laps.items()}
    return [Comparison(WHAT, "ms", found["auto"], 'userns="host"', found["host"], WANTED)]
