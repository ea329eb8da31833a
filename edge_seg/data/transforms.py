"""An image with its objects → the network's input with its targets.

Image, boxes and masks go through the same three steps: scale, mirror, place in a window. Pixels are scaled and
normalised by the functions that the runtime uses, so that a model is trained on what it will see.

Shapes: h, w = sides of the image; h', w' = sides after scaling; H, W = sides of the window, the network's input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_seg.data.coco import Annotation, ImageRecord, decode
from edge_seg.data.colors import Jitter
from edge_seg.data.mask_target import Axis, Bitmap, Clipped, Outline, Polygons
from edge_seg.errors import DataError, ImageError
from edge_seg.manifest import PreprocessSpec
from edge_seg.runtime import preprocess
from edge_seg.runtime.image import read_image

LEAST_LEFT = 0.2
"""An object of which the window holds less than this part is no target: one could not tell what it is."""

LEAST_SIDE = 1.0
"""Nor is one whose box is narrower than this, in input pixels: real sets hold boxes without any area."""

_PROBE = 28
"""Cells a side at which an object must show in its own box: real sets hold outlines without any area."""


@dataclass(frozen=True)
class Placement:
    """How an image lies in the window: scaled to h' x w', mirrored or not, its upper left corner at (left, top).

    ``left`` and ``top`` are negative where the image is larger than the window, and part of it is left out. ``flipped``
    turns it upside down. Only what lies in ``frame`` (left, top, right, bottom in the window) is shown.
    """

    scaled_width: int
    scaled_height: int
    mirrored: bool = False
    left: int = 0
    top: int = 0
    flipped: bool = False
    frame: tuple[int, int, int, int] | None = None

    @property
    def extent(self) -> tuple[int, int]:
        """(height, width) that a window needs to show all of it."""
        if self.frame is not None:
            return self.frame[3], self.frame[2]
        return self.top + self.scaled_height, self.left + self.scaled_width

    def turn(self, scaled: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The scaled image or mask, uint8[h', w', …], mirrored and flipped as it is to lie in the window."""
        return scaled[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]

    def axes(self, record: ImageRecord) -> tuple[Axis, Axis]:
        """Pixels of the record's image → pixels of the window, along x and y."""
        x, y = self.scaled_width / record.width, self.scaled_height / record.height
        across = Axis(-x, self.scaled_width + self.left) if self.mirrored else Axis(x, self.left)
        return across, Axis(-y, self.scaled_height + self.top) if self.flipped else Axis(y, self.top)


@dataclass(frozen=True)
class Targets:
    """boxes float32[G, 4], labels int64[G] and G outlines: as in a batch, for one image."""

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    outlines: list[Outline]


def open_image(record: ImageRecord) -> NDArray[np.uint8]:
    """The record's image, uint8[h, w, 3] BGR; raises :class:`DataError` when it can't be read or has another size."""
    try:
        image = read_image(record.path)
    except ImageError as problem:
        raise DataError(problem.message, remedy=problem.remedy) from None
    height, width = image.shape[:2]
    if (height, width) == (record.height, record.width):
        return image
    hint = "correct the sizes (and check the outlines), or bring back the image that was annotated"
    if (width, height) == (record.height, record.width):
        hint = (
            "the image is stored on its side and its EXIF data says how to turn it, but it was annotated unturned: "
            "save it without EXIF orientation, or annotate it upright"
        )
    raise DataError(
        f"{record.path}: {width} x {height} pixels, its annotations say {record.width} x {record.height}",
        remedy=hint,
    )


def letterbox(record: ImageRecord, size: tuple[int, int], zoom: float = 1.0) -> tuple[int, int]:
    """(h', w') of the image fitted into ``size`` (H, W), as at run time, then made ``zoom`` times larger."""
    geometry = preprocess.letterbox(record.width, record.height, size)
    if zoom == 1.0:
        return geometry.scaled_height, geometry.scaled_width
    return _round(geometry.scaled_height * zoom), _round(geometry.scaled_width * zoom)


def short_side(record: ImageRecord, short: int, long: int) -> tuple[int, int]:
    """(h', w') when the shorter side becomes ``short``, or less where the longer one would exceed ``long``."""
    sides = record.height, record.width
    scale = min(short / min(sides), long / max(sides))
    return _round(record.height * scale), _round(record.width * scale)


def put_image(
    image: NDArray[np.uint8],
    placement: Placement,
    spec: PreprocessSpec,
    out: NDArray[np.float32],
    jitter: Jitter | None = None,
) -> tuple[int, int]:
    """Writes the image into ``out``, float32[3, H, W], which holds the padding; returns (h, w), where it ends."""
    scaled = placement.turn(preprocess.resize(image, placement.scaled_width, placement.scaled_height))
    (rows, columns), source = _overlap(placement, out.shape[1:])
    shown = np.ascontiguousarray(scaled[source])
    preprocess.normalize(shown if jitter is None else jitter(shown), spec, out[:, rows, columns])
    return rows.stop, columns.stop


def put_targets(record: ImageRecord, placement: Placement, height: int, width: int) -> Targets:
    """The record's objects in a window of ``height`` x ``width``, without crowds and without what is almost outside."""
    boxes: list[tuple[float, float, float, float]] = []
    labels: list[int] = []
    outlines: list[Outline] = []
    (rows, columns), _ = _overlap(placement, (height, width))
    window = (columns.start, rows.start, columns.stop, rows.stop)
    x, y = placement.axes(record)
    for annotation in record.annotations:
        if annotation.crowd:
            continue
        box: tuple[float, float, float, float] | None = _place_box(annotation, x, y)
        if box is not None and not _holds(window, box):
            box = _visible_box(annotation, record, placement, (height, width))
        if box is None:
            continue
        # A fraction of a pixel can stick out though no pixel of the mask is cut.
        box = (max(box[0], window[0]), max(box[1], window[1]), min(box[2], window[2]), min(box[3], window[3]))
        if box[2] - box[0] < LEAST_SIDE or box[3] - box[1] < LEAST_SIDE:
            continue
        whole = place_outline(annotation, record, x, y)
        outline = whole if placement.frame is None else Clipped(whole, placement.frame)
        if not outline.inside(box, _PROBE).any():
            continue
        boxes.append(box)
        labels.append(annotation.label)
        outlines.append(outline)
    return Targets(np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64), outlines)


def place_outline(annotation: Annotation, record: ImageRecord, x: Axis, y: Axis) -> Polygons | Bitmap:
    """The object's outline where it lies in the input."""
    if isinstance(annotation.segmentation, list):
        return Polygons.placed(annotation.segmentation, x, y)
    return Bitmap.placed(decode(annotation.segmentation, record.height, record.width), x, y)


def scale_mask(annotation: Annotation, record: ImageRecord, height: int, width: int) -> NDArray[np.uint8]:
    """The object's mask, uint8[height, width] of 0 and 1, in the image scaled to that size.

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
    """Where image and window overlap: (rows, columns) of the window, and of the scaled image."""
    top, left = placement.top, placement.left
    x0, y0, x1, y1 = placement.frame or (0, 0, window[1], window[0])
    rows = slice(max(0, y0, top), min(window[0], y1, top + placement.scaled_height))
    columns = slice(max(0, x0, left), min(window[1], x1, left + placement.scaled_width))
    source = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    return (rows, columns), source


def _place_box(annotation: Annotation, x: Axis, y: Axis) -> tuple[float, float, float, float]:
    sides = np.array(annotation.box, np.float64)
    (x0, x1), (y0, y1) = np.sort(x.there(sides[0::2])), np.sort(y.there(sides[1::2]))
    return float(x0), float(y0), float(x1), float(y1)


def _holds(window: tuple[int, ...], box: tuple[float, ...]) -> bool:
    """Whether less than a pixel of ``box`` lies outside the ``window``."""
    return box[0] > window[0] - 1 and box[1] > window[1] - 1 and box[2] < window[2] + 1 and box[3] < window[3] + 1


def _visible_box(
    annotation: Annotation, record: ImageRecord, placement: Placement, window: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """Of an object that the window cuts: the annotated box would count what is no longer there. None: too little is."""
    (rows, columns), source = _overlap(placement, window)
    scaled = placement.turn(scale_mask(annotation, record, placement.scaled_height, placement.scaled_width))
    kept = scaled[source]
    pixels = int(np.count_nonzero(kept))
    if pixels == 0 or pixels < LEAST_LEFT * int(np.count_nonzero(scaled)):
        return None
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(kept))
    left, top = columns.start + x, rows.start + y
    return float(left), float(top), float(left + width), float(top + height)
