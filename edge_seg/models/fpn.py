"""Feature pyramid (Lin et al., 2016): four maps of a backbone become P2 to P6 of equal width.

Shapes: [N, C_i, H/s_i, W/s_i], strides 4 to 32 -> [N, width, H/s, W/s], strides 4, 8, 16, 32, 64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_seg.models.layers import FeatureSpec
from edge_seg.paddle_env import nn, paddle
from edge_seg.runtime.anchors import STRIDES

F = nn.functional


class FPN(nn.Layer):
    """Nearest upsampling, addition, a 3x3 convolution a level. P6, for proposals only, is every second value of P5."""

    def __init__(self, specs: Sequence[FeatureSpec], width: int) -> None:
        super().__init__()
        self.laterals, self.outputs = [], []
        for level, spec in enumerate(specs, start=2):
            name = "fpn_inner_res5_sum" if level == 5 else f"fpn_inner_res{level}_sum_lateral"
            self.laterals.append(
                self.add_sublayer(name, nn.Conv2D(spec.channels, width, 1, weight_attr=_xavier(spec.channels)))
            )
            conv = nn.Conv2D(width, width, 3, padding=1, weight_attr=_xavier(width * 9))
            self.outputs.append(self.add_sublayer(f"fpn_res{level}_sum", conv))

    def forward(self, maps: list[Any]) -> list[Any]:
        inner = [lateral(x) for lateral, x in zip(self.laterals, maps, strict=True)]
        for i in range(len(inner) - 1, 0, -1):
            inner[i - 1] = inner[i - 1] + F.interpolate(inner[i], scale_factor=2.0, mode="nearest")
        pyramid = [conv(x) for conv, x in zip(self.outputs, inner, strict=True)]
        return [*pyramid, F.max_pool2d(pyramid[-1], 1, stride=2)]

    def grids(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """(height, width) in cells of P2 to P6 for an input of ``size``, both multiples of 32."""
        levels = [(size[0] // s, size[1] // s) for s in STRIDES[:-1]]
        return [*levels, (-(-levels[-1][0] // 2), -(-levels[-1][1] // 2))]


def _xavier(fan: int) -> Any:
    return paddle.ParamAttr(initializer=nn.initializer.XavierUniform(fan_in=fan, fan_out=fan))
