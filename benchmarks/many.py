"""Many containers at once: how fast they start and end, and what each costs while it runs."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.bench import bench
from benchmarks.contest import Lap, part, times
from benchmarks.report import Bound, Comparison
from benchmarks.samples import Sample

ROUNDS = 5
WARM_UP = 1
NUMBER = 500
WORKERS = 8

WHAT = f"{NUMBER} × sleep, {WORKERS} threads"
WANTED_RATE = Bound(0.5, at_least=True)
WANTED_MEMORY = Bound(64, absolute=True)
WANTED_ERRORS = Bound(0, absolute=True)


def _rate(laps: Sequence[Lap], name: str = "") -> Sample:
    """Containers a second."""
    seconds = part(laps, name, 1e-9) if name else times(laps, 1e-9)
    return seconds.per(NUMBER)


def measure(rounds: int = ROUNDS) -> list[Comparison]:
    """Rates against the limit's, in which as many processes as we have threads do the work."""
    with bench() as place:
        options = ("--number", str(NUMBER), "--workers", str(WORKERS))
        laps = place.race(
            {
                "ours": place.ours("many", *options),
                "limit": place.limit().many(["/bin/sleep", "100000"], NUMBER, WORKERS),
            },
            rounds,
            WARM_UP,
        )
    ours, limit = laps["ours"], laps["limit"]
    return [
        Comparison(f"{WHAT}: all", "/s", _rate(ours), "limit", _rate(limit), WANTED_RATE),
        Comparison(f"{WHAT}: start", "/s", _rate(ours, "start"), "limit", _rate(limit, "start")),
        Comparison(f"{WHAT}: stop, remove", "/s", _rate(ours, "end"), "limit", _rate(limit, "end")),
        Comparison("PSS of ours per container", "KiB", part(ours, "memory"), wanted=WANTED_MEMORY),
        Comparison("errors", "", part(ours, "errors"), wanted=WANTED_ERRORS),
    ]
