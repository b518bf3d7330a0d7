"""Where the time of a figure goes: ours by phase and by function, the limit's by phase."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from benchmarks.bench import Bench, bench
from benchmarks.contest import Lap, part
from benchmarks.output import PROGRAMS
from benchmarks.report import number
from benchmarks.rootfs import add_lines

_LINES = "lines of 100 bytes"


def show(name: str, rounds: int) -> None:
    """Print the profile of the figure *name*."""
    if name == "import":
        subprocess.run([sys.executable, "-X", "importtime", "-c", "import pyengine"], check=True)
        return
    with bench() as place:
        argv: Sequence[str] = ("true",)
        if name == "output":
            add_lines(place.rootfs)
            argv, rounds = PROGRAMS[_LINES], min(rounds, 4)
        elif name == "many":
            rounds = min(rounds, 4)
        task = "log" if name == "output" else name
        for kind in ("phases", "functions"):
            _repeat(place, place.ours(task, "--profile", kind, argv=argv), rounds)
        if name == "run":
            _show_phases(_repeat(place, place.limit().run(["/bin/true"]), rounds))


def _repeat(place: Bench, command: Sequence[str], rounds: int) -> list[Lap]:
    contestant = place.enter(command[0], command)
    laps = [contestant.once() for _ in range(rounds)]
    contestant.close()  # it prints what it has found when it leaves
    return laps


def _show_phases(laps: Sequence[Lap]) -> None:
    print(f"\n{'the limit, phase':32}  {'p50 µs':>8}  {'p90 µs':>8}")
    for name in laps[0].parts:
        sample = part(laps, name, 1e-3)
        print(f"{name:32}  {number(sample.p50):>8}  {number(sample.p90):>8}")
