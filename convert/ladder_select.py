"""The postprocessing rung: the runtime's choice of boxes against the documented rule, written plainly.

Nothing here is shared with :mod:`edge_seg.runtime.postprocess` but its documentation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_seg.bundle import PostprocessSpec

Pair = tuple[int, int]


def choose(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    spec: PostprocessSpec,
    extent: tuple[int, int],
    threshold: float,
) -> list[Pair]:
    """The (proposal, class) pairs that are kept, best first, of boxes [R, C, 4] and scores [R, C + 1].

    ``extent``: height and width of the input's part that the picture fills.
    """
    kept: list[Pair] = []
    for row, label in _candidates(boxes, scores, extent, np.float32(threshold)):
        rivals = (boxes[other] for other in kept if other[1] == label)
        if not any(_overlap(rival, boxes[row, label], np.float32(spec.nms_iou)) for rival in rivals):
            kept.append((row, label))
        if len(kept) == spec.keep:
            break
    return kept


def _candidates(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], extent: tuple[int, int], threshold: np.float32
) -> list[Pair]:
    found = []
    height, width = extent
    for row, label in np.argwhere(scores[:, :-1] > threshold).tolist():
        x0, y0, x1, y1 = boxes[row, label].tolist()
        if x0 < x1 and y0 < y1 and x0 < width and y0 < height and x1 > 0 and y1 > 0:
            found.append((-float(scores[row, label]), row, label))
    return [(row, label) for _, row, label in sorted(found)]


def _overlap(a: NDArray[np.float32], b: NDArray[np.float32], limit: np.float32) -> bool:
    """Whether IoU is above ``limit``; float32 throughout, as the rule says, or a tie would be decided otherwise."""
    zero = np.float32(0)
    across = max(zero, min(a[2], b[2]) - max(a[0], b[0]))
    down = max(zero, min(a[3], b[3]) - max(a[1], b[1]))
    inter = across * down
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return bool(inter > limit * ((areas[0] + areas[1]) - inter))
