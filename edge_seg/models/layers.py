"""Building blocks that the backbones share."""

from __future__ import annotations

from typing import Any, NamedTuple

from edge_seg.models.batch_norm import BatchNorm
from edge_seg.paddle_env import nn, paddle


class FeatureSpec(NamedTuple):
    """What a backbone hands to the FPN at one level."""

    channels: int
    stride: int


class ConvNorm(nn.Layer):
    """Convolution without bias, batch normalisation, optionally ReLU: float32[N, in, H, W] -> [N, out, H/s, W/s].

    With ``frozen`` the normalisation uses its stored statistics also while training and isn't trained: small batches
    would spoil what pretrained weights bring along.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, relu: bool = False, frozen: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2D(
            inputs,
            outputs,
            kernel,
            stride=stride,
            padding=(kernel - 1) // 2,
            weight_attr=paddle.ParamAttr(initializer=nn.initializer.KaimingNormal()),
            bias_attr=False,
        )
        # Normalisation isn't decayed, as in PaddleDetection (norm_decay 0).
        attribute = paddle.ParamAttr(regularizer=paddle.regularizer.L2Decay(0.0), trainable=not frozen)
        self.norm = BatchNorm(
            outputs, weight_attr=attribute, bias_attr=attribute, use_global_stats=True if frozen else None
        )
        self.relu = relu

    def forward(self, x: Any) -> Any:
        x = self.norm(self.conv(x))
        return nn.functional.relu(x) if self.relu else x
