"""What a plot draws: axes, series, lines, the evidence under it; and which of a series' points can be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

_TIMES = ("s", "ms", "µs", "ns", "min", "h")

_MOST_POINTS = 1500


@dataclass(frozen=True)
class Axis:
    """An axis: what it shows, and its unit (none for a pure number). An axis of times starts at 0, unless ``log``.

    ``whole`` marks whole numbers only, ``zero`` begins it at 0.
    """

    label: str
    unit: str = ""
    log: bool = False
    zero: bool = False
    whole: bool = False
    limits: tuple[float, float] | None = None

    @property
    def text(self) -> str:
        """Label and unit."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

    @property
    def starts_at_zero(self) -> bool:
        """Whether 0 is on it."""
        return (self.zero or self.unit in _TIMES) and not self.log


@dataclass(frozen=True)
class Evidence:
    """What stands under a plot: ``n`` (``64 runs an image``), ``source`` (a record, a file), what a ``band`` means."""

    n: str
    source: str
    band: str = ""

    @property
    def text(self) -> str:
        """One line."""
        parts = [f"n = {self.n}", f"Band: {self.band}" if self.band else "", f"From {self.source}"]
        return ". ".join(filter(None, parts)) + "."


Form = Literal["line", "points", "both", "steps"]


@dataclass(frozen=True)
class Series:
    """Values of one name. ``low`` and ``high`` make a band around ``y``; ``labels`` are written at the points.

    ``steps`` hold a value until the next. Values that aren't finite are left out, and the plot says how many.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    form: Form = "line"
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Line:
    """A line across a plot: a limit, a budget."""

    name: str
    at: float
    across: Literal["x", "y"] = "y"


@dataclass(frozen=True)
class Panel:
    """One of several plots above each other with one x axis."""

    series: Sequence[Series]
    y: Axis


def drawable(values: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float64]:
    """Those that can be drawn."""
    array = np.asarray(values, np.float64)
    return array[np.isfinite(array)]


def note_left_out(count: int) -> str:
    """How many values a plot doesn't show, in words; nothing where it shows all."""
    return f"{count:,} value{'s' * (count != 1)} left out: not finite, or not above 0 on a logarithmic axis." * bool(
        count
    )


def drawn_part(one: Series, x: Axis, y: Axis) -> Series:
    """Without points that can't be drawn."""
    good = np.ones(len(one.x), bool)
    for values, axis in ((one.x, x), (one.y, y), (one.low, y), (one.high, y)):
        if len(values):
            array = np.asarray(values, np.float64)
            good &= np.isfinite(array) & ((array > 0) | (not axis.log))
    return _chosen(one, np.flatnonzero(good))


def _chosen(one: Series, places: NDArray[np.intp]) -> Series:
    def those(values: Sequence[float]) -> list[float]:
        return [float(values[place]) for place in places] if len(values) else []

    labels = [one.labels[place] for place in places if place < len(one.labels)]
    return replace(one, x=those(one.x), y=those(one.y), low=those(one.low), high=those(one.high), labels=labels)


def thin(one: Series) -> Series:
    """With at most about :data:`_MOST_POINTS` points."""
    return _chosen(one, thin_indices(np.asarray(one.y, np.float64)))


def thin_indices(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Places of at most about :data:`_MOST_POINTS` values: the least and the greatest of each stretch."""
    if len(values) <= _MOST_POINTS:
        return np.arange(len(values))
    stretches = np.array_split(np.arange(len(values)), _MOST_POINTS // 2)
    kept = {int(stretch[pick(values[stretch])]) for stretch in stretches for pick in (np.argmin, np.argmax)}
    return np.array(sorted(kept), np.intp)
