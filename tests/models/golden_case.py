"""One small case of training for this project's models and for PaddleDetection's, see tools/paddledet_golden.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODELS = ("mask_rcnn_r18_fpn", "mask_rcnn_r50_fpn", "mask_rcnn_hrnet_fpn")
SEED = 5
CLASSES = 3
SIZE = (64, 96)
SHOWN = ((64, 80), (48, 96))
"""Where the two images end; the rest is padding."""
ALL = 100_000
"""More anchors or proposals than there are: all take part, and no random draw is left."""
LOSSES = ("rpn_cls", "rpn_reg", "box_cls", "box_reg", "mask")
_KEPT = 48


@dataclass(frozen=True)
class Case:
    """Two images float32[2, 3, H, W], and for each the objects' boxes, labels and outlines (polygons, input pixels)."""

    images: NDArray[np.float32]
    boxes: list[NDArray[np.float32]]
    labels: list[NDArray[np.int64]]
    polygons: list[list[NDArray[np.float64]]]


def make_case() -> Case:
    """The case; nothing in it is drawn by a generator that may change."""
    rng = np.random.Generator(np.random.Philox(key=SEED))
    images = np.zeros((2, 3, *SIZE), np.float32)
    for image, (height, width) in zip(images, SHOWN, strict=True):
        coarse = rng.normal(size=(3, 8, 8))
        y, x = np.linspace(0, 7, height).astype(int), np.linspace(0, 7, width).astype(int)
        image[:, :height, :width] = coarse[:, y][:, :, x] + 0.3 * rng.normal(size=(3, height, width))
    circles = [[(22.3, 20.1, 13.7), (55.5, 40.2, 18.2)], [(30.6, 24.4, 21.9)]]
    boxes, polygons = [], []
    angles = np.arange(24) * (2 * np.pi / 24)
    for found in circles:
        outlines = [np.stack([x + r * np.cos(angles), y + r * np.sin(angles)], axis=1) for x, y, r in found]
        boxes.append(np.array([[*o.min(axis=0), *o.max(axis=0)] for o in outlines], np.float32))
        polygons.append([o.reshape(-1) for o in outlines])
    return Case(images, boxes, [np.array([0, 2]), np.array([1])], polygons)


def summary(name: str, value: Any) -> dict[str, NDArray[Any]]:
    """What is kept of an array: shape, mean, standard deviation, and values at places that its size decides."""
    flat = np.asarray(value, np.float32).reshape(-1)
    places = np.linspace(0, len(flat) - 1, min(_KEPT, len(flat))).astype(np.int64)
    return {
        f"{name}.shape": np.array(np.shape(value)),
        f"{name}.moments": np.array([flat.mean(), flat.std()], np.float64),
        f"{name}.values": flat[places],
    }
