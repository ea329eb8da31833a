"""In what cost is counted: one class for each way, all with the same few methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from convert.tune import timer
from convert.tune.device import Device
from convert.tune.log import Log
from convert.tune.timer import Timer
from edge_seg.tuning import Point, Setting
from edge_seg.words import counted

SEARCH_PAIRS, FRONT_PAIRS = 2, 5
"""Paired measurements of a point during the search, and those that a point of the Pareto front gets at its end."""

Bundle = Callable[[Setting], Path]
"""Where a setting's bundle lies; made anew if it is gone."""
Say = Callable[[str], None]
Spread = tuple[float, float]
"""Lower and upper quartile of a cost."""


class Meter(ABC):
    """Counts cost in ``unit``; ``label`` says how, for people. What isn't overridden is that of an exact cost."""

    unit: str
    label: str

    @abstractmethod
    def cost(self, point: Point) -> float:
        """The point's cost."""

    def knows(self, point: Point) -> bool:
        """Whether a point of the log has a cost already."""
        return True

    def measure(self, point: Point) -> None:  # noqa: B027 - there is nothing to do for an exact cost
        """Does what :meth:`cost` needs, once a point."""

    def settled(self, point: Point) -> bool:
        """Whether nothing more is to be measured of a point of the front."""
        return True

    def settle(self, points: Sequence[Point]) -> None:  # noqa: B027
        """Measures points of the front further, interleaved, so that a slow minute falls on all of them."""

    def spread(self, point: Point) -> Spread | None:
        """Quartiles of the cost; None where it is exact."""
        return None


class Operations(Meter):
    """Billions of multiply-accumulates, which follow from the point itself."""

    unit = "GMAC"
    label = "billions of multiply-accumulates an image"

    def cost(self, point: Point) -> float:
        """The point's."""
        return point.gmac


class Recorded(Meter):
    """Model time on a device, from records of the very bundles."""

    unit = "ms"

    def __init__(self, device: Device) -> None:
        self.label = f"model time on {device.name}, {counted(device.threads, 'thread')}, as recorded there"
        self._ms = device.ms

    def cost(self, point: Point) -> float:
        """The median of the setting's samples."""
        return float(np.median(self._ms[point.setting]))

    def spread(self, point: Point) -> Spread | None:
        """Quartiles of the setting's samples."""
        low, high = np.percentile(self._ms[point.setting], (25, 75))
        return float(low), float(high)


class Measured(Meter):
    """Model time on this machine, by :mod:`convert.tune.timer`; every paired measurement is in the log."""

    unit = "ms"

    def __init__(self, clock: Timer, log: Log, reference: Setting, threads: int, bundle: Bundle, say: Say) -> None:
        self.label = f"model time on this machine, {counted(threads, 'thread')}"
        self._timer, self._log, self._bundle, self._say = clock, log, bundle, say
        self._reference, self.threads = reference, threads

    def knows(self, point: Point) -> bool:
        """Whether the log holds a measurement."""
        return bool(self._pairs(point))

    def measure(self, point: Point) -> None:
        """So many measurements as the search wants; what is in the log isn't measured again."""
        for number in range(len(self._pairs(point)), SEARCH_PAIRS):
            self._say(f"timing, {number + 1} of {SEARCH_PAIRS}")
            self._measure(point)

    def settled(self, point: Point) -> bool:
        """Whether it has the measurements of a point of the front."""
        return len(self._pairs(point)) >= SEARCH_PAIRS + FRONT_PAIRS

    def settle(self, points: Sequence[Point]) -> None:
        """In turns: every point once, then every point again."""
        for number in range(FRONT_PAIRS):
            for place, point in enumerate(points, 1):
                if not self.settled(point):
                    self._say(f"timing the front: {place} of {len(points)}, round {number + 1} of {FRONT_PAIRS}")
                    self._measure(point)

    def cost(self, point: Point) -> float:
        """The median ratio to the reference, times the reference's time on the quiet machine."""
        return float(np.median(self._ratios(point))) * self.reference_ms

    def spread(self, point: Point) -> Spread | None:
        """Quartiles of the ratios, times the reference's time."""
        low, high = np.percentile(self._ratios(point), (25, 75)) * self.reference_ms
        return float(low), float(high)

    @property
    def reference_ms(self) -> float:
        """The reference's model time on the quiet machine."""
        return timer.quiet_ms(self._log.all_pairs(self._reference, self.threads))

    @property
    def disturbed(self) -> float | None:
        """The largest share of a measurement that other programs took; None where it can't be known."""
        shares = [pair.disturbed for pair in self._log.all_pairs(self._reference, self.threads)]
        return max((share for share in shares if share is not None), default=None)

    def _pairs(self, point: Point) -> list[timer.Pair]:
        return self._log.pairs(self._reference, point.setting, self.threads)

    def _ratios(self, point: Point) -> list[float]:
        return [pair.ratio for pair in self._pairs(point)]

    def _measure(self, point: Point) -> None:
        pair = self._timer.pair(self._bundle(self._reference), self._bundle(point.setting))
        self._log.add_pair(self._reference, point.setting, self.threads, pair)
