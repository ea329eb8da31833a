"""Boxes and scores of the `detect` graph → the detections that are kept: per-class NMS, then the best of all classes.

Shapes: R proposals, C classes, K candidates, N detections. Boxes are (x0, y0, x1, y1).

The rule, exact to the last bit (the C++ runner is tested against it; float32 throughout, nothing contracted to FMA):

1. A (proposal, class) pair is a *candidate* when ``score > score_threshold`` and its box has ``x0 < x1``, ``y0 < y1``
   and overlaps the image's part of the input: ``x0 < width``, ``y0 < height``, ``x1 > 0``, ``y1 > 0``.
2. Candidates are ordered by score, highest first; equal scores by proposal, then by class, lowest first.
3. They are taken in this order. One is dropped when an earlier kept one of its class overlaps it too much:
   ``inter > nms_iou * ((area_a + area_b) - inter)``, where a is the earlier one,
   ``inter = max(0, min(x1) - max(x0)) * max(0, min(y1) - max(y0))`` and ``area = (x1 - x0) * (y1 - y0)``.
4. It ends with ``keep`` kept.

With ``instances`` given, N is exactly that: the first N kept ones, and where there are fewer, the pairs that follow in
the order of (2) among all R * C pairs not kept, whatever their score or box. So the cost of N objects can be measured
with any weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_seg.errors import UsageError
from edge_seg.manifest import PostprocessSpec
from edge_seg.runtime.preprocess import Geometry


@dataclass(frozen=True)
class Detections:
    """What NMS kept, best first: boxes float32[N, 4], input pixels, unclipped; scores float32[N]; classes int64[N]."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.scores)


def select(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    spec: PostprocessSpec,
    *,
    extent: tuple[float, float] = (math.inf, math.inf),
    score_threshold: float | None = None,
    instances: int | None = None,
) -> Detections:
    """The module's rule on boxes float32[R, C, 4] and scores float32[R, C + 1] (the last column is the background).

    ``extent`` is the scaled image's (height, width) in the input, unlimited unless given. ``score_threshold`` takes
    the place of the spec's; ``instances`` is at most R * C, else :class:`UsageError`.
    """
    foreground = scores[:, :-1]
    threshold = np.float32(spec.score_threshold if score_threshold is None else score_threshold)
    pairs = np.flatnonzero(foreground > threshold)
    x0, y0, x1, y1 = boxes.reshape(-1, 4)[pairs].T
    height, width = np.float32(extent[0]), np.float32(extent[1])
    pairs = pairs[(x0 < x1) & (y0 < y1) & (x0 < width) & (y0 < height) & (x1 > 0) & (y1 > 0)]
    pairs = _by_score(foreground.ravel(), pairs)
    kept = pairs[_nms(boxes.reshape(-1, 4)[pairs], pairs % foreground.shape[1], np.float32(spec.nms_iou), spec.keep)]
    if instances is not None:
        kept = _exactly(instances, kept, foreground.ravel())
    return Detections(
        boxes.reshape(-1, 4)[kept], foreground.ravel()[kept], (kept % foreground.shape[1]).astype(np.int64)
    )


def _by_score(scores: NDArray[np.float32], pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    # A pair's number is proposal * C + class, so a stable sort leaves equal scores in the order of rule 2.
    return pairs[np.argsort(-scores[pairs], kind="stable")]


def _nms(boxes: NDArray[np.float32], classes: NDArray[np.intp], limit: np.float32, keep: int) -> NDArray[np.intp]:
    """Which of K boxes, best first, remain (at most ``keep``), as rising indices."""
    # Grouped by class, so that the rivals of a box are the slice behind it; in a group the order stays best first.
    grouped = np.argsort(classes, kind="stable")
    place = np.empty_like(grouped)
    place[grouped] = np.arange(len(grouped))
    ends = np.searchsorted(classes[grouped], classes, side="right")
    x0, y0, x1, y1 = np.ascontiguousarray(boxes[grouped].T)
    area = (x1 - x0) * (y1 - y0)
    alive = np.ones(len(boxes), bool)
    kept: list[int] = []
    zero = np.float32(0)
    for index, (at, end) in enumerate(zip(place.tolist(), ends.tolist(), strict=True)):
        if not alive[at]:
            continue
        kept.append(index)
        if len(kept) == keep:
            break
        later = slice(at + 1, end)
        if at + 1 < end:
            across = np.maximum(zero, np.minimum(x1[at], x1[later]) - np.maximum(x0[at], x0[later]))
            down = np.maximum(zero, np.minimum(y1[at], y1[later]) - np.maximum(y0[at], y0[later]))
            inter = across * down
            alive[later] &= ~(inter > limit * ((area[at] + area[later]) - inter))
    return np.array(kept, np.intp)


def _exactly(count: int, kept: NDArray[np.intp], scores: NDArray[np.float32]) -> NDArray[np.intp]:
    if count > len(scores):
        raise UsageError(f"instances: {count} asked for, but the model proposes only {len(scores)}")
    if len(kept) >= count:
        return kept[:count]
    # Of the best `count` pairs at most len(kept) are kept already, so the rest of them fills the gap. Only they are
    # sorted: sorting all R * C would cost more than NMS does.
    lowest = -np.partition(-scores, count - 1)[count - 1]
    best = _by_score(scores, np.flatnonzero(scores >= lowest))
    others = best[~np.isin(best, kept)]
    return np.concatenate([kept, others[: count - len(kept)]])


def to_image(boxes: NDArray[np.float32], geometry: Geometry) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes float32[N, 4] in input pixels → in image pixels: as they are, and clipped to the image.

    Each coordinate is divided, in float32, by float32(scale). Masks are pasted into the former, because that is what
    the mask graph saw; the latter is what is reported.
    """
    scale = np.array([geometry.scale_x, geometry.scale_y] * 2, np.float32)
    whole = boxes / scale
    limit = np.array([geometry.width, geometry.height] * 2, np.float32)
    return whole, np.minimum(np.maximum(whole, np.float32(0)), limit)
