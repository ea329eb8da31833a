"""The Pareto front as a plot: accuracy against cost, for a page and as an SVG file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_seg.pages.blocks import Figure
from edge_seg.pages.plots import Axis, Evidence, Line, Series, chart, looks, save_chart

_TRIED, _FRONT, _CHOSEN = "tried", "Pareto front", "within the budget"
_LOOKS = looks([_FRONT, _CHOSEN, _TRIED])
_MOST_LABELS = 12


@dataclass(frozen=True)
class Mark:
    """A point of the plot; ``accuracy`` from 0 to 1, ``label`` is written beside it where it is on the front."""

    cost: float
    accuracy: float
    label: str


@dataclass(frozen=True)
class FrontPlot:
    """What is drawn: points tried, those of the front (cheapest first), the budget and the point chosen for it.

    ``unit`` is the cost's, ``n`` and ``source`` say how many points there are and where they come from.
    """

    title: str
    unit: str
    n: str
    source: str
    others: Sequence[Mark]
    front: Sequence[Mark]
    budget: float | None = None
    chosen: Mark | None = None

    def figure(self) -> Figure:
        """The plot for a page."""
        return chart(
            self.title, self._series(), self._cost, _ACCURACY, self._evidence,
            lines=self._lines(), look=_LOOKS, missing="No point could be measured.",
        )  # fmt: skip

    def save(self, path: Path) -> None:
        """Writes the plot as an SVG file. ValueError where there is no point."""
        save_chart(
            path, self.title, self._series(), self._cost, _ACCURACY, self._evidence, lines=self._lines(), look=_LOOKS
        )

    @property
    def _cost(self) -> Axis:
        return Axis("cost", self.unit, log=True)

    @property
    def _evidence(self) -> Evidence:
        return Evidence(self.n, self.source)

    def _series(self) -> list[Series]:
        found = [_of(_TRIED, self.others, "points"), _of(_FRONT, self.front, "steps")]
        return [*found, *([_of(_CHOSEN, [self.chosen], "points")] if self.chosen else [])]

    def _lines(self) -> list[Line]:
        return [] if self.budget is None else [Line(f"budget {self.budget:g} {self.unit}", self.budget, "x")]


_ACCURACY = Axis("mask mAP", "%")


def _of(name: str, marks: Sequence[Mark], form: str) -> Series:
    labels = [mark.label for mark in marks] if name == _FRONT and len(marks) <= _MOST_LABELS else []
    percents = [100 * mark.accuracy for mark in marks]
    return Series(name, [m.cost for m in marks], percents, "steps" if form == "steps" else "points", labels=labels)
