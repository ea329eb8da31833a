"""The search finds the front of a space that it may only look at point by point."""

from __future__ import annotations

import math

import pytest

from convert.tune.search import GAIN, Value, front, next_choice
from convert.tune.space import Choice, Space, Wanted, make_space
from edge_seg.errors import UsageError


@pytest.fixture
def space() -> Space:
    return make_space(Wanted(), ("cpu-fp32",), (192, 256), keep=100, box_width=128)


def landscape(space: Space, choice: Choice) -> Value:
    """Accuracy and cost that follow from the parameters, not quite additively: a step costs more at a small size."""
    setting = space.setting(choice)
    area = setting.size[0] * setting.size[1] / (192 * 256)
    lost = [0.0, 0.01, 0.08][choice.levels[0]] + [0.0, 0.002, 0.03][choice.levels[1]]
    lost += [0.0, 0.0, 0.05][choice.levels[2]] + [0.0, 0.004, 0.02][choice.levels[3]]
    cost = 20 * area + 0.1 * setting.proposals + setting.before_nms / 250 + 0.02 * setting.keep + setting.box_width / 64
    return Value(0.7 * area**0.3 - lost * (1.5 - area / 2), cost)


def run(space: Space, most: int, target: float | None = None, failing: tuple[Choice, ...] = ()) -> dict[Choice, Value]:
    measured: dict[Choice, Value] = {}
    failed: list[Choice] = []
    while len(measured) + len(failed) < most:
        choice = next_choice(space, measured, failed, target)
        if choice is None:
            break
        assert choice not in measured
        assert choice not in failed
        if choice in failing:
            failed.append(choice)
        else:
            measured[choice] = landscape(space, choice)
    return measured


def best_within(values: list[Value], target: float) -> float:
    return max((value.accuracy for value in values if value.cost <= target), default=-math.inf)


def test_the_front_is_near_the_true_one_with_a_tenth_of_the_points(space: Space) -> None:
    everything = [landscape(space, choice) for choice in space]
    found = list(run(space, 32).values())
    assert len(space) == 324
    worst = max(v.accuracy for v in found)
    for true in front(everything):
        if true.accuracy >= 0.75 * worst:
            assert best_within(found, true.cost * 1.1) >= true.accuracy - 0.02


@pytest.mark.parametrize("target", [14.0, 20.0, 27.0])
def test_a_budget_is_met_as_well_as_it_can_be(space: Space, target: float) -> None:
    everything = [landscape(space, choice) for choice in space]
    found = list(run(space, 24, target).values())
    assert best_within(found, target) >= best_within(everything, target) - 0.01


def test_the_same_measurements_lead_to_the_same_points(space: Space) -> None:
    assert list(run(space, 24)) == list(run(space, 24))


def test_it_ends_by_itself_where_nothing_is_to_be_gained() -> None:
    wanted = Wanted(sizes=((96, 96),), proposals=(50,), before_nms=(300, 1000), keep=(10,), box_widths=(16,))
    space = make_space(wanted, ("cpu-fp32",), (96, 96), keep=100, box_width=16)
    assert len(space) == 2
    assert len(run(space, 100)) == 2


def test_points_that_fail_cost_no_others(space: Space) -> None:
    full = space.corners()[0]
    failing = (full.turned(0, 1), space.corners()[-1])
    found = run(space, 32, failing=failing)
    assert len(found) >= 20
    assert not any(choice.levels[0] == 1 for choice in found)


def test_every_recipe_and_size_is_tried_full() -> None:
    space = make_space(Wanted(), ("cpu-fp32", "onnx-fp32"), (128, 128), keep=100, box_width=128)
    found = run(space, 40)
    assert {(choice.recipe, choice.size) for choice in found} == {(c.recipe, c.size) for c in space.corners()}


def test_a_step_that_saves_nothing_is_in_no_combination(space: Space) -> None:
    measured: dict[Choice, Value] = {}
    for _ in range(30):
        choice = next_choice(space, measured)
        if choice is None:
            break
        value = landscape(space, choice)
        # `keep` at its middle level costs as much as at its first.
        kept = 0.02 * (space.keep[0] - space.setting(choice).keep) if choice.levels[2] == 1 else 0.0
        measured[choice] = Value(value.accuracy, value.cost + kept)
    assert sum(choice.levels[2] == 1 for choice in measured) == 1


def test_the_front_holds_what_nothing_beats() -> None:
    values = [Value(0.5, 3), Value(0.4, 2), Value(0.5, 4), Value(0.3, 2.5), Value(0.6, 9), Value(0.4, 2)]
    assert front(values) == [Value(0.4, 2), Value(0.5, 3), Value(0.6, 9)]
    assert front([]) == []
    assert GAIN > 0


def test_the_default_space_follows_the_run() -> None:
    space = make_space(Wanted(), ("cpu-fp32",), (640, 320), keep=30, box_width=1024)
    assert space.sizes == ((640, 320), (544, 256), (416, 224), (320, 160))
    assert space.keep == (30, 20, 10)
    assert space.box_widths == (1024, 512, 256)
    assert space.proposals[(640, 320)] == (200, 100, 50)


def test_a_wider_box_head_than_the_runs_is_refused() -> None:
    with pytest.raises(UsageError, match="2048"):
        make_space(Wanted(box_widths=(2048,)), ("cpu-fp32",), (64, 64), keep=10, box_width=1024)
