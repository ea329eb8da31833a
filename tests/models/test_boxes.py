"""Anchors, box arithmetic and matching, against values worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("paddle", reason="needs the extra 'train'")

from edge_seg.models import boxes
from edge_seg.models.matcher import match, sample
from edge_seg.paddle_env import paddle
from edge_seg.runtime.anchors import pyramid_anchors


def tensor(*rows: tuple[float, ...]) -> Any:
    return paddle.to_tensor(np.array(rows, np.float32).reshape(-1, 4))


def test_anchors_stand_on_the_cells_corners_with_the_area_asked_for() -> None:
    levels = pyramid_anchors([(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)], (32, 64, 128, 256, 512))
    assert [a.shape for a in levels] == [(16, 24, 3, 4), (8, 12, 3, 4), (4, 6, 3, 4), (2, 3, 3, 4), (1, 2, 3, 4)]
    assert levels[0][1, 2, 1].tolist() == [8 - 16, 4 - 16, 8 + 16, 4 + 16]
    sides = levels[2][0, 0, :, 2:] - levels[2][0, 0, :, :2]
    np.testing.assert_allclose(sides.prod(axis=1), 128 * 128, rtol=1e-6)
    np.testing.assert_allclose(sides[:, 1] / sides[:, 0], [0.5, 1, 2], rtol=1e-6)


def test_iou() -> None:
    values = boxes.iou(tensor((0, 0, 10, 10), (5, 5, 5, 5)), tensor((0, 0, 10, 10), (5, 0, 15, 10), (20, 20, 30, 30)))
    np.testing.assert_allclose(values.numpy(), [[1.0, 1 / 3, 0.0], [0.0, 0.0, 0.0]], atol=1e-6)


def test_decode_undoes_encode() -> None:
    rng = np.random.default_rng(0)
    corner, sides = rng.uniform(0, 50, (2, 20, 2)), rng.uniform(4, 60, (2, 20, 2))
    source, target = np.concatenate([corner, corner + sides], axis=2).astype(np.float32)
    weights = (10.0, 10.0, 5.0, 5.0)
    deltas = boxes.encode(paddle.to_tensor(source), paddle.to_tensor(target), weights)
    decoded = boxes.decode(paddle.to_tensor(source), deltas.reshape([-1, 1, 4]), weights)
    np.testing.assert_allclose(decoded.numpy()[:, 0], target, atol=1e-3)


def test_decode_bounds_the_growth_of_a_box() -> None:
    huge = paddle.full([1, 1, 4], 1000.0)
    decoded = boxes.decode(tensor((0, 0, 16, 16)), huge, (1.0, 1.0, 1.0, 1.0)).numpy()[0, 0]
    assert decoded[2] - decoded[0] == pytest.approx(1000, rel=1e-3)


def test_match_labels_by_overlap_and_rescues_the_best() -> None:
    sources = tensor((0, 0, 10, 10), (0, 0, 10, 14), (0, 0, 10, 30), (100, 100, 104, 110))
    targets = tensor((0, 0, 10, 10), (100, 100, 110, 110))
    labels, objects = match(sources, targets, low=0.4, high=0.9, rescue=False)
    assert labels.tolist() == [1, -1, 0, -1]
    assert objects.tolist() == [0, 0, 0, 1]
    labels, _ = match(sources, targets, low=0.4, high=0.9, rescue=True)
    assert labels.tolist() == [1, -1, 0, 1]
    labels, _ = match(sources, tensor(), low=0.4, high=0.9, rescue=True)
    assert labels.tolist() == [0, 0, 0, 0]


def test_sample_keeps_the_share_and_fills_with_background() -> None:
    labels = np.array([1] * 10 + [0] * 100 + [-1] * 5)
    foreground, background = sample(labels, 16, 0.25, np.random.default_rng(0))
    assert len(foreground) == 4
    assert len(background) == 12
    assert (labels[foreground] == 1).all()
    assert (labels[background] == 0).all()
    foreground, background = sample(labels[:12], 16, 0.25, np.random.default_rng(0))
    assert (len(foreground), len(background)) == (4, 2)
