"""Region proposal network (Ren et al., 2015): where something might be, on every level of the pyramid.

N: images, A: anchors a cell, Hi, Wi: a level's cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_seg.models.boxes import encode
from edge_seg.models.matcher import match, sample
from edge_seg.paddle_env import nn, paddle

F = nn.functional
WEIGHTS = (1.0, 1.0, 1.0, 1.0)
NMS_IOU = 0.7


class RPNFeature(nn.Layer):
    """The 3x3 convolution that all levels share."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rpn_conv = nn.Conv2D(width, width, 3, padding=1, weight_attr=_normal(0.01))

    def forward(self, x: Any) -> Any:
        return F.relu(self.rpn_conv(x))


class RPNHead(nn.Layer):
    """For each level: objectness logits [N, A, Hi, Wi] and box deltas [N, 4 A, Hi, Wi] (anchor-major)."""

    def __init__(self, width: int, anchors: int) -> None:
        super().__init__()
        self.rpn_feat = RPNFeature(width)
        self.rpn_rois_score = nn.Conv2D(width, anchors, 1, weight_attr=_normal(0.01))
        self.rpn_rois_delta = nn.Conv2D(width, 4 * anchors, 1, weight_attr=_normal(0.01))

    def forward(self, maps: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        shared = [self.rpn_feat(x) for x in maps]
        return [self.rpn_rois_score(x) for x in shared], [self.rpn_rois_delta(x) for x in shared]


def propose(
    logits: Sequence[Any], deltas: Sequence[Any], anchors: Sequence[Any], sizes: Any, *, before: int, after: int
) -> list[tuple[Any, Any, Any]]:
    """For each level (boxes [K, 4], objectness logits [K, 1], boxes an image [N]), after NMS at IoU 0.7.

    Only the order of scores counts, and logits keep it where a sigmoid has long come to 1.0.

    ``anchors`` are [Hi, Wi, A, 4]; ``sizes`` float32[N, 2] are (height, width), to which boxes are clipped; ``before``
    and ``after`` bound the boxes of an image and level that enter and leave NMS.
    """
    return [
        paddle.vision.ops.generate_proposals(
            logit,
            delta,
            sizes,
            anchor,
            paddle.ones_like(anchor),
            pre_nms_top_n=before,
            post_nms_top_n=after,
            nms_thresh=NMS_IOU,
            min_size=0.0,
            return_rois_num=True,
        )
        for logit, delta, anchor in zip(logits, deltas, anchors, strict=True)
    ]


def rpn_loss(
    logits: Sequence[Any],
    deltas: Sequence[Any],
    anchors: Sequence[Any],
    targets: Sequence[Any],
    rngs: Sequence[np.random.Generator],
    *,
    samples: int,
) -> tuple[Any, Any]:
    """Classification and regression loss (scalars) over ``samples`` anchors an image, at most half of them foreground.

    ``targets`` are each image's boxes, float32[G, 4], and ``rngs`` draw its anchors. Both are divided by ``samples`` an
    image, drawn or not, as in PaddleDetection.
    """
    flat_anchors = paddle.concat([a.reshape([-1, 4]) for a in anchors])
    images = logits[0].shape[0]
    flat_logits = paddle.concat([x.transpose([0, 2, 3, 1]).reshape([images, -1]) for x in logits], axis=1)
    flat_deltas = paddle.concat([x.transpose([0, 2, 3, 1]).reshape([images, -1, 4]) for x in deltas], axis=1)
    classification, regression = [], []
    for i, (boxes, rng) in enumerate(zip(targets, rngs, strict=True)):
        labels, objects = match(flat_anchors, boxes, low=0.3, high=0.7, rescue=True)
        foreground, background = sample(labels, samples, 0.5, rng)
        chosen = np.concatenate([foreground, background])
        truth = paddle.to_tensor((np.arange(len(chosen)) < len(foreground)).astype(np.float32))
        picked = paddle.gather(flat_logits[i], paddle.to_tensor(chosen))
        classification.append(F.binary_cross_entropy_with_logits(picked, truth, reduction="sum"))
        if len(foreground):
            index = paddle.to_tensor(foreground)
            wanted = encode(
                paddle.gather(flat_anchors, index), paddle.gather(boxes, paddle.to_tensor(objects[foreground])), WEIGHTS
            )
            regression.append(F.l1_loss(paddle.gather(flat_deltas[i], index), wanted, reduction="sum"))
    total = paddle.add_n(regression) if regression else paddle.zeros([])
    count = samples * images
    return paddle.add_n(classification) / count, total / count


def _normal(std: float) -> Any:
    return paddle.ParamAttr(initializer=nn.initializer.Normal(std=std))
