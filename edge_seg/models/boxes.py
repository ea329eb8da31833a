"""Boxes as paddle tensors, xyxy in pixels, and the deltas between them (R-CNN, Girshick et al., 2014)."""

from __future__ import annotations

import math
from typing import Any

from edge_seg.paddle_env import paddle

# exp() of a delta never enlarges a box more than this (Detectron's rule; keeps fp16 finite too).
MAX_SCALE = math.log(1000.0 / 16.0)


def iou(a: Any, b: Any) -> Any:
    """Intersection over union, float32[A, B], of boxes [A, 4] and [B, 4]. Empty boxes have 0."""
    top_left = paddle.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = paddle.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = paddle.clip(bottom_right - top_left, min=0.0)
    overlap = sides[:, :, 0] * sides[:, :, 1]
    area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    return overlap / paddle.clip(area_a[:, None] + area_b[None, :] - overlap, min=1e-9)


def encode(sources: Any, targets: Any, weights: tuple[float, float, float, float]) -> Any:
    """Deltas float32[N, 4] that lead from ``sources`` to ``targets``, both [N, 4]."""
    wx, wy, ww, wh = weights
    sw, sh = sources[:, 2] - sources[:, 0], sources[:, 3] - sources[:, 1]
    tw, th = targets[:, 2] - targets[:, 0], targets[:, 3] - targets[:, 1]
    dx = wx * (targets[:, 0] + 0.5 * tw - sources[:, 0] - 0.5 * sw) / sw
    dy = wy * (targets[:, 1] + 0.5 * th - sources[:, 1] - 0.5 * sh) / sh
    return paddle.stack([dx, dy, ww * paddle.log(tw / sw), wh * paddle.log(th / sh)], axis=1)


def decode(sources: Any, deltas: Any, weights: tuple[float, float, float, float]) -> Any:
    """Boxes float32[N, C, 4] that ``deltas`` [N, C, 4] make of ``sources`` [N, 4]. Written for static graphs.

    Every operand is 3-D: Paddle Lite's broadcast takes fewer shapes than paddle's.
    """
    wx, wy, ww, wh = weights
    x0, y0, x1, y1 = paddle.split(paddle.unsqueeze(sources, 1), 4, axis=2)
    dx, dy, dw, dh = paddle.split(deltas, 4, axis=2)
    w, h = x1 - x0, y1 - y0
    cx = dx * (1.0 / wx) * w + (x0 + 0.5 * w)
    cy = dy * (1.0 / wy) * h + (y0 + 0.5 * h)
    half_w = 0.5 * paddle.exp(paddle.clip(dw * (1.0 / ww), max=MAX_SCALE)) * w
    half_h = 0.5 * paddle.exp(paddle.clip(dh * (1.0 / wh), max=MAX_SCALE)) * h
    return paddle.concat([cx - half_w, cy - half_h, cx + half_w, cy + half_h], axis=2)
