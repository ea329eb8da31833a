"""What ``edge-seg tune`` finds, as data: points with their costs, and the search that they come from.

:mod:`convert.tune` makes it; the text, ``tune.json`` and the page tell of it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Size = tuple[int, int]


@dataclass(frozen=True)
class Setting:
    """What one point of the search is made with; sizes are (height, width), pixels."""

    recipe: str
    size: Size
    proposals: int
    before_nms: int
    keep: int
    box_width: int

    @property
    def key(self) -> str:
        """A name for files, and for people who know the order."""
        height, width = self.size
        return f"{self.recipe}-{height}x{width}-p{self.proposals}-b{self.before_nms}-k{self.keep}-w{self.box_width}"


@dataclass(frozen=True)
class Point:
    """What was measured of a setting, whatever the cost is counted in.

    mAP from 0 to 1 over ``images`` images, None where there is nothing to find; ``objects`` is how many instances the
    model found in an image on average; ``judge`` is the recipe whose bundle was run. Multiply-accumulates: ``trunk``
    of an image, ``box`` of a proposal, ``mask`` of an object.
    """

    setting: Setting
    judge: str
    box_map: float | None
    mask_map: float | None
    box_ap50: float | None
    mask_ap50: float | None
    images: int
    objects: float
    model_bytes: int
    trunk_mac: int
    box_mac: int
    mask_mac: int

    @property
    def accuracy(self) -> float:
        """What the search looks at: mask mAP, 0 where there is none."""
        return self.mask_map or 0.0

    @property
    def gmac(self) -> float:
        """Billions of multiply-accumulates of an image with the average number of objects."""
        mac = self.trunk_mac + self.setting.proposals * self.box_mac + self.objects * self.mask_mac
        return mac / 1e9


@dataclass(frozen=True)
class Placed:
    """A point with its cost, and the quartiles of that where it was measured.

    ``command`` makes its bundle; ``measure_again`` measures that as the search did, None where nothing was measured.
    """

    point: Point
    cost: float
    spread: tuple[float, float] | None = None
    command: str = ""
    measure_again: str | None = None

    def as_json(self) -> dict[str, Any]:
        """mAP from 0 to 1."""
        return {
            **dataclasses.asdict(self.point),
            "gmac": self.point.gmac,
            "cost": self.cost,
            "cost_quartiles": self.spread,
            "command": self.command,
            "measure_again": self.measure_again,
        }


@dataclass(frozen=True)
class Tuning:
    """A search and what it came to.

    ``front``: the Pareto front, cheapest first; ``others``: the other points. ``possible``: how many points there are
    to try. Cost is in ``unit`` and counted as ``how`` says; ``reference_ms`` and ``disturbed`` (the largest share of a
    measurement that other programs took) where it was measured on this machine.
    """

    run: Path
    model: str
    data: Path
    images: int
    seed: int
    possible: int
    unit: str
    how: str
    target: float | None
    front: tuple[Placed, ...]
    others: tuple[Placed, ...]
    failures: dict[str, str]
    result: Path
    command: str
    warnings: tuple[str, ...] = ()
    reference_ms: float | None = None
    disturbed: float | None = None

    @property
    def chosen(self) -> Placed | None:
        """The most accurate point of the front that the budget buys; None without a budget, or where none meets it."""
        within = [placed for placed in self.front if self.target is not None and placed.cost <= self.target]
        return max(within, key=lambda placed: placed.point.accuracy, default=None)

    @property
    def missed(self) -> bool:
        """Whether there is a budget and no point meets it."""
        return self.target is not None and self.chosen is None

    def as_json(self) -> dict[str, Any]:
        """All for programs."""
        chosen = self.chosen
        return {
            "run": str(self.run),
            "data": str(self.data),
            "images": self.images,
            "seed": self.seed,
            "cost": {
                "unit": self.unit,
                "how": self.how,
                "reference_ms": self.reference_ms,
                "disturbed": self.disturbed,
            },
            "target": self.target,
            "front": [placed.as_json() for placed in self.front],
            "chosen": chosen.as_json() if chosen else None,
            "points": [placed.as_json() for placed in (*self.front, *self.others)],
            "failed": self.failures,
            "warnings": list(self.warnings),
            "result": str(self.result),
        }
