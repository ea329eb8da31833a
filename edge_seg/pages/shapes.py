"""Outlines with labels, drawn on an image for a page: labels keep off each other, colours are the page's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.pages.images import LONGEST_SIDE

_SHORTEST = 360
"""An image of fewer pixels on its longer side is enlarged, or labels would hide it."""
_SCALE, _PAD = 0.42, 3
_TINT = 0.25
_LONGEST_NAME = 22

Color = tuple[int, int, int]
_Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Shape:
    """One object: ``outlines`` float[N, 2], (x, y) in image pixels; ``text`` is its label; ``color`` is ``#rrggbb``."""

    outlines: Sequence[NDArray[np.float32]]
    text: str
    color: str


@dataclass(frozen=True)
class Drawn:
    """``pixels`` uint8[h, w, 3] BGR, scaled for a page; ``without`` counts labels for which there was no room."""

    pixels: NDArray[np.uint8]
    without: int = 0


def draw_shapes(image: NDArray[np.uint8], shapes: Sequence[Shape], *, longest: int = LONGEST_SIDE) -> Drawn:
    """A copy of ``image``, uint8[h, w, 3] BGR, with the shapes; the first of them choose their label's place first."""
    import cv2

    height, width = image.shape[:2]
    factor = min(longest / max(height, width), max(1.0, _SHORTEST / max(height, width)))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    canvas = np.array(image if factor == 1 else cv2.resize(image, size, interpolation=how), np.uint8)
    scale = np.array([size[0] / width, size[1] / height], np.float32)
    scaled = [_points(shape, scale) for shape in shapes]
    tinted = canvas.copy()
    for shape, outlines in zip(shapes, scaled, strict=True):
        cv2.fillPoly(tinted, outlines, _bgr(shape.color))
    canvas = np.array(cv2.addWeighted(tinted, _TINT, canvas, 1 - _TINT, 0), np.uint8)
    for shape, outlines in zip(shapes, scaled, strict=True):
        # A dark line under the coloured one: it is seen on any ground.
        cv2.polylines(canvas, outlines, True, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.polylines(canvas, outlines, True, _bgr(shape.color), 2, cv2.LINE_AA)
    taken: list[_Box] = []
    without = 0
    for shape, outlines in zip(shapes, scaled, strict=True):
        if shape.text and not (outlines and _write(canvas, shape, outlines, taken)):
            without += 1
    return Drawn(canvas, without)


def outlines_of(mask: NDArray[Any]) -> list[NDArray[np.float32]]:
    """The outlines of a mask [h, w], true where the object is: float[N, 2] each, holes left out."""
    import cv2

    found, _ = cv2.findContours(np.ascontiguousarray(mask, np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    # A contour goes through the pixels' middles; an outline around a pixel's area is what polygons mean.
    return [np.asarray(contour[:, 0] + 0.5, np.float32) for contour in found]


def _points(shape: Shape, scale: NDArray[np.float32]) -> list[NDArray[np.int32]]:
    # Far beyond the image, but within what OpenCV can draw.
    return [
        np.nan_to_num(outline * scale).clip(-20_000, 20_000).round().astype(np.int32).reshape(-1, 1, 2)
        for outline in shape.outlines
        if len(outline)
    ]


def _bgr(color: str) -> Color:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return blue, green, red


def _write(canvas: NDArray[np.uint8], shape: Shape, outlines: Sequence[NDArray[np.int32]], taken: list[_Box]) -> bool:
    """Writes a shape's label at the first free place near it; False where there is none."""
    import cv2

    points = np.concatenate(outlines)[:, 0]
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    # OpenCV's fonts have no letters but these; the page's text has the whole name.
    text = shape.text.encode("ascii", "replace").decode()[:_LONGEST_NAME]
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, _SCALE, 1)
    full_width, full_height = width + 2 * _PAD, height + below + _PAD
    rows, columns = canvas.shape[:2]
    places = [
        (x, y)
        for y in (top - full_height, bottom, top, bottom - full_height, (top + bottom - full_height) // 2)
        for x in (left, right - full_width, (left + right - full_width) // 2)
    ]
    for x, y in places:
        x, y = max(0, min(x, columns - full_width)), max(0, min(y, rows - full_height))
        box = (x, y, x + full_width, y + full_height)
        if full_width <= columns and full_height <= rows and not any(_overlap(box, other) for other in taken):
            taken.append(box)
            color = _bgr(shape.color)
            ink = (0, 0, 0) if 0.114 * color[0] + 0.587 * color[1] + 0.299 * color[2] > 120 else (255, 255, 255)
            cv2.rectangle(canvas, box[:2], (box[2] - 1, box[3] - 1), color, cv2.FILLED)
            place = (x + _PAD, y + height + _PAD // 2)
            cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, _SCALE, ink, 1, cv2.LINE_AA)
            return True
    return False


def _overlap(a: _Box, b: _Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
