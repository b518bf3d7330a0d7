"""A container that writes a gibibyte: how fast it is taken in, and what of that is the kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.bench import Bench, bench
from benchmarks.contest import Lap, times
from benchmarks.report import Bound, Comparison
from benchmarks.rootfs import LINE, LINES, LINES_FILE, add_lines
from benchmarks.samples import Sample

ROUNDS = 5
WARM_UP = 1
COPIES = 64  # of the file of lines: a gibibyte, nearly
SIZE = COPIES * LINES * len(LINE)
BLOCK = 64 * 1024

WANTED = Bound(300, at_least=True, absolute=True)

_CAT = "cat " + " ".join([f"/{LINES_FILE}"] * COPIES)
_HALF = "cat " + " ".join([f"/{LINES_FILE}"] * (COPIES // 2))
PROGRAMS: Mapping[str, Sequence[str]] = {
    "lines of 100 bytes": ("/bin/sh", "-c", _CAT),
    "lines on both streams": ("/bin/sh", "-c", f"{_HALF} >&2 & {_HALF}; wait"),
    "zero bytes": ("/bin/dd", "if=/dev/zero", f"bs={BLOCK}", f"count={SIZE // BLOCK}"),
}


def _rate(laps: Sequence[Lap]) -> Sample:
    """Megabytes (10^6) a second."""
    return times(laps, 1e-9).per(SIZE / 1e6)


def _reason(ours: Sample, limit: Sample) -> str:
    """Whether it is the kernel that cannot do more, or we."""
    if limit.p50 < WANTED.value:
        return (
            f"the limit, which writes the same log, does not come to {WANTED.value:g} MB/s itself"
        )
    return (
        f"the limit writes the same log {limit.p50 / ours.p50:.1f} times as fast: the rest is ours"
    )


def _compare(what: str, ours: Sample, limit: Sample) -> Comparison:
    return Comparison(what, "MB/s", ours, "limit", limit, WANTED, _reason(ours, limit))


def _measure_one(place: Bench, what: str, argv: Sequence[str], rounds: int) -> list[Comparison]:
    limit = place.limit()
    log = str(place.directory / "limit.log")
    laps = place.race(
        {
            "logged": place.ours("log", argv=argv),
            "run": place.ours("run", argv=argv),
            "limit, logged": limit.run(argv, "-L", log),
            "limit, thrown away": limit.run(argv),
        },
        rounds,
        WARM_UP,
    )
    rates = {name: _rate(those) for name, those in laps.items()}
    logged, thrown = rates["limit, logged"], rates["limit, thrown away"]
    return [
        _compare(f"{what}, to the log", rates["logged"], logged),
        _compare(f"{what}, run()", rates["run"], logged),
        Comparison(f"{what}, run()", "MB/s", rates["run"], "thrown away", thrown),
    ]


def measure(rounds: int = ROUNDS) -> list[Comparison]:
    """Megabytes a second; the limit writes the same log lines, or throws all of it away."""
    results = []
    for what, argv in PROGRAMS.items():
        with bench() as place:
            add_lines(place.rootfs)
            results += _measure_one(place, what, argv, rounds)
    return results
