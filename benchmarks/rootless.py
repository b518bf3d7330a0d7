"""A container that runs ``true``, by a user who has no rights and one id."""

from __future__ import annotations

from benchmarks.bench import bench
from benchmarks.contest import times
from benchmarks.report import Bound, Comparison

ROUNDS = 200
WARM_UP = 5

WHAT = "run true, without root"
WANTED_OF_LIMIT = Bound(1.5)


def measure(rounds: int = ROUNDS) -> list[Comparison]:
    """Ours against the limit and crun, which make a user namespace for each container as well."""
    with bench() as place:
        who = place.nobody()
        commands = {
            "ours": place.ours("run", who=who),
            "limit": place.limit(who).run(["/bin/true"]),
        }
        if (crun := place.crun()) is not None:
            bundle = crun.bundle("run", ["true"], place.rootfs)
            commands["crun"] = crun.timed_without_root(who, bundle)
        laps = place.race(commands, rounds, WARM_UP)
    found = {name: times(those) for name, those in laps.items()}
    ours = found["ours"]
    results = [Comparison(WHAT, "ms", ours, "limit", found["limit"], WANTED_OF_LIMIT)]
    if "crun" in found:
        results.append(Comparison(WHAT, "ms", ours, "crun", found["crun"]))
    return results
