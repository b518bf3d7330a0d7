"""Figures side by side, as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from benchmarks.samples import Sample


@frozen
class Bound:
    """What a figure should come to: its ratio, or with *absolute* the figure itself."""

    value: float
    at_least: bool = False
    absolute: bool = False

    def holds(self, figure: float) -> bool:
        """Whether *figure* is within."""
        return figure >= self.value if self.at_least else figure <= self.value

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.value:g}"


@frozen
class Comparison:
    """*ours* against *theirs*, who are called *against*; without them a figure by itself."""

    what: str
    unit: str
    ours: Sample
    against: str = ""
    theirs: Sample | None = None
    wanted: Bound | None = None
    reason: str = ""  # why it is not what was wanted, where that is known

    @property
    def ratio(self) -> float | None:
        """Our median over theirs."""
        if self.theirs is None or not self.theirs.p50:
            return None
        return self.ours.p50 / self.theirs.p50

    @property
    def is_met(self) -> bool | None:
        """Whether it is what was wanted; ``None`` where nothing was."""
        if self.wanted is None:
            return None
        figure = self.ours.p50 if self.wanted.absolute else self.ratio
        return figure is not None and self.wanted.holds(figure)

    def as_json(self) -> dict[str, object]:
        """Everything, each single value too."""
        return {
            "what": self.what,
            "unit": self.unit,
            "against": self.against or None,
            "n": len(self.ours),
            "ours": _sample_as_json(self.ours),
            "theirs": None if self.theirs is None else _sample_as_json(self.theirs),
            "ratio": self.ratio,
            "wanted": None if self.wanted is None else str(self.wanted),
            "met": self.is_met,
            "reason": None if self.is_met else self.reason or None,
        }


def _sample_as_json(sample: Sample) -> dict[str, object]:
    return {"p50": sample.p50, "p90": sample.p90, "values": list(sample.values)}


_HEAD = ("what", "unit", "ours p50", "p90", "against", "p50", "p90", "ratio", "wanted", "met", "n")
_TEXTS = frozenset((0, 1, 4, 8, 9))  # columns that begin at the left


def number(value: float) -> str:
    """*value* with three or four digits that tell something.

    >>> number(0.01234), number(3.14159), number(271.8), number(12345.6)
    ('0.0123', '3.14', '272', '12346')
    """
    size = abs(value)
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 0.1:
        return f"{value:.2f}"
    return f"{value:.3g}"


def _row(comparison: Comparison) -> tuple[str, ...]:
    ours, theirs, ratio = comparison.ours, comparison.theirs, comparison.ratio
    met = {None: "", True: "yes", False: "NO"}[comparison.is_met]
    return (
        comparison.what,
        comparison.unit,
        number(ours.p50),
        number(ours.p90),
        comparison.against,
        "" if theirs is None else number(theirs.p50),
        "" if theirs is None else number(theirs.p90),
        "" if ratio is None else f"{ratio:.2f}",
        "" if comparison.wanted is None else str(comparison.wanted),
        met,
        str(len(ours)),
    )


def table(comparisons: Sequence[Comparison]) -> str:
    """One line for each of *comparisons* below a head, its columns in line; then reasons."""
    rows = [_HEAD, *(_row(comparison) for comparison in comparisons)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column in _TEXTS else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    missed = [one for one in comparisons if one.is_met is False and one.reason]
    lines += [f"{one.what}: {one.reason}" for one in missed]
    return "\n".join(lines)
