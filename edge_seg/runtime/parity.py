"""How far two results for one image differ: instances matched by class and overlap, then compared one by one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from edge_seg.runtime.result import Instances

LEAST_OVERLAP = 0.5


@dataclass(frozen=True)
class Parity:
    """``box_px``, ``score``, ``mask_iou`` and ``mask_pixels`` are the worst of the ``matched`` pairs.

    ``mask_pixels`` is the number of pixels in which a pair's masks differ.
    """

    expected: int
    found: int
    matched: int
    box_px: float
    score: float
    mask_iou: float
    mask_pixels: int

    @property
    def share(self) -> float:
        """Matched pairs as a part of the larger result; 1 when both are empty."""
        return self.matched / max(self.expected, self.found) if max(self.expected, self.found) else 1.0


def compare(expected: Instances, found: Instances, *, least_score: float = 0.0) -> Parity:
    """The worst differences of the pairs that :func:`match` finds, of the :func:`confident` instances alone."""
    if least_score > 0:
        expected, found = confident_of(expected, found, least_score)
    pairs = match(expected, found)
    masks = [mask_difference(expected.rles[row], found.rles[column]) for row, column in pairs]
    return Parity(
        expected=len(expected),
        found=len(found),
        matched=len(pairs),
        box_px=max((float(np.abs(expected.boxes[r] - found.boxes[c]).max()) for r, c in pairs), default=0.0),
        score=max((float(abs(expected.scores[r] - found.scores[c])) for r, c in pairs), default=0.0),
        mask_iou=min((iou for iou, _ in masks), default=1.0),
        mask_pixels=max((pixels for _, pixels in masks), default=0),
    )


def confident(expected: Instances, found: Instances, least: float) -> list[NDArray[np.bool_]]:
    """For each side, which instances score at least ``least``, or have a partner on the other side that does.

    Where a model's arithmetic is coarse, what it is unsure of comes and goes.
    """
    keep = [instances.scores >= least for instances in (expected, found)]
    for row, column in match(expected, found):
        keep[0][row] = keep[1][column] = keep[0][row] or keep[1][column]
    return keep


def confident_of(expected: Instances, found: Instances, least: float) -> tuple[Instances, Instances]:
    """The instances that :func:`confident` keeps."""
    keep = confident(expected, found, least)
    return only(expected, keep[0]), only(found, keep[1])


def only(instances: Instances, keep: NDArray[np.bool_]) -> Instances:
    """The instances that ``keep`` marks."""
    return dataclasses.replace(
        instances,
        boxes=instances.boxes[keep],
        scores=instances.scores[keep],
        classes=instances.classes[keep],
        rles=[rle for rle, kept in zip(instances.rles, keep, strict=True) if kept],
    )


def match(expected: Instances, found: Instances) -> list[tuple[int, int]]:
    """Pairs each expected instance, best first, with the free one of its class that overlaps it most (IoU >= 0.5)."""
    overlap = _box_iou(expected.boxes, found.boxes)
    overlap[expected.classes[:, None] != found.classes[None, :]] = 0.0
    pairs = []
    for row in range(len(expected)):
        if not len(found):
            break
        column = int(overlap[row].argmax())
        if overlap[row, column] >= LEAST_OVERLAP:
            pairs.append((row, column))
            overlap[:, column] = 0.0
    return pairs


def _box_iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """IoU [A, B]; two boxes without area that lie on each other have 1."""
    corner = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.clip(corner[1] - corner[0], 0, None).prod(axis=2, dtype=np.float64)
    areas = [(box[:, 2:] - box[:, :2]).prod(axis=1, dtype=np.float64) for box in (a, b)]
    union = areas[0][:, None] + areas[1][None, :] - inter
    same = np.abs(a[:, None] - b[None]).max(axis=2, initial=0.0) <= 0.5
    return np.where(union > 0, inter / np.maximum(union, 1e-12), same.astype(np.float64))


def mask_difference(a: dict[str, Any], b: dict[str, Any]) -> tuple[float, int]:
    """IoU of two COCO run-length codes, and in how many pixels they differ; two empty masks are equal."""
    either = int(coco_mask.area(coco_mask.merge([a, b])))
    both = int(coco_mask.area(coco_mask.merge([a, b], intersect=True)))
    return (both / either if either else 1.0), either - both


@dataclass(frozen=True)
class Tolerance:
    """How far an engine may be from paddle in fp32; past it, a conversion has failed.

    ``box_px`` is in pixels of the image, or of the input where the image is the larger of the two. A mask may miss
    ``mask_iou`` by up to ``mask_pixels`` pixels: at the threshold a rounding error flips a pixel, and small masks have
    few. ``feature`` is the largest difference of P2 to P5, as a part of the map's largest value. Only instances are
    judged that score ``least_score`` on one side.
    """

    matched: float = 0.99
    box_px: float = 0.01
    score: float = 1e-4
    mask_iou: float = 0.999
    mask_pixels: int = 2
    feature: float = 1e-3
    least_score: float = 0.0
