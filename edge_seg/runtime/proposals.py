"""What the RPN and the box head give → boxes: top-k, decoding, clipping and NMS, outside the graphs.

Shapes: A anchors a cell, H, W a level's cells, R proposals, C classes. Boxes are (x0, y0, x1, y1), input pixels.

The rules are those of paddle's ``generate_proposals_v2`` and ``top_k_v2`` (pixel_offset off, variances 1), with its
arithmetic. Exact to the last bit (the C++ core is tested against it): float32, one rounding an operation, nothing
contracted to FMA; exp is :func:`edge_seg.runtime.exact.exp` rounded to float32.

1. A level's boxes are numbered ``(y * W + x) * A + anchor``. Of each level the ``before_nms`` of the highest logits are
   *candidates*; of equal logits the lower number.
2. A candidate's box, from its anchor (w, h its sides) and its deltas: ``c = dx * w + (x0 + 0.5 * w)`` and
   ``s = exp(min(dw, log(1000 / 16))) * w`` give ``c - s / 2`` and ``c + s / 2``; the same down. Each coordinate is held
   to 0…W or H of the input. A box less than 1 wide or high is dropped. A level in which none remains has one candidate
   without area at 0, of logit 0.
3. All levels' candidates are ordered by logit, highest first; of equal ones the lower level's, then the lower number.
4. They are taken in this order. One is dropped when an earlier kept one *of its level* overlaps it too much:
   ``inter / ((area_a + area_b) - inter) > nms_iou``, where a is the later one.
5. It ends with R kept.

So the same proposals come out as from an NMS a level and a top-k over what these leave, for a fraction of the work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_seg.manifest import ProposalSpec
from edge_seg.runtime.anchors import RATIOS, pyramid_anchors
from edge_seg.runtime.exact import exp

Floats = NDArray[np.float32]

_MAX_SCALE = np.float32(math.log(1000.0 / 16.0))
_LEAST_SIDE = np.float32(1.0)
_HALF = np.float32(0.5)
# Candidates that are compared with one another at once: more cost comparisons in vain, fewer cost calls.
_BLOCK = 160


class Proposer:
    """Proposals of a model with these rules, for inputs of ``size`` (height, width); at most ``count`` an image."""

    def __init__(self, spec: ProposalSpec, size: tuple[int, int], count: int) -> None:
        self._spec = spec
        self._count = count
        self._grids: list[tuple[int, int]] = []
        self._anchors: list[Floats] = []
        self._limits = np.array([size[1], size[0]] * 2, np.float32)

    def propose(self, logits: Sequence[Floats], deltas: Sequence[Floats]) -> Floats:
        """Proposals float32[N, 4], best first, N at most R.

        For each of P2 to P6 ``logits`` are float32[1, A, H, W], ``deltas`` float32[1, 4 A, H, W], anchor-major.
        """
        self._use([(found.shape[2], found.shape[3]) for found in logits])
        boxes, scores = [], []
        for level, anchors in enumerate(self._anchors):
            flat = np.ascontiguousarray(logits[level][0].transpose(1, 2, 0)).ravel()
            best = _best(flat, self._spec.before_nms)
            cell, anchor = np.divmod(best, len(RATIOS))
            moves = deltas[level].reshape(len(RATIOS), 4, -1)[anchor, :, cell]
            decoded = np.minimum(np.maximum(_decode(anchors[best], moves), np.float32(0)), self._limits)
            sides = decoded[:, 2:] - decoded[:, :2]
            large = (sides >= _LEAST_SIDE).all(axis=1)
            boxes.append(decoded[large] if large.any() else np.zeros((1, 4), np.float32))
            scores.append(flat[best][large] if large.any() else np.zeros(1, np.float32))
        of_level = np.repeat(np.arange(len(boxes), dtype=np.int8), [len(part) for part in boxes])
        order = np.argsort(-np.concatenate(scores), kind="stable")
        ordered = np.concatenate(boxes)[order]
        kept: Floats = ordered[_nms(ordered, of_level[order], np.float32(self._spec.nms_iou), self._count)]
        return kept

    def _use(self, grids: list[tuple[int, int]]) -> None:
        """Makes the anchors for levels of these (height, width) in cells, once for as long as they stay the same."""
        if grids != self._grids:
            made = pyramid_anchors(grids, self._spec.anchor_sizes)
            self._grids, self._anchors = grids, [anchors.reshape(-1, 4) for anchors in made]

    def decode(self, rois: Floats, deltas: Floats) -> Floats:
        """Boxes float32[R, C, 4] that the box head's deltas float32[R, 4 C] make of proposals float32[R, 4].

        Deltas are multiplied by float32(1 / weight) first; then rule 2, with ``(0.5 * exp(…)) * w`` for the half sides,
        and no clipping.
        """
        scaled = deltas.reshape(len(rois), -1, 4) * (1.0 / np.array(self._spec.box_weights)).astype(np.float32)
        low, sides = rois[:, None, :2], (rois[:, 2:] - rois[:, :2])[:, None]
        middle = scaled[..., :2] * sides + (low + _HALF * sides)
        reach = (_HALF * exp(np.minimum(scaled[..., 2:], _MAX_SCALE)).astype(np.float32)) * sides
        return np.concatenate([middle - reach, middle + reach], axis=2)


def _best(scores: Floats, count: int) -> NDArray[np.intp]:
    """Rule 1: numbers of the ``count`` highest scores, best first; of equal ones the lower number first."""
    if len(scores) <= count:
        return np.argsort(-scores, kind="stable")
    limit = np.partition(scores, len(scores) - count)[len(scores) - count]
    above, equal = np.flatnonzero(scores > limit), np.flatnonzero(scores == limit)
    above = above[np.argsort(-scores[above], kind="stable")]
    return np.concatenate([above, equal[: count - len(above)]])


def _decode(anchors: Floats, deltas: Floats) -> Floats:
    """Rule 2 without the clipping: boxes float32[K, 4] of anchors and deltas, both float32[K, 4]."""
    sides = anchors[:, 2:] - anchors[:, :2]
    middle = deltas[:, :2] * sides + (anchors[:, :2] + _HALF * sides)
    reach = (exp(np.minimum(deltas[:, 2:], _MAX_SCALE)).astype(np.float32) * sides) / np.float32(2)
    return np.concatenate([middle - reach, middle + reach], axis=1)


def _nms(boxes: Floats, of_level: NDArray[np.int8], limit: np.float32, count: int) -> NDArray[np.intp]:
    """Rules 4 and 5: which of K boxes, best first, remain, as rising indices."""
    sides = boxes[:, 2:] - boxes[:, :2]
    area = sides[:, 0] * sides[:, 1]
    kept = np.zeros(0, np.intp)
    for start in range(0, len(boxes), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(boxes)))
        if len(kept):
            block = block[~_overlapping(boxes, area, of_level, block, kept, limit).any(axis=1)]
        # Each row's bits are the later ones that it drops: 160 numbers are quicker asked than 160 arrays.
        drops = np.triu(_overlapping(boxes, area, of_level, block, block, limit).T, 1)
        rows = [int.from_bytes(row, "little") for row in np.packbits(drops, axis=1, bitorder="little")]
        dropped, chosen = 0, []
        for index, row in enumerate(rows):
            if not dropped >> index & 1:
                chosen.append(index)
                dropped |= row
        kept = np.concatenate([kept, block[chosen]])
        if len(kept) >= count:
            break
    return kept[:count]


def _overlapping(
    boxes: Floats,
    area: Floats,
    of_level: NDArray[np.int8],
    later: NDArray[np.intp],
    earlier: NDArray[np.intp],
    limit: np.float32,
) -> NDArray[np.bool_]:
    """bool[later, earlier]: which pairs are of one level and overlap by more than ``limit``."""
    a, b = boxes[later, :, None], boxes[earlier].T[None]
    zero = np.float32(0)
    across = np.maximum(zero, np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0]))
    down = np.maximum(zero, np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1]))
    inter = across * down
    union = (area[later, None] + area[None, earlier]) - inter
    # The box without area of rule 2 is alone in its level: nothing is divided by zero that is asked for.
    with np.errstate(invalid="ignore", divide="ignore"):
        over: NDArray[np.bool_] = inter / union > limit
    over &= of_level[later, None] == of_level[None, earlier]
    return over
