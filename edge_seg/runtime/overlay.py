"""Draws what was found: a tint and an outline for each mask, its box, and a label with class and score."""

from __future__ import annotations

import colorsys
import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_seg.runtime.masks import decode_inside

if TYPE_CHECKING:
    from edge_seg.runtime.result import Instances

_TINT = 0.45
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# A label needs some 60 x 10 pixels: smaller images are drawn enlarged.
_SMALLEST_SIDE = 240
_LARGEST_FACTOR = 8

Color = tuple[int, int, int]


def draw(image: NDArray[np.uint8], found: Instances, classes: tuple[str, ...]) -> NDArray[np.uint8]:
    """A copy of uint8[h, w, 3] BGR with the instances drawn, the best on top.

    An image whose longer side is under 240 pixels is enlarged by a whole factor, so that labels can be read.
    """
    factor = min(_LARGEST_FACTOR, max(1, math.ceil(_SMALLEST_SIDE / max(image.shape[:2]))))
    canvas = _enlarged(image, factor).copy()
    width = max(1, round(max(canvas.shape[:2]) / 640))
    order = range(len(found) - 1, -1, -1)
    for index in order:
        _draw_mask(canvas, found, index, factor, width)
    for index in order:
        x0, y0, x1, y1 = (round(float(v) * factor) for v in found.boxes[index])
        cv2.rectangle(canvas, (x0, y0), (max(x0, x1 - 1), max(y0, y1 - 1)), _color(found, index), width, cv2.LINE_AA)
    for index in order:
        _draw_label(canvas, found, index, factor, classes)
    return canvas


def _enlarged(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    return image if factor == 1 else np.repeat(np.repeat(image, factor, axis=0), factor, axis=1)


def _color(found: Instances, index: int) -> Color:
    """BGR. Classes lie a golden angle apart on the wheel; instances of a class differ a little in hue."""
    hue = (int(found.classes[index]) * 0.618034 + 0.58 + (index % 5 - 2) * 0.025) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 1.0)
    return round(blue * 255), round(green * 255), round(red * 255)


def _draw_mask(canvas: NDArray[np.uint8], found: Instances, index: int, factor: int, width: int) -> None:
    x, y, mask = decode_inside(found.rles[index])
    if mask.size == 0:
        return
    h, w = mask.shape
    mask = _enlarged(mask, factor)
    color = _color(found, index)
    area = canvas[y * factor : (y + h) * factor, x * factor : (x + w) * factor]
    table = np.arange(256)[:, None] * (1 - _TINT) + np.array(color) * _TINT
    cv2.copyTo(cv2.LUT(area, np.rint(table).astype(np.uint8)[:, None]), mask, area)  # into the canvas
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, outlines, -1, color, width, cv2.LINE_AA, offset=(x * factor, y * factor))


def _draw_label(canvas: NDArray[np.uint8], found: Instances, index: int, factor: int, classes: tuple[str, ...]) -> None:
    number = int(found.classes[index])
    name = classes[number] if number < len(classes) else ""
    if not name.isascii() or not name:  # OpenCV's fonts have no other letters
        name = f"class {number}"
    text = f"{name} {found.scores[index]:.2f}"
    height, width = canvas.shape[:2]
    size = min(1.6, max(0.36, max(height, width) / 1400))
    thickness = max(1, round(size * 1.4))
    (text_width, text_height), below = cv2.getTextSize(text, _FONT, size, thickness)
    pad = max(2, text_height // 4)
    full_width, full_height = text_width + 2 * pad, text_height + below + pad
    x = max(0, min(round(float(found.boxes[index, 0]) * factor), width - full_width))
    top = round(float(found.boxes[index, 1]) * factor)
    y = top - full_height if top >= full_height else min(top, max(0, height - full_height))
    color = _color(found, index)
    cv2.rectangle(canvas, (x, y), (x + full_width, y + full_height), color, cv2.FILLED)
    blue, green, red = color
    ink = (0, 0, 0) if 0.114 * blue + 0.587 * green + 0.299 * red > 128 else (255, 255, 255)
    cv2.putText(canvas, text, (x + pad, y + text_height + pad // 2), _FONT, size, ink, thickness, cv2.LINE_AA)
