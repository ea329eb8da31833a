"""What ``edge-seg verify`` finds, as data: differences of tensors, results of stages, the report of a bundle.

:mod:`convert.verify` makes it; pages, texts and manifests tell of it.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_seg.bundle import Bundle

TITLES = {
    "files": "files and their hashes",
    "preprocessing": "preprocessing, pixel by pixel",
    "paddle": "paddle, the layers themselves",
    "golden": "the golden result in the bundle",
    "postprocessing": "postprocessing: which boxes are kept",
    "exported": "exported graph, not optimised",
    "rounded": "exported graph, rounded as the recipe says",
    "host": "optimised graph on this host",
    "device": "the device, through its runner",
}


@dataclass(frozen=True)
class Difference:
    """One tensor's difference, over all images.

    ``worst`` and ``mean`` are in ``unit``; None where there is nothing to measure. ``limit`` None: told, not judged.
    ``image`` is the number of the image that is worst.
    """

    tensor: str
    worst: float | None = None
    mean: float | None = None
    unit: str = ""
    limit: float | None = None
    ok: bool = True
    note: str = ""
    image: int | None = None

    def noted(self, *more: str) -> Difference:
        """The same with ``more`` said in its note."""
        return dataclasses.replace(self, note="; ".join(filter(None, [self.note, *more])))

    @property
    def closeness(self) -> float:
        """Worst as a part of the limit; 0 where there is none."""
        if self.worst is None or not self.limit:
            return 0.0
        return self.worst / self.limit if math.isfinite(self.worst) else math.inf

    def __str__(self) -> str:
        """``worst 2.1e-06 of its range, mean 3e-07, limit 0.001; a note``."""
        parts = []
        if self.worst is not None:
            parts = [f"worst {self.worst:.3g} {self.unit}".rstrip()]
            parts += [f"mean {self.mean:.3g}"] if self.mean is not None else []
            parts += [f"limit {self.limit:.3g}"] if self.limit is not None else []
        return "; ".join(filter(None, [", ".join(parts), self.note]))


@dataclass(frozen=True)
class Shown:
    """A drawing, uint8[h, w, 3] BGR, and what is to be seen in it."""

    caption: str
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class StageResult:
    """What was measured on one stage, ``against`` another; or why it was ``skipped``."""

    name: str
    differences: tuple[Difference, ...] = ()
    against: str = ""
    skipped: str = ""
    shown: Shown | None = None
    seconds: float = 0.0

    @property
    def fault(self) -> Difference | None:
        """The first difference that is out of tolerance."""
        return next((item for item in self.differences if not item.ok), None)

    @property
    def status(self) -> Literal["ok", "failed", "skipped"]:
        if self.fault:
            return "failed"
        return "ok" if self.differences else "skipped"

    @property
    def title(self) -> str:
        """What the stage is, for people."""
        return TITLES[self.name]


@dataclass(frozen=True)
class Compared:
    """What one image holds by the lowest and by the highest stage that computed, or by the only one.

    Drawn, uint8[h, w, 3] BGR.
    """

    name: str
    shown: tuple[Shown, ...]


@dataclass(frozen=True)
class Report:
    """What verify found. ``stages`` in their order; ``images`` are their names, by number in a difference."""

    bundle: Bundle
    stages: tuple[StageResult, ...]
    images: tuple[str, ...]
    compared: tuple[Compared, ...] = ()

    @property
    def first(self) -> tuple[StageResult, Difference] | None:
        """The first stage that leaves its tolerance, and its first such tensor."""
        return next(((stage, stage.fault) for stage in self.stages if stage.fault), None)

    @property
    def exit_code(self) -> int:
        return 1 if self.first else 0

    def image_name(self, item: Difference) -> str | None:
        """The image that is worst in this difference; None where none is known by name (a chart, a file)."""
        return self.images[item.image] if item.image is not None and item.image < len(self.images) else None
