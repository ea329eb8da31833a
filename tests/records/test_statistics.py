"""Summaries against numpy, and percentiles that are withheld."""

from __future__ import annotations

import numpy as np
import pytest

from edge_seg.records.statistics import summarise


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
