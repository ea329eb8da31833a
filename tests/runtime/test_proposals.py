"""Proposals: the rule, one box at a time, and paddle's own operators."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from edge_seg.manifest import ProposalSpec
from edge_seg.runtime.anchors import pyramid_anchors
from edge_seg.runtime.exact import exp
from edge_seg.runtime.proposals import Proposer

F = np.float32
SIZE = (64, 96)
Floats = list[np.ndarray[Any, Any]]


def grids(size: tuple[int, int]) -> list[tuple[int, int]]:
    """(height, width) in cells of P2 to P6."""
    height, width = size
    levels = [(height // stride, width // stride) for stride in (4, 8, 16, 32)]
    return [*levels, ((levels[-1][0] + 1) // 2, (levels[-1][1] + 1) // 2)]


def spec(before: int = 50, iou: float = 0.7) -> ProposalSpec:
    return ProposalSpec((8.0, 16.0, 32.0, 64.0, 128.0), before, iou, (10.0, 10.0, 5.0, 5.0))


def maps(seed: int, steps: int = 0) -> tuple[Floats, Floats]:
    """Logits and deltas of each level; with ``steps`` logits are of so few values that most of them tie."""
    rng = np.random.default_rng(seed)
    logits, deltas = [], []
    for height, width in grids(SIZE):
        values = rng.normal(0, 2, (1, 3, height, width))
        logits.append((np.round(values * steps) / steps if steps else values).astype(F))
        deltas.append(rng.normal(0, 0.4, (1, 12, height, width)).astype(F))
    return logits, deltas


def by_the_rule(rule: ProposalSpec, logits: Floats, deltas: Floats, count: int) -> list[tuple[float, ...]]:
    """The module's five rules in plain loops: an NMS a level, then the best of what they leave."""
    chosen = []
    for level, anchors in enumerate(pyramid_anchors(grids(SIZE), rule.anchor_sizes)):
        height, width, per_cell, _ = anchors.shape
        cells = [(y, x, a) for y in range(height) for x in range(width) for a in range(per_cell)]
        scores = [logits[level][0, a, y, x] for y, x, a in cells]
        order = sorted(range(len(cells)), key=lambda n: (-scores[n], n))[: rule.before_nms]
        candidates = []
        for n in order:
            y, x, a = cells[n]
            box = decoded(anchors[y, x, a], deltas[level][0, 4 * a : 4 * a + 4, y, x])
            if box[2] - box[0] >= 1 and box[3] - box[1] >= 1:
                candidates.append((scores[n], level, n, box))
        if not candidates:
            candidates = [(F(0), level, 0, [F(0)] * 4)]
        kept: list[Any] = []
        for candidate in candidates:
            if all(overlap(candidate[3], other[3]) <= F(rule.nms_iou) for other in kept):
                kept.append(candidate)
        chosen += kept[:count]
    chosen.sort(key=lambda item: (-item[0], item[1], item[2]))
    return [tuple(map(float, item[3])) for item in chosen[:count]]


def decoded(anchor: np.ndarray[Any, Any], delta: np.ndarray[Any, Any]) -> list[Any]:
    sides = []
    for axis in (0, 1):
        low, extent = anchor[axis], anchor[axis + 2] - anchor[axis]
        middle = delta[axis] * extent + (low + F(0.5) * extent)
        growth = F(exp(np.minimum(delta[axis + 2], F(math.log(1000 / 16)))[None])[0])
        reach = growth * extent / F(2)
        limit = F(SIZE[1 - axis])
        sides.append([min(max(side, F(0)), limit) for side in (middle - reach, middle + reach)])
    (x0, x1), (y0, y1) = sides
    return [x0, y0, x1, y1]


def overlap(a: list[Any], b: list[Any]) -> Any:
    across = max(F(0), min(a[2], b[2]) - max(a[0], b[0]))
    down = max(F(0), min(a[3], b[3]) - max(a[1], b[1]))
    inter = across * down
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    union = (areas[0] + areas[1]) - inter
    return inter / union if union > 0 else F(0)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("steps", [0, 2])
def test_proposals_by_the_rule(seed: int, steps: int) -> None:
    rule = spec(before=[20, 50, 400][seed % 3], iou=[0.5, 0.7][seed % 2])
    count = [5, 40, 300][seed % 3]
    logits, deltas = maps(seed, steps)
    found = Proposer(rule, SIZE, count).propose(logits, deltas)
    assert [tuple(box) for box in found.tolist()] == by_the_rule(rule, logits, deltas, count)


def test_equal_logits_go_by_level_then_row_column_anchor() -> None:
    zeros = [(np.zeros((1, 3, h, w), F), np.zeros((1, 12, h, w), F)) for h, w in grids(SIZE)]
    found = Proposer(spec(before=4, iou=1.0), SIZE, 12).propose([x for x, _ in zeros], [y for _, y in zeros])
    anchors = pyramid_anchors(grids(SIZE), spec().anchor_sizes)
    limits = np.array([SIZE[1], SIZE[0]] * 2)
    expected = np.concatenate([np.clip(level.reshape(-1, 4)[:4], 0, limits) for level in anchors])[:12]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_level_in_which_nothing_is_large_enough_has_one_box_without_area() -> None:
    logits, deltas = maps(3)
    for level in range(5):
        logits[level] -= 100
        deltas[level][0, 2::4] = -40  # exp of it makes widths of nothing
    deltas[0] = maps(3)[1][0]
    found = Proposer(spec(), SIZE, 10).propose(logits, deltas)
    assert found[:4].tolist() == [[0.0] * 4] * 4  # of P3 to P6: their logit is 0, all others are below
    assert (found[4:, 2:] > found[4:, :2]).all()


def test_a_box_is_decoded_from_its_proposal() -> None:
    rois = np.array([[10, 20, 30, 60], [0, 0, 0, 0]], F)
    deltas = np.zeros((2, 8), F)
    deltas[0, :4] = 10, -5, 5 * math.log(2), 0
    found = Proposer(spec(), SIZE, 2).decode(rois, deltas)
    np.testing.assert_allclose(found[0], [[20, 0, 60, 40], [10, 20, 30, 60]], atol=1e-5)
    assert not found[1].any()


@pytest.mark.parametrize("seed", range(4))
def test_paddle_proposes_the_same(seed: int) -> None:
    paddle = pytest.importorskip("edge_seg.paddle_env", reason="needs the extra 'train'").paddle
    from edge_seg.models import rpn

    logits, deltas = maps(seed)
    anchors = pyramid_anchors(grids(SIZE), spec().anchor_sizes)
    tensors = ([paddle.to_tensor(x) for x in side] for side in (logits, deltas, anchors))
    scores_of, deltas_of, anchors_of = tensors
    size = paddle.to_tensor(np.array([SIZE], F))
    levels = rpn.propose(scores_of, deltas_of, anchors_of, size, before=50, after=30)
    boxes = np.concatenate([level[0].numpy() for level in levels])
    scores = np.concatenate([level[1].numpy()[:, 0] for level in levels])
    expected = boxes[np.argsort(-scores, kind="stable")[:30]]
    found = Proposer(spec(iou=rpn.NMS_IOU), SIZE, 30).propose(logits, deltas)
    np.testing.assert_allclose(found, expected, atol=2e-4)
