"""Where an object is, kept as exactly as it was annotated until a proposal asks for its mask.

A mask drawn at the network's input size has lost the outline's fractions of a pixel, which a 28 x 28 mask of a small
box would show. So the target is drawn in the box's own frame: from the polygons, as PaddleDetection does
(``rasterize_polygons_within_box``), or from the mask in the full size of the annotated image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

_LEAST_SIDE = 0.1
"""A box is at least this wide, in pixels, when its mask is drawn (PaddleDetection's rule)."""


class Axis(NamedTuple):
    """Pixels of the annotated image → pixels of the input, along one axis: ``scale * value + shift``."""

    scale: float
    shift: float

    def there(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of the input."""
        return values * self.scale + self.shift

    def back(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of the annotated image."""
        return (values - self.shift) / self.scale


@dataclass(frozen=True)
class Polygons:
    """An outline of polygons, each float64[2 * points] as x, y, x, y, … in input pixels."""

    points: tuple[NDArray[np.float64], ...]

    @classmethod
    def placed(cls, polygons: Sequence[Sequence[float]], x: Axis, y: Axis) -> Polygons:
        """Polygons of the annotated image, where they lie in the input."""
        points = []
        for polygon in polygons:
            values = np.asarray(polygon, np.float64)
            placed = np.empty_like(values)
            placed[0::2], placed[1::2] = x.there(values[0::2]), y.there(values[1::2])
            points.append(placed)
        return cls(tuple(points))

    def inside(self, box: Sequence[float], side: int) -> NDArray[np.uint8]:
        """The object's part of ``box`` (x0, y0, x1, y1 in input pixels), uint8[side, side] of 0 and 1."""
        x0, y0, x1, y1 = (float(value) for value in box)
        ratio_x, ratio_y = side / max(x1 - x0, _LEAST_SIDE), side / max(y1 - y0, _LEAST_SIDE)
        scaled = []
        for polygon in self.points:
            values = polygon.copy()
            values[0::2] = (values[0::2] - x0) * ratio_x
            values[1::2] = (values[1::2] - y0) * ratio_y
            scaled.append(values)
        drawn = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(scaled, side, side)))
        return np.asarray(drawn, np.uint8)


@dataclass(frozen=True)
class Bitmap:
    """A mask in the annotated image's own pixels.

    ``sums`` int[h + 1, w + 1] are the mask's sums over all that lies above and to the left of each corner;
    ``left`` and ``top`` say where its first corner lies in the annotated image.
    """

    sums: NDArray[np.integer[Any]]
    left: int
    top: int
    x: Axis
    y: Axis

    @classmethod
    def placed(cls, mask: NDArray[np.uint8], x: Axis, y: Axis) -> Bitmap:
        """``mask`` uint8[height, width] of 0 and 1 of the annotated image, where it lies in the input."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return cls(np.zeros((1, 1), np.int32), 0, 0, x, y)
        top, left = int(rows[0]), int(columns[0])
        cut = mask[top : rows[-1] + 1, left : columns[-1] + 1]
        kind = np.int32 if cut.size < 2**31 else np.int64
        sums: NDArray[np.integer[Any]] = np.zeros((cut.shape[0] + 1, cut.shape[1] + 1), kind)
        np.cumsum(cut.cumsum(axis=0, dtype=kind), axis=1, out=sums[1:, 1:])
        return cls(sums, left, top, x, y)

    def inside(self, box: Sequence[float], side: int) -> NDArray[np.uint8]:
        """As :meth:`Polygons.inside`: a cell belongs to the object when the mask covers at least half of it."""
        x0, y0, x1, y1 = (float(value) for value in box)
        width, height = max(x1 - x0, _LEAST_SIDE), max(y1 - y0, _LEAST_SIDE)
        edges = np.arange(side + 1) / side
        columns = self.x.back(x0 + edges * width) - self.left
        rows = self.y.back(y0 + edges * height) - self.top
        # The integral of a mask is bilinear between the corners of its pixels: cells are measured exactly.
        down = _between(self.sums, rows)
        covered = np.diff(np.diff(_between(down.T, columns).T, axis=0), axis=1)
        cell = abs(width / self.x.scale * height / self.y.scale) / side**2
        return (np.abs(covered) >= 0.5 * cell).view(np.uint8)


@dataclass(frozen=True)
class Clipped:
    """An outline of which only the part in ``frame`` (x0, y0, x1, y1 in input pixels) can be seen."""

    outline: Polygons | Bitmap
    frame: tuple[float, float, float, float]

    def inside(self, box: Sequence[float], side: int) -> NDArray[np.uint8]:
        """As :meth:`Polygons.inside`; cells whose middle lies outside the frame are 0."""
        found = self.outline.inside(box, side)
        middles = (np.arange(side) + 0.5) / side
        x, y = box[0] + middles * (box[2] - box[0]), box[1] + middles * (box[3] - box[1])
        found[:, (x < self.frame[0]) | (x > self.frame[2])] = 0
        found[(y < self.frame[1]) | (y > self.frame[3])] = 0
        return found


Outline = Polygons | Bitmap | Clipped


def _between(sums: NDArray[Any], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of ``sums`` at fractional ``places``; what lies outside has the value of the border."""
    places = np.clip(places, 0, len(sums) - 1)
    before = np.minimum(places.astype(np.intp), max(len(sums) - 2, 0))
    after = np.minimum(before + 1, len(sums) - 1)
    share = (places - before)[:, None]
    return np.asarray(sums[before] * (1 - share) + sums[after] * share)
