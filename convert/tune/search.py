"""Which point to try next: few points, and those that are likely to be on the front.

First every input size with everything full, then every parameter alone. From these follows what a step costs in
accuracy (added up) and saves in cost (multiplied), so the rest of the space has an estimate before anything is
computed; what is measured later only bounds it. Of the rest, the point whose estimate adds most to the front comes
next; a point that is estimated to be no better than a cheaper one isn't tried.

Nothing here is random: the same measurements lead to the same
next point.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from convert.tune.space import PARAMETERS, Choice, Space
from edge_seg.tuning import Setting

SAVING = 0.98
"""A step counts as a saving when it leaves at most this part of the cost; less is lost in the measurement's noise."""
GAIN = 0.002
"""Accuracy (mAP, 0 to 1) that a point must be estimated to add over those as cheap."""
FLOOR = 0.5
"""Points estimated below this part of the best accuracy aren't searched: nobody would use them."""
_SLACK = 0.005


@dataclass(frozen=True)
class Value:
    """What a point came to: accuracy 0 to 1 (more is better), and cost in whatever unit (less is better)."""

    accuracy: float
    cost: float


def front(values: Iterable[Value]) -> list[Value]:
    """Those that no other beats or equals in both, cheapest first."""
    best: list[Value] = []
    for value in sorted(set(values), key=lambda v: (v.cost, -v.accuracy)):
        if not best or value.accuracy > best[-1].accuracy:
            best.append(value)
    return best


def next_choice(
    space: Space, measured: Mapping[Choice, Value], failed: Collection[Choice] = (), target: float | None = None
) -> Choice | None:
    """What to try next, or None when nothing is estimated to add to the front.

    With a ``target``, what is estimated to be the best within it comes first.
    """
    tried = {*measured, *failed}
    for choice in [*space.corners(), *space.single_steps()]:
        if choice not in tried:
            return choice
    if not measured:
        return None
    estimates = {
        choice: value for choice in space if choice not in tried and (value := estimate(space, measured, choice))
    }
    least = FLOOR * max(value.accuracy for value in measured.values())
    known = front(measured.values())
    hopeful = [
        (choice, value)
        for choice, value in estimates.items()
        if value.accuracy >= least and value.accuracy > _best_within(known, value.cost) + GAIN
    ]
    if not hopeful:
        return None
    if target is not None:
        within = [(choice, value) for choice, value in hopeful if value.cost <= target]
        better = [(c, v) for c, v in within if v.accuracy > _best_within(known, target) + GAIN]
        if better:
            return max(better, key=lambda item: (item[1].accuracy, -item[1].cost))[0]
    return max(hopeful, key=lambda item: (_added(known, item[1]), -item[1].cost))[0]


def estimate(space: Space, measured: Mapping[Choice, Value], choice: Choice) -> Value | None:
    """What ``choice`` will come to by the steps measured alone; None where a step failed, saves nothing, or is unknown.

    A point that has more of everything bounds it.
    """
    corner = measured.get(Choice(choice.recipe, choice.size))
    full = space.corners()[0]
    base = measured.get(full)
    if corner is None or base is None:
        return None
    accuracy, cost = corner.accuracy, corner.cost
    for parameter in range(len(PARAMETERS)):
        level = choice.levels[parameter]
        if not level:
            continue
        step = measured.get(full.turned(parameter, level))
        if step is None:
            return None
        share = step.cost / base.cost
        lost = base.accuracy - step.accuracy
        if share > SAVING and lost >= 0:
            return None
        accuracy, cost = accuracy - lost, cost * share
    for other, value in measured.items():
        more = all(a <= b for a, b in zip(other.levels, choice.levels, strict=True))
        if more and (other.recipe, other.size) == (choice.recipe, choice.size):
            accuracy, cost = min(accuracy, value.accuracy + _SLACK), min(cost, value.cost)
    return Value(accuracy, cost)


def _best_within(known: list[Value], cost: float) -> float:
    return max((value.accuracy for value in known if value.cost <= cost), default=-math.inf)


def _added(known: list[Value], value: Value) -> float:
    """How much the area under the front (accuracy over the logarithm of cost) grows by ``value``."""
    most = max([*(v.cost for v in known), value.cost])
    edges = [value.cost, *(v.cost for v in known if v.cost > value.cost), most]
    area = 0.0
    for left, right in itertools.pairwise(edges):
        area += max(0.0, value.accuracy - max(0.0, _best_within(known, left))) * math.log(right / left)
    return area


class Grid:
    """The candidates of a search: every setting of the ``space``, chosen by estimate."""

    def __init__(self, space: Space, target: float | None) -> None:
        self._space = space
        self._target = target
        self._choices = {space.setting(choice): choice for choice in space}
        self.reference = space.setting(space.corners()[0])

    def __len__(self) -> int:
        return len(self._choices)

    def __contains__(self, setting: Setting) -> bool:
        return setting in self._choices

    def next(self, measured: Mapping[Setting, Value], failed: Collection[Setting]) -> Setting | None:
        """What to try next; None when nothing is estimated to add to the front."""
        known = {self._choices[setting]: value for setting, value in measured.items()}
        choice = next_choice(self._space, known, {self._choices[setting] for setting in failed}, self._target)
        return None if choice is None else self._space.setting(choice)


class Listed:
    """The candidates that were measured on a device: all of them are tried, in order."""

    def __init__(self, settings: Sequence[Setting]) -> None:
        self._settings = settings
        self.reference = settings[0]

    def __len__(self) -> int:
        return len(self._settings)

    def __contains__(self, setting: Setting) -> bool:
        return setting in self._settings

    def next(self, measured: Mapping[Setting, Value], failed: Collection[Setting]) -> Setting | None:
        """The first that wasn't tried; None after the last."""
        return next((setting for setting in self._settings if setting not in measured and setting not in failed), None)


Candidates = Grid | Listed
