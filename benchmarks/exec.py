"""``true`` in a container that runs already."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.bench import bench
from benchmarks.contest import times
from benchmarks.ours import SLEEP
from benchmarks.report import Bound, Comparison

ROUNDS = 200
WARM_UP = 5

WHAT = "exec true"
WANTED_OF_LIMIT = Bound(1.5)
WANTED_OF_CRUN = Bound(0.25)


def measure(rounds: int = ROUNDS) -> list[Comparison]:
    """Ours against the limit, which visits the very same container, and against crun."""
    with bench() as place, ExitStack() as running:
        ours = place.enter("ours", place.ours("exec"))
        pid = int(ours.greeting[0])
        contestants = {
            "ours": ours,
            "limit": place.enter("limit", place.limit().exec(pid, ["/bin/true"])),
        }
        if (crun := place.crun()) is not None:
            running.enter_context(crun.running("exec", SLEEP, place.rootfs))
            contestants["crun"] = place.enter("crun", crun.timed("exec", "exec", "true"))
        laps = place.laps(contestants, rounds, WARM_UP)
    found = {name: times(those) for name, those in laps.items()}
    results = [Comparison(WHAT, "ms", found["ours"], "limit", found["limit"], WANTED_OF_LIMIT)]
    if "crun" in found:
        results.append(Comparison(WHAT, "ms", found["ours"], "crun", found["crun"], WANTED_OF_CRUN))
    return results
