"""Medians, quantiles and ratios with their spread."""

from __future__ import annotations

from random import Random
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

RESAMPLES = 2000


class Ratio(NamedTuple):
    """Of two medians, with the interval that 95 % of resampled runs fall into."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{short(self.middle)} ({short(self.low)}–{short(self.high)})"


def short(value: float) -> str:
    """Three digits that count: 0.123, 1.23, 12.3, 123, 12,345."""
    size = abs(value)
    return f"{value:.3f}" if size < 0.995 else f"{value:.2f}" if size < 9.95 else f"{value:.1f}" if size < 99.5 else f"{value:,.0f}"


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed, between neighbours in proportion. Raises IndexError for none."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def spread(values: Sequence[float], scale: float = 1.0) -> str:
    """The median and the middle half: "12.3 (11.9–13.0)"."""
    low, middle, high = (quantile(values, share) * scale for share in (0.25, 0.5, 0.75))
    return f"{short(middle)} ({short(low)}–{short(high)})"


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> Ratio:
    """How many times as much theirs takes: ratio of medians; the interval by the bootstrap (Efron 1979), seeded."""
    random = Random(1)

    def draw(values: Sequence[float]) -> float:
        return median(random.choices(values, k=len(values)))

    drawn = sorted(draw(theirs) / draw(ours) for _ in range(RESAMPLES))
    return Ratio(median(theirs) / median(ours), drawn[int(RESAMPLES * 0.025)], drawn[int(RESAMPLES * 0.975) - 1])
