"""Summaries against numpy, and percentiles that are withheld."""

from __future__ import annotations

import numpy as np
import pytest

from edge_seg.records.statistics import paired_ratio, percentile_bound, ratio_of_medians, summarise, trend


@pytest.mark.parametrize("count", [1, 2, 3, 10, 31])
def test_summary_equals_numpy(count: int) -> None:
    values = np.random.default_rng(count).lognormal(3, 1, count)
    summary = summarise(values.tolist())
    assert summary.runs == count
    assert summary.median == pytest.approx(np.median(values))
    assert summary.minimum == values.min()
    assert summary.maximum == values.max()
    assert summary.iqr == pytest.approx(np.subtract(*np.percentile(values, [75, 25])))
    assert summary.mad == pytest.approx(np.median(np.abs(values - np.median(values))))


@pytest.mark.parametrize(
    ("count", "p90", "p99"), [(63, False, False), (64, True, False), (661, True, False), (662, True, True)]
)
def test_no_percentile_that_the_sample_cannot_bear(count: int, p90: bool, p99: bool) -> None:
    summary = summarise(list(range(count)))
    assert (summary.p90 is not None) == p90
    assert (summary.p99 is not None) == p99


def test_percentile_is_right_where_given() -> None:
    assert summarise(list(range(101))).p90 == 90


# scipy.stats of 1.14.1: theilslopes(v, range(n))[0] and kendalltau(range(n), v, method="asymptotic").pvalue.
DRIFT = [
    *(100.110464, 100.140705, 98.92879, 100.306909, 101.666516, 98.837471, 101.320921, 100.657816, 99.973914),
    *(102.692724, 101.53149, 99.646865, 100.997593, 101.57669, 100.888141, 101.836756, 101.164252, 101.97494),
    *(102.823138, 100.785876, 101.7416, 101.152077, 101.819576, 100.582036, 101.266852, 101.726881, 102.898764),
    *(103.222145, 100.830318, 101.436127, 102.954596, 100.392196, 101.998369, 102.441175, 103.8724, 103.381712),
    *(102.442017, 102.477578, 102.672882, 104.523529),
]
NOISE = [
    *(100.00123, 100.298746, 99.725862, 99.109408, 99.545329, 99.008353, 100.060144, 101.340215, 99.507793, 99.379525),
    *(100.489842, 100.356887, 100.105414, 99.069532, 99.970748, 100.695303, 98.655785, 99.542384, 98.098777),
    *(98.710462, 98.158265, 99.764909, 98.732554, 100.271264, 100.156751, 99.813069, 97.48324, 99.461307, 99.951499),
    *(100.113309, 98.469864, 99.522247, 99.021481, 99.191163, 101.060899, 99.192465, 99.967478, 100.88439, 99.4164),
    99.888298,
]
TIES = [1.0] * 5 + [2.0] * 10 + [3.0] * 5


@pytest.mark.parametrize(
    ("values", "slope", "p"),
    [
        (NOISE, -0.006086470929337355, 0.5601951093846055),
        (DRIFT, 0.07387107183959418, 5.522195147978124e-06),
        (TIES, 0.10263157894736842, 8.887145112235504e-06),
    ],
)
def test_a_trend_equals_scipys(values: list[float], slope: float, p: float) -> None:
    found = trend(values)
    assert found.change == pytest.approx(slope * (len(values) - 1) / np.median(values))
    assert found.p == pytest.approx(p)


def test_the_trend_of_many_values_is_that_of_their_blocks() -> None:
    draw = np.random.default_rng(1)
    values = (100 + draw.normal(0, 1, 10_000) + np.linspace(0, 5, 10_000)).tolist()
    found = trend(values)
    assert found.change == pytest.approx(0.05, abs=0.005)
    assert found.p < 1e-6
    assert trend([7.0] * 50).change == 0
    assert trend([7.0] * 50).p == 1


# The largest k with scipy.stats.binom.cdf(k, n, 1 - p / 100) < 0.01; LoadGen's finder gives the same t.
@pytest.mark.parametrize(
    ("count", "percent", "allowed"),
    [(63, 90, None), (64, 90, 1), (100, 90, 3), (1024, 90, 80), (1024, 99, 3), (20_000, 90, 1901), (20_000, 99, 167)],
)
def test_bounds_of_percentiles_are_loadgens(count: int, percent: int, allowed: int | None) -> None:
    draw = np.random.default_rng(count).permutation(count).tolist()
    assert percentile_bound(draw, percent) == (None if allowed is None else count - allowed)


def test_percentiles_are_loadgens_order_statistic() -> None:
    """sample_latencies[sample_count * percentile], cut off: never a value between two runs."""
    values = np.random.default_rng(3).lognormal(3, 1, 1024)
    summary = summarise(values.tolist())
    assert summary.p90 == np.sort(values)[921]
    assert summary.p99 == np.sort(values)[1013]


def test_intervals_hold_the_true_ratio() -> None:
    draw = np.random.default_rng(5)
    held = 0
    for _ in range(40):
        first, second = draw.lognormal(3, 0.05, 30).tolist(), (1.1 * draw.lognormal(3, 0.05, 30)).tolist()
        interval = ratio_of_medians([first], [second])
        held += interval.low <= 1.1 <= interval.high
    assert held >= 34
    disturbance = draw.lognormal(0, 0.5, 30)
    paired = paired_ratio((10 * disturbance).tolist(), (11 * disturbance).tolist())
    assert (paired.value, paired.low, paired.high) == pytest.approx((1.1, 1.1, 1.1))
