"""What a sample of timings bears: median, spread, minimum, and percentiles where there are runs enough for them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

RUNS_FOR_PERCENTILE = {90: 64, 99: 662}
"""Runs below which a percentile is an accident of the sample and isn't given."""


@dataclass(frozen=True)
class Summary:
    """A sample in few figures, in the sample's own unit. Nothing is clipped, no outlier left out.

    ``iqr`` is the width of the middle half, ``mad`` the median distance from the median; ``p90`` and ``p99`` are None
    where the sample can't bear them.
    """

    runs: int
    median: float
    minimum: float
    maximum: float
    iqr: float
    mad: float
    p90: float | None
    p99: float | None

    @property
    def spread(self) -> float:
        """Half the middle half's width: the figure printed after ±."""
        return self.iqr / 2


def summarise(values: Sequence[float]) -> Summary:
    """The summary of at least one value."""
    ordered = sorted(values)
    median = statistics.median(ordered)
    return Summary(
        runs=len(ordered),
        median=median,
        minimum=ordered[0],
        maximum=ordered[-1],
        iqr=quantile(ordered, 0.75) - quantile(ordered, 0.25),
        mad=statistics.median(abs(value - median) for value in ordered),
        p90=_percentile(ordered, 90),
        p99=_percentile(ordered, 99),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which ``share`` of an ordered sample lies, linear between neighbours (numpy's default rule)."""
    position = (len(ordered) - 1) * share
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def _percentile(ordered: Sequence[float], percent: int) -> float | None:
    return quantile(ordered, percent / 100) if len(ordered) >= RUNS_FOR_PERCENTILE[percent] else None
