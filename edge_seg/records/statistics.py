"""What a sample of timings bears: median, spread, minimum, and percentiles where there are runs enough for them."""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

RUNS_FOR_PERCENTILE = {90: 64, 99: 662}
"""Runs below which a percentile is an accident of the sample and isn't given: MLPerf LoadGen's early stopping needs as
many, one slow run allowed, to be 99 % sure of it (loadgen/early_stopping.cc)."""
CONFIDENCE = 0.99


@dataclass(frozen=True)
class Summary:
    """A sample in few figures, in the sample's own unit. Nothing is clipped, no outlier left out.

    ``iqr`` is the width of the middle half, ``mad`` the median distance from the median; ``p90`` and ``p99`` are None
    where the sample can't bear them, ``p90_bound`` and ``p99_bound`` what they lie below with 99 % confidence.
    """

    runs: int
    median: float
    minimum: float
    maximum: float
    iqr: float
    mad: float
    p90: float | None
    p99: float | None
    p90_bound: float | None = None
    p99_bound: float | None = None

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
        p90_bound=percentile_bound(ordered, 90),
        p99_bound=percentile_bound(ordered, 99),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which ``share`` of an ordered sample lies, linear between neighbours (numpy's default rule)."""
    position = (len(ordered) - 1) * share
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def _percentile(ordered: Sequence[float], percent: int) -> float | None:
    """LoadGen's order statistic: the value at the index n * p, cut off (loadgen/results.cc)."""
    return ordered[len(ordered) * percent // 100] if len(ordered) >= RUNS_FOR_PERCENTILE[percent] else None


def percentile_bound(values: Sequence[float], percent: int) -> float | None:
    """The value that the percentile lies below with 99 % confidence: LoadGen's early-stopping estimate.

    It is the (n - t)th of the ordered values (from 0), with the largest t for which at most t of n runs beyond the
    percentile are less likely than 1 %. None where the sample is too small to say.
    """
    count, beyond = len(values), 1 - percent / 100
    allowed, likely = -1, 0.0
    while allowed < count - 1:
        k = allowed + 1
        ways = math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        likely += math.exp(ways + k * math.log(beyond) + (count - k) * math.log1p(-beyond))
        if likely >= 1 - CONFIDENCE:
            break
        allowed = k
    return sorted(values)[count - allowed] if allowed >= 1 else None


@dataclass(frozen=True)
class Trend:
    """A sample's drift: ``change`` from its first to its last value as a share of the median (Theil and Sen's slope),
    and ``p``, how likely a sample without drift shows as much order (Mann and Kendall's test, two-sided)."""

    change: float
    p: float


MOST_POINTS = 150


def trend(values: Sequence[float]) -> Trend:
    """The trend of at least three values in their order; longer ones are first made into medians of equal blocks."""
    points = list(values)
    if len(points) > MOST_POINTS:
        size = -(-len(points) // MOST_POINTS)
        points = [statistics.median(points[begin : begin + size]) for begin in range(0, len(points) - size + 1, size)]
    count = len(points)
    slopes = [(points[j] - points[i]) / (j - i) for i in range(count) for j in range(i + 1, count)]
    order = sum((slope > 0) - (slope < 0) for slope in slopes)
    ties = sum(n * (n - 1) * (2 * n + 5) for n in Counter(points).values())
    variance = (count * (count - 1) * (2 * count + 5) - ties) / 18
    score = order / math.sqrt(variance) if variance > 0 else 0.0
    median = statistics.median(points)
    change = statistics.median(slopes) * (count - 1) / median if median else 0.0
    return Trend(change, math.erfc(abs(score) / math.sqrt(2)))


@dataclass(frozen=True)
class Interval:
    """A figure and the interval in which it lies with 95 % confidence."""

    value: float
    low: float
    high: float


RESAMPLES = 1000


def ratio_of_medians(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> Interval:
    """How much ``second`` takes of ``first``: medians of each group (an image), their means, and the ratio of these.

    The interval is the bootstrap's (percentile method), each group drawn anew from itself; the draws are always alike.
    """
    draw = random.Random(0)
    ratios = sorted(_drawn_anew(second, draw) / _drawn_anew(first, draw) for _ in range(RESAMPLES))
    return Interval(_mean_of_medians(second) / _mean_of_medians(first), *_middle(ratios))


def interval_of_median(groups: Sequence[Sequence[float]]) -> Interval:
    """The mean of the groups' medians (a group is an image), and its bootstrap interval (percentile method).

    Large samples, whose interval is narrow, are drawn less often.
    """
    draw = random.Random(0)
    times = min(RESAMPLES, max(50, 200_000 // sum(map(len, groups))))
    return Interval(_mean_of_medians(groups), *_middle(sorted(_drawn_anew(groups, draw) for _ in range(times))))


def _mean_of_medians(groups: Sequence[Sequence[float]]) -> float:
    return statistics.fmean(statistics.median(group) for group in groups)


def _drawn_anew(groups: Sequence[Sequence[float]], draw: random.Random) -> float:
    return _mean_of_medians([draw.choices(group, k=len(group)) for group in groups])


def paired_ratio(first: Sequence[float], second: Sequence[float]) -> Interval:
    """The median of ``second[i] / first[i]``, and its bootstrap interval: what disturbs a round disturbs both."""
    draw = random.Random(0)
    ratios = [b / a for a, b in zip(first, second, strict=True)]
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return Interval(statistics.median(ratios), *_middle(medians))


def _middle(ordered: Sequence[float]) -> tuple[float, float]:
    return quantile(ordered, 0.025), quantile(ordered, 0.975)
