"""High-resolution feature pyramid (Wang et al., 2019, arXiv 1908.07919, HRNetV2p): the neck of HRNet.

Shapes: [N, C_i, H/s_i, W/s_i], strides 4 to 32 -> [N, width, H/s, W/s], strides 4, 8, 16, 32, 64.
Sublayer names follow PaddleDetection's ``hrfpn.py``, so that its weights fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_seg.models.layers import FeatureSpec
from edge_seg.paddle_env import nn, paddle
from edge_seg.runtime.anchors import STRIDES

F = nn.functional


class HRFPN(nn.Layer):
    """All branches at stride 4 in one map, a 1x1 convolution, then averages of it and a 3x3 convolution a level."""

    def __init__(self, specs: Sequence[FeatureSpec], width: int) -> None:
        super().__init__()
        self.reduction = nn.Conv2D(sum(spec.channels for spec in specs), width, 1, bias_attr=False)
        self.outputs = [
            self.add_sublayer(f"fpn_conv_{level}", nn.Conv2D(width, width, 3, padding=1, bias_attr=False))
            for level in range(len(STRIDES))
        ]

    def forward(self, maps: list[Any]) -> list[Any]:
        upsampled = [F.interpolate(x, scale_factor=2**i, mode="bilinear") for i, x in enumerate(maps[1:], start=1)]
        finest = self.reduction(paddle.concat([maps[0], *upsampled], axis=1))
        pyramid = [self.outputs[0](finest)]
        for level, conv in enumerate(self.outputs[1:], start=1):
            # An input side of 32 has 8 cells here, and P6 averages 16.
            window = [min(2**level, side) for side in finest.shape[2:]]
            pyramid.append(conv(F.avg_pool2d(finest, window, stride=window)))
        return pyramid

    def grids(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """(height, width) in cells of P2 to P6 for an input of ``size``: only whole cells count, but at least one."""
        return [(max(1, size[0] // s), max(1, size[1] // s)) for s in STRIDES]
