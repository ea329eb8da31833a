"""exp, sigmoid and softmax with a stated order of operations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_seg.runtime.exact import HIGHEST, LOWEST, exp, sigmoid, softmax


def test_exp_is_right_to_a_float() -> None:
    x = np.linspace(LOWEST, HIGHEST, 20_001).astype(np.float32)
    expected = np.array([math.exp(float(value)) for value in x])
    assert (np.abs(exp(x) - expected) / expected).max() < 1e-11


def test_exp_by_its_rule_one_operation_at_a_time() -> None:
    def one(x: float) -> float:
        held = min(max(x, -87.0), 88.0)
        power = math.floor(held * 1.4426950408889634 + 0.5)
        rest = held - power * 0.6931471805599453
        result = 1.0 / math.factorial(9)
        for n in range(8, -1, -1):
            result = result * rest + 1.0 / math.factorial(n)
        return math.ldexp(result, power)

    x = np.random.default_rng(0).uniform(-120, 120, 2000).astype(np.float32)
    assert exp(x).tolist() == [one(float(value)) for value in x]


def test_what_is_out_of_range_is_held() -> None:
    ends = exp(np.array([-1e9, 1e9], np.float32)).astype(np.float32)
    assert np.isfinite(ends).all()
    assert ends[0] >= np.finfo(np.float32).tiny


@pytest.mark.parametrize(("x", "expected"), [(0.0, 0.5), (-1e4, 0.0), (1e4, 1.0), (2.0, 0.8807971)])
def test_sigmoid(x: float, expected: float) -> None:
    assert sigmoid(np.array([x], np.float32))[0] == pytest.approx(expected, abs=1e-7)


def test_softmax_adds_from_left_to_right() -> None:
    x = np.random.default_rng(1).normal(0, 3, (50, 81)).astype(np.float32)
    found = softmax(x)
    for row, given in zip(found, x, strict=True):
        parts = exp(given - given.max()).tolist()
        total = 0.0
        for part in parts:
            total += part
        assert row.tolist() == [float(np.float32(part / total)) for part in parts]
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)


def test_softmax_of_no_rows() -> None:
    assert softmax(np.zeros((0, 4), np.float32)).shape == (0, 4)
