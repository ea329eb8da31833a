"""A picture with its objects → the network's input with its targets.

Picture, boxes and masks go through the same three steps: scale, mirror, place in a window. Pixels are scaled and
normalised by the functions that the runtime uses, so that a model is trained on what it will see.

Shapes: h, w = sides of the picture; h', w' = sides after scaling; H, W = sides of the window, the network's input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_seg.data.coco import Annotation, ImageRecord, decode
from edge_seg.errors import DataError, ImageError
from edge_seg.manifest import PreprocessSpec
from edge_seg.runtime import preprocess
from edge_seg.runtime.image import read_image

LEAST_LEFT = 0.2
"""An object of which the window holds less than this part is no target: one could not tell what it is."""

LEAST_SIDE = 1.0
"""Nor is one whose box is narrower than this, in input pixels: real sets hold boxes without any area."""


@dataclass(frozen=True)
class Placement:
    """How a picture lies in the window: scaled to h' x w', mirrored or not, its upper left corner at (left, top).

    ``left`` and ``top`` are negative where the picture is larger than the window, and part of it is left out.
    """

    scaled_width: int
    scaled_height: int
    mirrored: bool = False
    left: int = 0
    top: int = 0


@dataclass(frozen=True)
class Targets:
    """boxes float32[G, 4], labels int64[G], masks uint8[G, H, W]: as in a batch, for one picture."""

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: NDArray[np.uint8]


def open_picture(record: ImageRecord) -> NDArray[np.uint8]:
    """The record's picture, uint8[h, w, 3] BGR; raises :class:`DataError` when it can't be read or has another size."""
    try:
        image = read_image(record.path)
    except ImageError as problem:
        raise DataError(problem.message, remedy=problem.remedy) from None
    height, width = image.shape[:2]
    if (height, width) == (record.height, record.width):
        return image
    hint = "correct the sizes (and check the outlines), or bring back the picture that was annotated"
    if (width, height) == (record.height, record.width):
        hint = (
            "the picture is stored on its side and its EXIF data says how to turn it, but it was annotated unturned: "
            "save it without EXIF orientation, or annotate it upright"
        )
    raise DataError(
        f"{record.path}: {width} x {height} pixels, its annotations say {record.width} x {record.height}",
        remedy=hint,
    )


def letterbox(record: ImageRecord, size: tuple[int, int], zoom: float = 1.0) -> tuple[int, int]:
    """(h', w') of the picture fitted into ``size`` (H, W), as at run time, then made ``zoom`` times larger."""
    geometry = preprocess.letterbox(record.width, record.height, size)
    if zoom == 1.0:
        return geometry.scaled_height, geometry.scaled_width
    return _round(geometry.scaled_height * zoom), _round(geometry.scaled_width * zoom)


def short_side(record: ImageRecord, short: int, long: int) -> tuple[int, int]:
    """(h', w') when the shorter side becomes ``short``, or less where the longer one would exceed ``long``."""
    sides = record.height, record.width
    scale = min(short / min(sides), long / max(sides))
    return _round(record.height * scale), _round(record.width * scale)


def put_picture(
    image: NDArray[np.uint8], placement: Placement, spec: PreprocessSpec, out: NDArray[np.float32]
) -> tuple[int, int]:
    """Writes the picture into ``out``, float32[3, H, W], which holds the padding; returns (h, w), where it ends."""
    scaled = preprocess.resize(image, placement.scaled_width, placement.scaled_height)
    if placement.mirrored:
        scaled = np.ascontiguousarray(scaled[:, ::-1])
    (rows, columns), source = _overlap(placement, out.shape[1:])
    preprocess.normalize(np.ascontiguousarray(scaled[source]), spec, out[:, rows, columns])
    return rows.stop, columns.stop


def put_targets(record: ImageRecord, placement: Placement, height: int, width: int) -> Targets:
    """The record's objects in a window of ``height`` x ``width``, without crowds and without what is almost outside."""
    boxes: list[tuple[float, float, float, float]] = []
    labels: list[int] = []
    masks: list[NDArray[np.uint8]] = []
    (rows, columns), source = _overlap(placement, (height, width))
    whole = (placement.scaled_height, placement.scaled_width)
    cropped = (source[0].stop - source[0].start, source[1].stop - source[1].start) != whole
    for annotation in record.annotations:
        if annotation.crowd:
            continue
        scaled = scale_mask(annotation, record, *whole)
        if placement.mirrored:
            scaled = scaled[:, ::-1]
        kept = scaled[source]
        pixels = int(np.count_nonzero(kept))
        total = int(np.count_nonzero(scaled)) if cropped else pixels
        if pixels == 0 or pixels < LEAST_LEFT * total:
            continue
        mask = np.zeros((height, width), np.uint8)
        mask[rows, columns] = kept
        box = _mask_box(mask) if pixels < total else _scale_box(annotation, record, placement)
        # A fraction of a pixel can stick out though no pixel of the mask is cut.
        box = (max(box[0], columns.start), max(box[1], rows.start), min(box[2], columns.stop), min(box[3], rows.stop))
        if box[2] - box[0] < LEAST_SIDE or box[3] - box[1] < LEAST_SIDE:
            continue
        boxes.append(box)
        labels.append(annotation.label)
        masks.append(mask)
    return Targets(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int64),
        np.stack(masks) if masks else np.zeros((0, height, width), np.uint8),
    )


def scale_mask(annotation: Annotation, record: ImageRecord, height: int, width: int) -> NDArray[np.uint8]:
    """The object's mask, uint8[height, width] of 0 and 1, in the picture scaled to that size.

    Polygons are scaled, then drawn, which is exact. Run lengths are drawn and scaled, and a pixel belongs to the object
    when at least half of it is covered: OpenCV's nearest neighbour would shift the outline by up to half a pixel.
    """
    if (height, width) == (record.height, record.width):
        return decode(annotation.segmentation, height, width)
    if isinstance(annotation.segmentation, list):
        scale = (width / record.width, height / record.height)
        return decode(
            [[value * scale[i % 2] for i, value in enumerate(polygon)] for polygon in annotation.segmentation],
            height,
            width,
        )
    mask = decode(annotation.segmentation, record.height, record.width) * np.uint8(255)
    shrinks = height * width < record.height * record.width
    scaled = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return (scaled >= 128).view(np.uint8)


def _round(side: float) -> int:
    return max(1, math.floor(side + 0.5))


def _overlap(placement: Placement, window: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where picture and window overlap: (rows, columns) of the window, and of the scaled picture."""
    top, left = placement.top, placement.left
    rows = slice(max(0, top), min(window[0], top + placement.scaled_height))
    columns = slice(max(0, left), min(window[1], left + placement.scaled_width))
    source = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    return (rows, columns), source


def _scale_box(annotation: Annotation, record: ImageRecord, placement: Placement) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = annotation.box
    scale_x, scale_y = placement.scaled_width / record.width, placement.scaled_height / record.height
    x0, x1 = x0 * scale_x, x1 * scale_x
    if placement.mirrored:
        x0, x1 = placement.scaled_width - x1, placement.scaled_width - x0
    return x0 + placement.left, y0 * scale_y + placement.top, x1 + placement.left, y1 * scale_y + placement.top


def _mask_box(mask: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    """Of an object that the window cuts: the annotated box would speak of what is no longer there."""
    x, y, width, height = cv2.boundingRect(mask)
    return float(x), float(y), float(x + width), float(y + height)
