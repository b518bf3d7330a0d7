"""What was measured, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import field, frozen


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which *share* (0 to 1) of *values* lie, between neighbours in proportion.

    >>> quantile([1.0, 2.0, 3.0, 5.0], 0.5)
    2.5
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _some(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


@frozen
class Sample:
    """The values of one quantity, in the order they were measured; never empty."""

    values: tuple[float, ...] = field(converter=_some)

    @values.validator
    def _is_not_empty(self, _: object, values: tuple[float, ...]) -> None:
        if not values:
            raise ValueError("a sample needs at least one value")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def p50(self) -> float:
        """The median."""
        return quantile(self.values, 0.5)

    @property
    def p90(self) -> float:
        """What nine of ten values stay below."""
        return quantile(self.values, 0.9)

    def scaled(self, factor: float) -> Sample:
        """Every value times *factor*."""
        return Sample(value * factor for value in self.values)

    def per(self, amount: float) -> Sample:
        """The rates at which *amount* was done, if the values are how long it took each time.

        >>> Sample([2.0, 4.0]).per(8.0).values
        (4.0, 2.0)
        """
        return Sample(amount / value for value in self.values)

    def minus(self, other: Sample) -> Sample:
        """The difference in each round of two samples that were measured together."""
        return Sample(a - b for a, b in zip(self.values, other.values, strict=True))
