"""The head that says what a proposal is and where exactly (Fast R-CNN, Girshick, 2015).

R: proposals, C: classes without background; background is the last column of the scores.
"""

from __future__ import annotations

from typing import Any

from edge_seg.models.boxes import encode
from edge_seg.paddle_env import nn, paddle

F = nn.functional
RESOLUTION = 7
WEIGHTS = (10.0, 10.0, 5.0, 5.0)


class TwoFC(nn.Layer):
    """Pooled features [R, in, 7, 7] -> [R, width] by two fully connected layers."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.size = inputs * RESOLUTION * RESOLUTION
        self.fc6 = nn.Linear(self.size, width)
        self.fc7 = nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        # reshape, not flatten: Paddle Lite's opt crashes on flatten_contiguous_range.
        return F.relu(self.fc7(F.relu(self.fc6(x.reshape([-1, self.size])))))


class BoxHead(nn.Layer):
    """Pooled features [R, in, 7, 7] -> class logits [R, C + 1] and deltas [R, 4 C]."""

    def __init__(self, inputs: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.head = TwoFC(inputs, width)
        self.bbox_score = nn.Linear(width, num_classes + 1, weight_attr=_normal(0.01))
        self.bbox_delta = nn.Linear(width, 4 * num_classes, weight_attr=_normal(0.001))

    def forward(self, pooled: Any) -> tuple[Any, Any]:
        x = self.head(pooled)
        return self.bbox_score(x), self.bbox_delta(x)


def box_loss(logits: Any, deltas: Any, boxes: Any, labels: Any, rows: Any, targets: Any) -> tuple[Any, Any]:
    """Cross entropy over all proposals, and L1 over the foreground divided by the number of all; scalars.

    ``labels`` int64[R]: a class, or C for background; ``rows`` int64[F] are the foreground's rows and ``targets``
    float32[F, 4] their objects' boxes.
    """
    classification = F.cross_entropy(logits, labels)
    if not rows.shape[0]:
        return classification, paddle.zeros([])
    num_classes = deltas.shape[1] // 4
    picked = paddle.gather(deltas.reshape([-1, 4]), rows * num_classes + paddle.gather(labels, rows))
    wanted = encode(paddle.gather(boxes, rows), targets, WEIGHTS)
    return classification, F.l1_loss(picked, wanted, reduction="sum") / labels.shape[0]


def _normal(std: float) -> Any:
    return paddle.ParamAttr(initializer=nn.initializer.Normal(std=std))
