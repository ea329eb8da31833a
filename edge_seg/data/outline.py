"""Outlines: polygons and run lengths as people's files hold them → what a training can rely on.

A polygon is [x, y, x, y, …] in pixels of the image, pixel (0, 0) covering 0…1; a segmentation is a list of polygons
(the object is all that one of them covers) or run lengths {"size": [height, width], "counts": …}. A box is
(x0, y0, x1, y1).
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from edge_seg.limits import RLE_GROUPS
from edge_seg.runtime.rle import run_lengths

Box = tuple[float, float, float, float]
Notes = list[tuple[str, str]]
"""What was mended in an outline: kind of finding, and text."""

LEAST_OVERLAP = 0.8
"""Least IoU of the annotated box and the outline's, unless no edge differs by more than ``BOX_TOLERANCE`` pixels."""
BOX_TOLERANCE = 2.0
AREA_RATIO = 4.0
"""An area further from the outline's than this factor isn't its area."""
EDGE_TOLERANCE = 1.0
"""Outlines that reach over the edge by less, in pixels, are cut without a word: it is rounding."""
_PLAIN = frozenset({int, float})
_MOST_COMPARED = 30
"""Parts of one object that are compared with each other."""
FAR = 1.0
"""Points further outside than so many widths or heights belong to no image of this size."""


class Fault(Exception):
    """An outline that can't be used: its kind of finding, and why."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind, self.text = kind, text


@dataclass(frozen=True)
class Outline:
    """A checked outline: inside the image, its box and its area in pixels."""

    segmentation: Any
    box: Box
    area: float


def shown(value: Any) -> str:
    """A value in a message, shortened."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def is_number(value: Any) -> bool:
    """Whether it is a finite number of JSON, not a boolean."""
    # abs() and not math.isfinite(), which fails on a whole number too large for a float. NaN compares as False.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def are_numbers(values: list[Any]) -> bool:
    """Whether all are finite numbers; quick for long lists that are."""
    if not values or _PLAIN.issuperset(map(type, values)):
        try:
            # NaN and infinity stay in a sum.
            if math.isfinite(sum(values)):
                return True
        except OverflowError:
            pass
    return all(map(is_number, values))


def decode(segmentation: Any, height: int, width: int) -> NDArray[np.uint8]:
    """Polygons or run lengths as uint8[height, width] of 0 and 1."""
    return np.asarray(coco_mask.decode(as_rle(segmentation, height, width)), np.uint8)


def as_rle(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """Polygons or run lengths as pycocotools' own run lengths."""
    if isinstance(segmentation, list):
        found = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        found = coco_mask.frPyObjects(segmentation, height, width)
    else:
        found = segmentation
    return dict(found)


def encode(mask: NDArray[Any]) -> dict[str, Any]:
    """A mask [height, width] as compressed run lengths with text in them, as JSON files hold them."""
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(side) for side in mask.shape], "counts": rle["counts"].decode("ascii")}


def read_outline(
    value: Any, width: int, height: int, notes: Notes, *, bbox: Any = None, scale_normalised: bool = False
) -> Outline:
    """A checked outline from a file's ``segmentation``; what is mended is added to ``notes``.

    ``bbox`` is [x, y, width, height] as annotated, which tells whether an outline of values 0…1 is a normalised one.
    Raises :class:`Fault` when there is no outline, or one that can't be of an object in this image.
    """
    if isinstance(value, dict):
        return _read_rle(value, width, height)
    polygons = _read_polygons(value, notes)
    if _is_normalised(polygons, width, height, bbox):
        scaled = [[v * (width, height)[i % 2] for i, v in enumerate(polygon)] for polygon in polygons]
        in_pixels = is_box(bbox) and max(bbox) > 1.01
        agrees = in_pixels and overlap(box_of(scaled), as_corners(bbox)) >= LEAST_OVERLAP
        if not agrees and (in_pixels or not scale_normalised):
            own = f"; multiplied, it isn't where the bbox is, {shown(bbox)}" if in_pixels else ""
            raise Fault("outline-normalised", f"expected pixels of {width} x {height}, found {shown(polygons[0])}{own}")
        notes.append(("outline-scaled", f"found {shown(polygons[0])}"))
        polygons = scaled
    inside = cut_polygons(polygons, width, height, notes)
    box = box_of(inside)
    if len(inside) > 1:
        _note_inner(inside, notes)
    area = _area(inside)
    flat = min(box[2] - box[0], box[3] - box[1]) < 3 or area < 4
    if flat and raster_area(inside, box) == 0:
        raise Fault("no-pixels", f"outline {shown(inside[0])}")
    return Outline(inside, box, area)


def _read_polygons(value: Any, notes: Notes) -> list[list[float]]:
    """Lists of x, y, x, y, …; takes one that isn't wrapped in a list, and pairs [[x, y], …] as well."""
    if value is None or value == [] or value == [[]]:
        raise Fault("no-outline", "segmentation: expected polygons or run lengths, found nothing")
    if not isinstance(value, list):
        raise Fault(
            "outline",
            f"segmentation: expected polygons [[x, y, …], …] or run lengths {{size, counts}}, found {shown(value)}",
        )
    if is_number(value[0]):
        value = [value]
    polygons = []
    short = None
    for number, polygon in enumerate(value):
        where = f"segmentation[{number}]"
        if isinstance(polygon, list) and polygon and all(isinstance(p, list) and len(p) == 2 for p in polygon):
            polygon = [v for point in polygon for v in point]
        if not isinstance(polygon, list) or not are_numbers(polygon):
            raise Fault("outline", f"{where}: expected finite numbers [x, y, x, y, …], found {shown(polygon)}")
        if len(polygon) % 2:
            text = f"{where}: expected pairs [x, y, x, y, …], found {len(polygon)} numbers, {shown(polygon)}"
            raise Fault("outline", text)
        if len(polygon) < 6:
            short = short or (where, polygon)
        else:
            polygons.append(polygon)
    if short:
        where, polygon = short
        text = f"{where}: expected [x, y, x, y, …] with at least three points, found {shown(polygon)}"
        if not polygons:
            raise Fault("outline", text)
        notes.append(("outline-parts", text))
    return polygons


def _note_inner(polygons: list[list[float]], notes: Notes) -> None:
    """Notes the first part that lies inside another: as a rule it was meant as a hole."""
    boxes = [box_of([polygon]) for polygon in polygons[:_MOST_COMPARED]]
    for inner, a in enumerate(boxes):
        for outer, b in enumerate(boxes):
            around = inner != outer and b[0] <= a[0] and b[1] <= a[1] and b[2] >= a[2] and b[3] >= a[3]
            if around and polygons[inner] != polygons[outer] and _encloses(polygons[outer], polygons[inner]):
                notes.append(("outline-inside", f"segmentation[{inner}] in segmentation[{outer}]"))
                return


def _encloses(outer: list[float], inner: list[float]) -> bool:
    """Whether all corners of one polygon lie inside the other: a ray to the right crosses it an odd number of times."""
    edges = np.array(outer, np.float64).reshape(-1, 2)
    ends = np.roll(edges, -1, axis=0)
    points = np.array(inner, np.float64).reshape(-1, 1, 2)
    x, y = points[..., 0], points[..., 1]
    crossed = (edges[:, 1] > y) != (ends[:, 1] > y)
    rise = np.where(ends[:, 1] == edges[:, 1], 1.0, ends[:, 1] - edges[:, 1])
    at = edges[:, 0] + (y - edges[:, 1]) * (ends[:, 0] - edges[:, 0]) / rise
    return bool(((crossed & (x < at)).sum(axis=1) % 2 == 1).all())


def _is_normalised(polygons: list[list[float]], width: int, height: int, bbox: Any) -> bool:
    """Whether all values are parts of the image's size: what lies in the one pixel (0, 0) is no outline."""
    if max(width, height) < 4 or any(min(polygon) < -0.01 or max(polygon) > 1.01 for polygon in polygons):
        return False
    whole = all(value == int(value) for polygon in polygons for value in polygon)
    return not whole or (is_box(bbox) and max(bbox[2:]) > 2)


def cut_polygons(polygons: list[list[float]], width: int, height: int, notes: Notes) -> list[list[float]]:
    """The parts of the polygons inside the image. Raises :class:`Fault` when nothing is, or points lie far away."""
    inside = []
    beyond = 0.0
    for polygon in polygons:
        xs, ys = polygon[::2], polygon[1::2]
        out = max(-min(xs), max(xs) - width, -min(ys), max(ys) - height)
        if out <= 0:
            inside.append(polygon)
            continue
        beyond = max(beyond, out)
        if min(xs) >= width or max(xs) <= 0 or min(ys) >= height or max(ys) <= 0:
            continue
        if max(-min(xs), max(xs) - width) > FAR * width or max(-min(ys), max(ys) - height) > FAR * height:
            raise Fault(
                "outline-outside",
                f"expected points in the image, which is {width} x {height} pixels, found {shown(polygon)}",
            )
        if kept := clip(polygon, width, height):
            inside.append(kept)
    if not inside:
        raise Fault(
            "outline-outside",
            f"expected points in the image, which is {width} x {height} pixels, found {shown(polygons[0])}",
        )
    if beyond > EDGE_TOLERANCE:
        notes.append(("outline-cut", f"by up to {beyond:.1f} pixels of {width} x {height}"))
    return inside


def clip(polygon: list[float], width: float, height: float) -> list[float]:
    """The part of a polygon inside 0…width, 0…height, [] where there is none (Sutherland and Hodgman, 1974).

    Cutting at one edge after the other keeps what is inside, also of outlines that cross themselves; where the part
    falls in pieces, lines without area along the edge join them, which cover no pixel.
    """
    points = _pairs(polygon)
    for axis, limit, sign in ((0, 0.0, 1), (0, float(width), -1), (1, 0.0, 1), (1, float(height), -1)):
        cut: list[tuple[float, ...]] = []
        for before, point in zip(points[-1:] + points[:-1], points, strict=True):
            was, now = (sign * (p[axis] - limit) >= 0 for p in (before, point))
            if was != now:
                part = (limit - before[axis]) / (point[axis] - before[axis])
                crossing = [b + part * (p - b) for b, p in zip(before, point, strict=True)]
                crossing[axis] = limit
                cut.append((crossing[0], crossing[1]))
            if now:
                cut.append(point)
        points = cut
    return [value for point in points for value in point] if len(points) >= 3 else []


def _pairs(polygon: list[float]) -> list[tuple[float, ...]]:
    return list(zip(polygon[::2], polygon[1::2], strict=True))


def _read_rle(rle: dict[str, Any], width: int, height: int) -> Outline:
    """pycocotools writes past its memory when run lengths don't fit the size: they are checked before it sees them."""
    size = rle.get("size")
    if size != [height, width]:
        own = f"the image's [height, width], [{height}, {width}]"
        raise Fault("outline", f"segmentation.size: expected {own}, found {shown(size)}")
    counts = rle.get("counts")
    if isinstance(counts, str):
        lengths = run_lengths(counts.encode("ascii")) if counts.isascii() and len(counts) <= RLE_GROUPS else None
        if lengths is None:
            raise Fault(
                "outline",
                f"segmentation.counts: expected a string of COCO's compressed run lengths, found {shown(counts)}",
            )
    elif isinstance(counts, list) and all(is_number(v) and v == int(v) and abs(v) <= width * height for v in counts):
        counts = [int(v) for v in counts]
        lengths = np.array(counts, np.int64)
    else:
        raise Fault(
            "outline",
            f"segmentation.counts: expected a list of whole numbers or a compressed string, found {shown(counts)}",
        )
    if len(lengths) == 0 or lengths.min() < 0 or lengths.max() > width * height or lengths.sum() != width * height:
        raise Fault(
            "outline",
            f"segmentation.counts: expected run lengths that add up to {width} x {height} = {width * height}, "
            f"found {shown(counts)}",
        )
    area = float(lengths[1::2].sum())
    if area == 0:
        raise Fault("no-pixels", "its run lengths hold no pixel")
    segmentation = {"size": [height, width], "counts": counts}
    x, y, across, down = coco_mask.toBbox(as_rle(segmentation, height, width)).tolist()
    return Outline(segmentation, (x, y, x + across, y + down), area)


def box_of(polygons: list[list[float]]) -> Box:
    """The box around polygons."""
    xs, ys = ([f(f(polygon[axis::2]) for polygon in polygons) for f in (min, max)] for axis in (0, 1))
    return float(xs[0]), float(ys[0]), float(xs[1]), float(ys[1])


def _area(polygons: list[list[float]]) -> float:
    """The sum of the polygons' areas, pixels; of one that crosses itself less than it covers."""
    total = 0.0
    for polygon in polygons:
        values = np.array(polygon, np.float64)
        x, y = values[::2], values[1::2]
        twice = np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]) + x[-1] * y[0] - x[0] * y[-1]
        total += abs(float(twice)) / 2
    return total


def raster_area(polygons: list[list[float]], box: Box) -> float:
    """How many pixels the polygons cover, drawn as pycocotools does, in the window of ``box`` only."""
    left, top = math.floor(box[0]), math.floor(box[1])
    width, height = math.ceil(box[2]) - left + 1, math.ceil(box[3]) - top + 1
    moved = [[v - (left, top)[i % 2] for i, v in enumerate(polygon)] for polygon in polygons]
    return float(coco_mask.area(coco_mask.merge(coco_mask.frPyObjects(moved, height, width))))


def is_box(bbox: Any) -> bool:
    """Whether it is [x, y, width, height] with an area."""
    return isinstance(bbox, list) and len(bbox) == 4 and all(map(is_number, bbox)) and min(bbox[2:]) > 0


def as_corners(bbox: list[float]) -> Box:
    """[x, y, width, height] → (x0, y0, x1, y1)."""
    return float(bbox[0]), float(bbox[1]), float(bbox[0] + bbox[2]), float(bbox[1] + bbox[3])


def overlap(a: Box, b: Box) -> float:
    """IoU of two boxes."""
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / both if both > 0 else 0.0


def choose_box(bbox: Any, outline: Outline, width: int, height: int, notes: Notes) -> Box:
    """The annotated box, cut at the image's edge, where it agrees with the outline; the outline's box otherwise."""
    if not is_box(bbox):
        notes.append(("box", f"bbox is {'missing' if bbox is None else shown(bbox)}"))
        return outline.box
    x0, y0, x1, y1 = as_corners(bbox)
    box = (max(0.0, x0), max(0.0, y0), min(float(width), x1), min(float(height), y1))
    near = max(abs(a - b) for a, b in zip(box, outline.box, strict=True)) <= BOX_TOLERANCE
    if box[0] < box[2] and box[1] < box[3] and (near or overlap(box, outline.box) >= LEAST_OVERLAP):
        return box
    own = [round(v, 1) for v in (*outline.box[:2], outline.box[2] - outline.box[0], outline.box[3] - outline.box[1])]
    text = f"bbox is {shown(bbox)}, that of the outline {own}"
    if overlap((y0, x0, y1, x1), outline.box) >= LEAST_OVERLAP:
        text += ": they agree with x and y exchanged, so one of them has the wrong order"
    elif overlap((x0, y0, x1 - x0, y1 - y0), outline.box) >= LEAST_OVERLAP:
        text += ": it holds corners, not a width and height"
    notes.append(("box", text))
    return outline.box


def choose_area(area: Any, outline: Outline, notes: Notes) -> float:
    """The annotated area where it can be that of the outline, the outline's otherwise."""
    known = is_number(area) and area > 0
    if known and outline.area / AREA_RATIO <= area <= outline.area * AREA_RATIO:
        return float(area)
    drawn = outline.area
    if isinstance(outline.segmentation, list):
        drawn = raster_area(outline.segmentation, outline.box)
    if known and drawn / AREA_RATIO <= area <= drawn * AREA_RATIO:
        return float(area)
    if area is not None:
        notes.append(("area", f"area is {shown(area)}, that of the outline {drawn:g}"))
    return drawn


def turn_point(x: float, y: float, orientation: int, width: int, height: int) -> tuple[float, float]:
    """A point of the image as it is stored, ``width`` x ``height``, in the image as EXIF's ``orientation`` turns it."""
    return {
        2: (width - x, y),
        3: (width - x, height - y),
        4: (x, height - y),
        5: (y, x),
        6: (height - y, x),
        7: (height - y, width - x),
        8: (y, width - x),
    }.get(orientation, (x, y))


def turn_mask(mask: NDArray[Any], orientation: int) -> NDArray[Any]:
    """A mask of the image as it is stored → of the image as EXIF's ``orientation`` turns it."""
    turned = {
        2: mask[:, ::-1],
        3: mask[::-1, ::-1],
        4: mask[::-1],
        5: mask.T,
        6: np.rot90(mask, -1),
        7: mask.T[::-1, ::-1],
        8: np.rot90(mask),
    }.get(orientation, mask)
    return np.ascontiguousarray(turned)


def turn(outline: Outline, orientation: int, width: int, height: int) -> Outline:
    """An outline in the stored image, ``width`` x ``height`` → in the one that EXIF's ``orientation`` turns upright."""
    if isinstance(outline.segmentation, list):
        polygons = [
            [v for x, y in _pairs(polygon) for v in turn_point(x, y, orientation, width, height)]
            for polygon in outline.segmentation
        ]
        return Outline(polygons, box_of(polygons), outline.area)
    segmentation = encode(turn_mask(decode(outline.segmentation, height, width), orientation))
    x0, y0 = turn_point(*outline.box[:2], orientation, width, height)
    x1, y1 = turn_point(*outline.box[2:], orientation, width, height)
    return Outline(segmentation, (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), outline.area)
