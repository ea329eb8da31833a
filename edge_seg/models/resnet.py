"""ResNet (He et al., 2015), variant b: the 3x3 convolution of a block carries the stride.

Shapes: images float32[N, 3, H, W] -> four maps [N, C_i, H/s_i, W/s_i] with strides 4, 8, 16, 32.
"""

from __future__ import annotations

from typing import Any

from edge_seg.models.layers import ConvNorm, FeatureSpec
from edge_seg.paddle_env import nn

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


class BasicBlock(nn.Layer):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, *, stride: int, project: bool, frozen: bool) -> None:
        super().__init__()
        self.short = ConvNorm(inputs, width, 1, stride=stride, frozen=frozen) if project else None
        self.branch2a = ConvNorm(inputs, width, 3, stride=stride, relu=True, frozen=frozen)
        self.branch2b = ConvNorm(width, width, 3, frozen=frozen)

    def forward(self, x: Any) -> Any:
        short = x if self.short is None else self.short(x)
        return nn.functional.relu(self.branch2b(self.branch2a(x)) + short)


class Bottleneck(nn.Layer):
    """1x1, 3x3, 1x1 convolutions and a shortcut."""

    expansion = 4

    def __init__(self, inputs: int, width: int, *, stride: int, project: bool, frozen: bool) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.short = ConvNorm(inputs, outputs, 1, stride=stride, frozen=frozen) if project else None
        self.branch2a = ConvNorm(inputs, width, 1, relu=True, frozen=frozen)
        self.branch2b = ConvNorm(width, width, 3, stride=stride, relu=True, frozen=frozen)
        self.branch2c = ConvNorm(width, outputs, 1, frozen=frozen)

    def forward(self, x: Any) -> Any:
        short = x if self.short is None else self.short(x)
        return nn.functional.relu(self.branch2c(self.branch2b(self.branch2a(x))) + short)


class ResNet(nn.Layer):
    """``depth`` 18 or 50; ``width`` is the channel count of the stem (64 as published)."""

    def __init__(self, depth: int, *, width: int = 64, frozen_norm: bool = False) -> None:
        super().__init__()
        block = BasicBlock if depth < 50 else Bottleneck
        self.conv1 = nn.Sequential(("conv1", ConvNorm(3, width, 7, stride=2, relu=True, frozen=frozen_norm)))
        self.pool = nn.MaxPool2D(kernel_size=3, stride=2, padding=1)
        inputs = width
        self.stages = []
        self.out_specs = []
        for stage, count in enumerate(BLOCKS[depth]):
            outputs = width * 2**stage
            blocks = nn.Sequential()
            for i in range(count):
                stride = 2 if i == 0 and stage > 0 else 1
                layer = block(inputs, outputs, stride=stride, project=i == 0, frozen=frozen_norm)
                blocks.add_sublayer(f"res{stage + 2}{'abcdef'[i]}", layer)
                inputs = outputs * block.expansion
            self.stages.append(self.add_sublayer(f"res{stage + 2}", blocks))
            self.out_specs.append(FeatureSpec(inputs, 4 * 2**stage))

    @property
    def parts(self) -> list[list[Any]]:
        """The stem's layers, then those of res2 to res5: what freezing counts."""
        return [[self.conv1], *([stage] for stage in self.stages)]

    def forward(self, images: Any) -> list[Any]:
        x = self.pool(self.conv1(images))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps
