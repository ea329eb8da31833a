"""Bundles of one graph, `full`: models that were exported elsewhere, with the non-maximum suppression inside.

``image`` float32[1, 3, H, W] (and, where the graph asks for it, ``im_shape`` float32[1, 2]: height and width of the
scaled image) → ``detections`` float32[K, 6]: class, score, box in input pixels; ``masks`` float32[K, M, M]. K is at
least 1 in such graphs: they hold a fake box with a score of 0, because libraries abort on none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.manifest import GraphSpec, PostprocessSpec
from edge_seg.runtime.postprocess import Detections
from edge_seg.runtime.preprocess import Geometry

FULL = "full"


def inputs_of(spec: GraphSpec, blob: NDArray[np.float32], geometry: Geometry) -> dict[str, NDArray[Any]]:
    """What the graph ``spec`` is fed with for an image that was made into ``blob``."""
    known = {"image": blob, "im_shape": np.array([[geometry.scaled_height, geometry.scaled_width]], np.float32)}
    return {tensor.name: known[tensor.name] for tensor in spec.inputs}


def select(
    outputs: dict[str, NDArray[Any]],
    classes: int,
    spec: PostprocessSpec,
    extent: tuple[float, float],
    score_threshold: float | None,
) -> tuple[Detections, NDArray[np.float32]]:
    """The detections that are kept, best first (equal scores in the graph's order), and their masks.

    Kept are those with a known class, a score above the threshold, and a box that has an area and overlaps the image,
    whose (height, width) in the input is ``extent``; at most ``spec.keep``.
    """
    rows, masks = outputs["detections"], outputs["masks"]
    labels, scores, boxes = rows[:, 0], rows[:, 1], rows[:, 2:]
    threshold = np.float32(spec.score_threshold if score_threshold is None else score_threshold)
    x0, y0, x1, y1 = boxes.T
    height, width = np.float32(extent[0]), np.float32(extent[1])
    good = (scores > threshold) & (scores > 0) & (labels >= 0) & (labels < classes)
    good &= (x0 < x1) & (y0 < y1) & (x0 < width) & (y0 < height) & (x1 > 0) & (y1 > 0)
    kept = np.flatnonzero(good)
    kept = kept[np.argsort(-scores[kept], kind="stable")][: spec.keep]
    found = Detections(np.ascontiguousarray(boxes[kept]), scores[kept], labels[kept].astype(np.int64))
    return found, np.ascontiguousarray(masks[kept])
