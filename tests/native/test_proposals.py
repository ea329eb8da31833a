"""Proposals and what else is decided between graphs of convolutions: the native core and Python, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_seg.manifest import ProposalSpec
from edge_seg.runtime.exact import sigmoid, softmax
from edge_seg.runtime.proposals import Proposer
from tests.native.probe import Probe

CASES = 500


def grids(size: tuple[int, int], whole: int) -> list[tuple[int, int]]:
    """(height, width) in cells of P2 to P6; the last may have only ``whole`` cells, or one that reaches beyond."""
    levels = [(size[0] // stride, size[1] // stride) for stride in (4, 8, 16, 32)]
    last = [max(1, side // 2) if whole else (side + 1) // 2 for side in levels[-1]]
    return [*levels, (last[0], last[1])]


def rules(number: int) -> ProposalSpec:
    sizes = ((8.0, 16.0, 32.0, 64.0, 128.0), (32.0, 64.0, 128.0, 256.0, 512.0))[number % 2]
    return ProposalSpec(sizes, (7, 60, 1000)[number % 3], (0.3, 0.7, 1.0)[number % 3], (10.0, 10.0, 5.0, 5.0))


def told(spec: ProposalSpec) -> dict[str, Any]:
    return {
        "anchor_sizes": list(spec.anchor_sizes),
        "before_nms": spec.before_nms,
        "nms_iou": spec.nms_iou,
        "box_weights": list(spec.box_weights),
    }


def test_proposals(probe: Probe) -> None:
    rng = np.random.default_rng(6)
    for number in range(CASES):
        size = (int(rng.integers(1, 5)) * 32, int(rng.integers(1, 5)) * 32)
        spec, count = rules(number), (1, 20, 300)[number % 3]
        cells = grids(size, number % 2)
        # Logits of few values tie by the dozen; deltas of zero make boxes that are alike too.
        steps, spread = (0, 1, 4)[number % 3], (0.0, 0.3, 3.0)[number % 5 % 3]
        logits = [rng.normal(0, 2, (1, 3, h, w)).astype(np.float32) for h, w in cells]
        if steps:
            logits = [np.round(values * steps) / np.float32(steps) for values in logits]
        deltas = [rng.normal(0, spread, (1, 12, h, w)).astype(np.float32) for h, w in cells]
        if number % 7 == 0:  # levels in which nothing is large enough
            deltas[number % 5][0, 2::4] = -50
        expected = Proposer(spec, size, count).propose(logits, deltas)
        height, width = size
        told_of = {"height": height, "width": width, "count": count, "grids": cells, **told(spec)}
        _, (found,) = probe("propose", *logits, *deltas, **told_of)
        assert found == expected.tobytes(), f"case {number}: {size}, {spec}"


def test_boxes_scores_and_masks(probe: Probe) -> None:
    rng = np.random.default_rng(7)
    for number in range(CASES):
        spec, count, classes = rules(number), int(rng.integers(1, 20)), int(rng.integers(1, 90))
        corner = rng.uniform(0, 300, (count, 2))
        rois = np.concatenate([corner, corner + rng.uniform(0, 200, (count, 2))], axis=1).astype(np.float32)
        deltas = rng.normal(0, (0.5, 30)[number % 2], (count, 4 * classes)).astype(np.float32)
        logits = rng.normal(0, (1, 40)[number % 2], (1, classes + 1)).astype(np.float32)
        mask = rng.normal(0, (1, 60)[number % 2], (28, 28)).astype(np.float32)
        _, found = probe("decode", rois, deltas, logits, mask, **told(spec))
        expected = Proposer(spec, (64, 64), 1).decode(rois, deltas), softmax(logits), sigmoid(mask)
        assert found == [value.tobytes() for value in expected], f"case {number}"
