"""In what cost is counted: one class for each way, all with the same few methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from convert.tune import cost, timer
from convert.tune.cost import Scales, Shape
from convert.tune.device import Device, Observation
from convert.tune.log import Log
from convert.tune.space import Setting
from convert.tune.timer import Clock
from convert.tune.trial import Point

WITHIN = 0.1
"""Measured again, a point of the front must give its cost to 10 %."""
SEARCH_VISITS, CONFIRM_VISITS, AGAIN_VISITS = 2, 5, 7

Bundle = Callable[[Setting], Path]
"""Where a setting's bundle lies; made anew if it is gone."""
Say = Callable[[str], None]


class Meter(Protocol):
    """Counts cost. ``label`` says how, for people; ``predicted`` marks what no device was asked for."""

    unit: str
    label: str
    predicted: bool

    def knows(self, point: Point) -> bool:
        """Whether a point of the log has been measured, at least in part."""

    def measure(self, point: Point) -> None:
        """Does what :meth:`cost` needs, once a point."""

    def cost(self, point: Point) -> float:
        """The point's cost."""

    def confirm(self, points: Sequence[Point]) -> dict[Setting, str]:
        """Measures points of the front again; returns those that don't hold, and why."""


class Computed:
    """Cost that follows from the point itself."""

    def __init__(self, unit: str, label: str, predicted: bool, cost: Callable[[Point], float]) -> None:
        self.unit, self.label, self.predicted = unit, label, predicted
        self._cost = cost

    def knows(self, point: Point) -> bool:
        """Nothing need be measured."""
        return True

    def measure(self, point: Point) -> None:
        """Nothing to do."""

    def cost(self, point: Point) -> float:
        """The point's cost."""
        return self._cost(point)

    def confirm(self, points: Sequence[Point]) -> dict[Setting, str]:
        """The same point costs the same."""
        return {}


def gmac() -> Meter:
    """Multiply-accumulates."""
    return Computed("GMAC", "billions of multiply-accumulates a picture", False, lambda point: point.gmac)


def instructions() -> Meter:
    """Instructions on Arm, carried over from one model that was counted."""
    label = f"millions of instructions a picture, predicted from {cost.COUNTED}"
    return Computed("M instructions", label, True, cost.instructions)


def predicted(device: Device, recipes: Sequence[str], model: str) -> tuple[Meter, list[str]]:
    """Model time on the records' device, and warnings. Raises RecordsError when a recipe has no record."""
    scales = {recipe: cost.calibrate(device, recipe, model, _shape_of) for recipe in recipes}
    ids = ", ".join(dict.fromkeys(record for scale in scales.values() for record in scale.records))
    worst = max(scale.error for scale in scales.values())
    label = (
        f"model time on {device.name}, {device.threads} thread{'s' * (device.threads != 1)}, predicted from "
        f"{'records' if ',' in ids else 'record'} {ids} (which the prediction itself meets to {worst:.0%})"
    )
    warnings = [*device.warnings, *(warning for scale in scales.values() for warning in scale.warnings)]

    def cost(point: Point) -> float:
        scale: Scales = scales[point.setting.recipe]
        return scale.ms(Shape.of(point))

    return Computed("ms", label, True, cost), warnings


def _shape_of(observation: Observation) -> Shape:
    macs = _macs(observation.model, observation.classes, observation.box_width, observation.size)
    return Shape(*macs, observation.proposals, observation.objects)


@lru_cache(maxsize=64)
def _macs(model: str, classes: int, width: int | None, size: tuple[int, int]) -> tuple[int, int, int, int]:
    from edge_seg.models.build import build_model
    from edge_seg.models.cost import measure

    built = build_model(model, classes, box_width=width)
    cost = measure(built, size)
    return cost.trunk_mac, cost.box_mac, cost.mask_mac, built.settings.pyramid_width


@dataclass(frozen=True)
class Again:
    """What points cost when they were measured once more, the reference's time in the search being the measure.

    ``reference_ms`` is what the reference itself took this time: how fast the machine was.
    """

    costs: dict[Setting, float]
    reference_ms: float

    def holds(self, setting: Setting, cost: float) -> bool:
        """Whether the point costs what the search says, to 10 %."""
        return abs(self.costs[setting] / cost - 1) <= WITHIN


class Measured:
    """Model time on this machine, by :mod:`convert.tune.timer`; every visit is in the log."""

    unit = "ms"
    predicted = False

    def __init__(self, clock: Clock, log: Log, reference: Setting, threads: int, bundle: Bundle, say: Say) -> None:
        self.label = f"model time on this machine, {threads} thread{'s' * (threads != 1)}"
        self._clock, self._log, self._bundle, self._say = clock, log, bundle, say
        self._reference, self.threads = reference, threads

    def knows(self, point: Point) -> bool:
        """Whether the log holds a visit."""
        return bool(self._visits(point))

    def measure(self, point: Point) -> None:
        """So many visits as the search wants; what is in the log isn't measured again."""
        done = sum(not visit.confirming for visit in self._visits(point))
        for number in range(done, SEARCH_VISITS):
            self._say(f"timing, {number + 1} of {SEARCH_VISITS}")
            self._visit(point, confirming=False)

    def cost(self, point: Point) -> float:
        """The median ratio to the reference, times the reference's time on the quiet machine."""
        return timer.ratio(self._visits(point)) * self.reference_ms

    @property
    def reference_ms(self) -> float:
        """The reference's model time on the quiet machine."""
        return timer.quiet_ms(self._log.all_visits(self._reference, self.threads))

    @property
    def disturbed(self) -> float | None:
        """The largest share of a measurement that other programs took; None where it can't be known."""
        shares = [v.disturbed for v in self._log.all_visits(self._reference, self.threads)]
        known = [share for share in shares if share is not None]
        return max(known) if known else None

    def confirm(self, points: Sequence[Point]) -> dict[Setting, str]:
        """In turns, so that a slow minute falls on all; whoever doesn't hold gets as many visits again, once."""
        pending = [p for p in points if not any(visit.confirming for visit in self._visits(p))]
        for again in range(2):
            for number in range(CONFIRM_VISITS):
                for place, point in enumerate(pending, 1):
                    self._say(
                        f"measuring the front again: {place} of {len(pending)}, "
                        f"{number + 1 + again * CONFIRM_VISITS} of {(1 + again) * CONFIRM_VISITS}"
                    )
                    self._visit(point, confirming=True)
            pending = [p for p in pending if not timer.holds(self._visits(p), WITHIN)]
        return {p.setting: self._unsteady(p) for p in points if not timer.holds(self._visits(p), WITHIN)}

    def again(self, points: Sequence[Point]) -> Again:
        """Measures points once more, in turns; nothing goes to the log, so the search's figures stay as they are."""
        visits: dict[Setting, list[timer.Visit]] = {point.setting: [] for point in points}
        for number in range(1, AGAIN_VISITS + 1):
            for place, point in enumerate(points, 1):
                self._say(f"measuring once more: {place} of {len(points)}, {number} of {AGAIN_VISITS}")
                visits[point.setting].append(self._clocked(point, confirming=True))
        costs = {setting: timer.ratio(found) * self.reference_ms for setting, found in visits.items()}
        return Again(costs, timer.quiet_ms([visit for found in visits.values() for visit in found]))

    def _unsteady(self, point: Point) -> str:
        visits = self._visits(point)
        first, second = ([v for v in visits if v.confirming == which] for which in (False, True))
        ms = self.reference_ms
        return f"measured again it took {timer.ratio(second) * ms:.3g} ms, before {timer.ratio(first) * ms:.3g} ms"

    def _visits(self, point: Point) -> list[timer.Visit]:
        return self._log.visits(self._reference, point.setting, self.threads)

    def _visit(self, point: Point, *, confirming: bool) -> None:
        visit = self._clocked(point, confirming=confirming)
        self._log.add_visit(self._reference, point.setting, self.threads, visit)

    def _clocked(self, point: Point, *, confirming: bool) -> timer.Visit:
        return self._clock.visit(self._bundle(self._reference), self._bundle(point.setting), confirming=confirming)
