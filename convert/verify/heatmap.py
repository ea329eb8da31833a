"""Images of where two stages differ: uint8[h, w, 3] BGR, drawn over the image that both were given."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from convert.export.ties import pair_proposals
from convert.verify.trace import Trace
from edge_seg.manifest import FEATURES
from edge_seg.runtime.parity import match
from edge_seg.runtime.preprocess import letterbox, resize
from edge_seg.runtime.result import Instances

EXPECTED, FOUND = (80, 210, 60), (220, 60, 230)
"""Colours, BGR, of what the previous stage has (green) and of what this one has (magenta)."""
_WORST_BOXES = 8
_SIDES = 480, 960
"""The longer side of an image of where, at least and at most."""

Image = NDArray[np.uint8]


def heat(image: Image, amount: NDArray[np.floating[Any]], size: tuple[int, int]) -> Image:
    """``amount``, float[a, b] over the whole input of ``size`` (H, W), as a glow on what the input shows."""
    canvas = _canvas(image, size)
    finite = np.nan_to_num(amount, nan=np.inf).clip(0, 1e30).astype(np.float32)
    spread = cv2.resize(finite, (canvas.shape[1], canvas.shape[0]))
    strength = (spread / max(1e-30, float(spread.max())))[:, :, None]
    glow = cv2.applyColorMap((strength[:, :, 0] * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    grey = cv2.cvtColor(cv2.cvtColor(canvas, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return np.asarray(grey * 0.55 * (1 - strength) + glow * strength).clip(0, 255).astype(np.uint8)


def where(tensor: str, expected: Trace, found: Trace, image: Image, size: tuple[int, int]) -> Image | None:
    """Where ``tensor`` differs between two traces of ``image``; None for a tensor that lies nowhere."""
    if tensor in FEATURES and expected.detect[tensor].shape == found.detect[tensor].shape:
        return heat(image, np.abs(expected.detect[tensor] - found.detect[tensor])[0].max(axis=0), size)
    if tensor in ("proposals", "scores") and expected.detect["boxes"].shape == found.detect["boxes"].shape:
        return _proposals(expected, found, image, size)
    return where_instances(tensor, expected.instances, found.instances, image)


def where_instances(tensor: str, expected: Instances, found: Instances, image: Image) -> Image | None:
    """Like :func:`where`, for what is known of a device's or a golden result."""
    if tensor in ("instances", "kept boxes", "kept scores"):
        return _boxes(image, expected.boxes, found.boxes)
    if tensor in ("masks", "mask values"):
        return _masks(image, expected, found)
    return None


def draw_boxes(image: Image, expected: NDArray[np.float32], found: NDArray[np.float32]) -> Image:
    """Boxes float32[N, 4] in image pixels, the expected ones thicker, so that both can be seen where they agree."""
    return _boxes(image, expected, found)


def _canvas(image: Image, size: tuple[int, int]) -> Image:
    """What the network's input shows, padding grey."""
    geometry = letterbox(image.shape[1], image.shape[0], size)
    canvas = np.full((*size, 3), 118, np.uint8)
    canvas[: geometry.scaled_height, : geometry.scaled_width] = resize(
        image, geometry.scaled_width, geometry.scaled_height
    )
    return fitted(canvas)[0]


def fitted(image: Image) -> tuple[Image, float]:
    """The image enlarged or reduced to a size that suits a report, and by how much."""
    longest = max(image.shape[:2])
    factor = min(max(1.0, _SIDES[0] / longest), _SIDES[1] / longest)
    if factor == 1.0:
        return image.copy(), 1.0
    how = cv2.INTER_NEAREST if factor > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=how), np.uint8), factor


def _proposals(expected: Trace, found: Trace, image: Image, size: tuple[int, int]) -> Image:
    columns = pair_proposals(expected.detect["boxes"], found.detect["boxes"])
    boxes = np.abs(expected.detect["boxes"] - found.detect["boxes"][columns]).max(axis=(1, 2))
    scores = np.abs(expected.detect["scores"] - found.detect["scores"][columns]).max(axis=1)
    worst = np.argsort(-np.nan_to_num(boxes + scores, nan=np.inf))[:_WORST_BOXES]
    label = expected.detect["scores"][worst, :-1].argmax(axis=1)
    pairs = expected.detect["boxes"][worst, label], found.detect["boxes"][columns[worst], label]
    geometry = letterbox(image.shape[1], image.shape[0], size)
    scale = np.array([geometry.scale_x, geometry.scale_y] * 2, np.float32)
    return _boxes(image, pairs[0] / scale, pairs[1] / scale)


def _boxes(image: Image, expected: NDArray[np.float32], found: NDArray[np.float32]) -> Image:
    canvas, factor = fitted(image)
    limit = 4 * max(canvas.shape[:2])  # far beyond the image, but within what OpenCV can draw
    for boxes, color, width in ((expected, EXPECTED, 4), (found, FOUND, 1)):
        for box in np.nan_to_num(boxes * factor).clip(-limit, limit).round().astype(int).tolist():
            cv2.rectangle(canvas, tuple(box[:2]), tuple(box[2:]), color, width, cv2.LINE_AA)
    return canvas


def _masks(image: Image, expected: Instances, found: Instances) -> Image:
    """Pixels that only the expected masks have, and only the found ones, of each matched pair."""
    canvas = image.astype(np.float64) * 0.55
    for row, column in match(expected, found):
        a, b = (
            Instances(one.height, one.width, rles=[one.rles[at]]).masks[0]
            for one, at in ((expected, row), (found, column))
        )
        canvas[a & ~b], canvas[b & ~a] = EXPECTED, FOUND
    return fitted(canvas.astype(np.uint8))[0]
