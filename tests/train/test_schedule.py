"""The learning rate over the steps."""

from __future__ import annotations

import pytest

from edge_seg.train.schedule import Schedule


def test_rises_to_the_full_rate_then_drops_at_each_decay() -> None:
    rate = Schedule(0.1, warmup_steps=4, decay_steps=(10, 12), warmup_start=0.2)
    assert rate(0) == pytest.approx(0.02)
    assert rate(2) == pytest.approx(0.06)
    assert [rate(step) for step in (4, 9)] == [0.1, 0.1]
    assert [rate(step) for step in (10, 11, 12, 99)] == pytest.approx([0.01, 0.01, 0.001, 0.001])


def test_a_cosine_falls_to_nothing_at_its_end() -> None:
    rate = Schedule(0.1, warmup_steps=2, decay_steps=(1, 2), cosine_steps=10)
    assert rate(1) < rate(2)
    assert rate(5) == pytest.approx(0.05)
    assert rate(10) == pytest.approx(0.0)
    assert rate(99) == pytest.approx(0.0)
    assert all(rate(step) > rate(step + 1) for step in range(2, 10))


def test_without_warmup_it_is_full_from_the_first_step() -> None:
    assert Schedule(0.1, 0, ())(0) == 0.1
