"""A container that runs ``true``: made, run, waited for and removed, with default security."""

from __future__ import annotations

from benchmarks.bench import bench
from benchmarks.contest import times
from benchmarks.report import Bound, Comparison

ROUNDS = 200
WARM_UP = 5
LARGE = 1024  # MiB

WHAT = "run true, default security"
WANTED_OF_LIMIT = Bound(1.5)
WANTED_OF_CRUN = Bound(0.4)
WANTED_OF_SMALL = Bound(1.1)


def measure(rounds: int = ROUNDS) -> list[Comparison]:
    """Ours against the limit, against crun, and with a large host program against a small one."""
    with bench() as place:
        large = ("--ballast", str(LARGE))
        commands = {
            "ours": place.ours("run"),
            "ours, large": place.ours("run", *large),
            "limit": place.limit().run(["/bin/true"]),
        }
        if (crun := place.crun()) is not None:
            bundle = crun.bundle("run", ["true"], place.rootfs)
            commands["crun"] = crun.timed("run", "--bundle", bundle, "run")
        laps = place.race(commands, rounds, WARM_UP)
    found = {name: times(those) for name, those in laps.items()}
    ours, limit = found["ours"], found["limit"]
    results = [Comparison(WHAT, "ms", ours, "limit", limit, WANTED_OF_LIMIT)]
    if "crun" in found:
        results.append(Comparison(WHAT, "ms", ours, "crun", found["crun"], WANTED_OF_CRUN))
    results.append(
        Comparison(
            f"{WHAT}, {LARGE} MiB host program",
            "ms",
            found["ours, large"],
            "small host program",
            ours,
            WANTED_OF_SMALL,
        )
    )
    return results
