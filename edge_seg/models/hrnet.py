"""HRNet (Wang et al., 2019, arXiv 1908.07919): branches of four resolutions that exchange what they know.

Shapes: images float32[N, 3, H, W] -> four maps [N, width * 2**i, H/s_i, W/s_i] with strides 4, 8, 16, 32.
Sublayer names follow PaddleDetection's ``hrnet.py``, long as they are, so that its weights fit.
"""

from __future__ import annotations

from typing import Any

from edge_seg.models.layers import ConvNorm, FeatureSpec
from edge_seg.paddle_env import nn

F = nn.functional


class BasicBlock(nn.Layer):
    """Two 3x3 convolutions and an identity shortcut."""

    def __init__(self, width: int, *, frozen: bool) -> None:
        super().__init__()
        self.conv1 = ConvNorm(width, width, 3, relu=True, frozen=frozen)
        self.conv2 = ConvNorm(width, width, 3, frozen=frozen)

    def forward(self, x: Any) -> Any:
        return F.relu(x + self.conv2(self.conv1(x)))


class Bottleneck(nn.Layer):
    """1x1, 3x3, 1x1 convolutions (64, 64, 256 channels) and a shortcut."""

    def __init__(self, inputs: int, *, frozen: bool) -> None:
        super().__init__()
        self.conv1 = ConvNorm(inputs, 64, 1, relu=True, frozen=frozen)
        self.conv2 = ConvNorm(64, 64, 3, relu=True, frozen=frozen)
        self.conv3 = ConvNorm(64, 256, 1, frozen=frozen)
        self.conv_down = ConvNorm(inputs, 256, 1, frozen=frozen) if inputs != 256 else None

    def forward(self, x: Any) -> Any:
        short = x if self.conv_down is None else self.conv_down(x)
        return F.relu(short + self.conv3(self.conv2(self.conv1(x))))


class Stem(nn.Layer):
    """Four bottlenecks at stride 4."""

    def __init__(self, name: str, *, frozen: bool) -> None:
        super().__init__()
        self.blocks = [
            self.add_sublayer(f"block_{name}_{i + 1}", Bottleneck(64 if i == 0 else 256, frozen=frozen))
            for i in range(4)
        ]

    def forward(self, x: Any) -> Any:
        for block in self.blocks:
            x = block(x)
        return x


class Transition(nn.Layer):
    """Adapts the channels of the branches there are and opens new ones at half the last one's resolution."""

    def __init__(self, name: str, inputs: list[int], outputs: list[int], *, frozen: bool) -> None:
        super().__init__()
        self.convs: list[Any] = []
        for i, width in enumerate(outputs):
            opens = i >= len(inputs)
            source = inputs[-1] if opens else inputs[i]
            if not opens and source == width:
                self.convs.append(None)
                continue
            conv = ConvNorm(source, width, 3, stride=2 if opens else 1, relu=True, frozen=frozen)
            self.convs.append(self.add_sublayer(f"transition_{name}_layer_{i + 1}", conv))

    def forward(self, maps: list[Any]) -> list[Any]:
        sources = maps + [maps[-1]] * (len(self.convs) - len(maps))
        return [x if conv is None else conv(x) for conv, x in zip(self.convs, sources, strict=True)]


class Branches(nn.Layer):
    """Four basic blocks on every branch."""

    def __init__(self, name: str, widths: list[int], *, frozen: bool) -> None:
        super().__init__()
        self.branches = [
            [
                self.add_sublayer(f"bb_{name}_branch_layer_{i + 1}_{j + 1}", BasicBlock(width, frozen=frozen))
                for j in range(4)
            ]
            for i, width in enumerate(widths)
        ]

    def forward(self, maps: list[Any]) -> list[Any]:
        outputs = []
        for blocks, x in zip(self.branches, maps, strict=True):
            for block in blocks:
                x = block(x)
            outputs.append(x)
        return outputs


class Fuse(nn.Layer):
    """Every branch receives the sum of all at its resolution: strided 3x3 downwards, 1x1 and nearest upwards."""

    def __init__(self, name: str, widths: list[int], *, frozen: bool) -> None:
        super().__init__()
        self.paths: dict[tuple[int, int], list[Any]] = {}
        for i, target in enumerate(widths):
            for j, source in enumerate(widths):
                prefix = f"residual_{name}_layer_{i + 1}_{j + 1}"
                if j > i:
                    self.paths[i, j] = [self.add_sublayer(prefix, ConvNorm(source, target, 1, frozen=frozen))]
                steps = [] if j >= i else [source] * (i - j - 1) + [target]
                for k, width in enumerate(steps):
                    last = k == len(steps) - 1
                    conv = ConvNorm(source, width, 3, stride=2, relu=not last, frozen=frozen)
                    self.paths.setdefault((i, j), []).append(self.add_sublayer(f"{prefix}_{k + 1}", conv))

    def forward(self, maps: list[Any]) -> list[Any]:
        outputs = []
        for i, total in enumerate(maps):
            for j, x in enumerate(maps):
                for conv in self.paths.get((i, j), []):
                    x = conv(x)
                if j > i:
                    x = F.interpolate(x, scale_factor=2 ** (j - i))
                if j != i:
                    total = total + x
            outputs.append(F.relu(total))
        return outputs


class Module(nn.Layer):
    """One exchange: branches, then fusion."""

    def __init__(self, name: str, widths: list[int], *, frozen: bool) -> None:
        super().__init__()
        self.branches_func = Branches(name, widths, frozen=frozen)
        self.fuse_func = Fuse(name, widths, frozen=frozen)

    def forward(self, maps: list[Any]) -> list[Any]:
        fused: list[Any] = self.fuse_func(self.branches_func(maps))
        return fused


class Stage(nn.Layer):
    """Several modules of the same widths."""

    def __init__(self, name: str, widths: list[int], modules: int, *, frozen: bool) -> None:
        super().__init__()
        self.exchanges = [
            self.add_sublayer(f"stage_{name}_{i + 1}", Module(f"{name}_{i + 1}", widths, frozen=frozen))
            for i in range(modules)
        ]

    def forward(self, maps: list[Any]) -> list[Any]:
        for exchange in self.exchanges:
            maps = exchange(maps)
        return maps


class HRNet(nn.Layer):
    """HRNet-W``width`` with modules 1, 4, 3 in its stages of two, three and four branches."""

    def __init__(self, width: int = 18, *, frozen_norm: bool = False) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(4)]
        self.conv_layer1_1 = ConvNorm(3, 64, 3, stride=2, relu=True, frozen=frozen_norm)
        self.conv_layer1_2 = ConvNorm(64, 64, 3, stride=2, relu=True, frozen=frozen_norm)
        self.la1 = Stem("layer2", frozen=frozen_norm)
        self.tr1 = Transition("tr1", [256], widths[:2], frozen=frozen_norm)
        self.st2 = Stage("st2", widths[:2], 1, frozen=frozen_norm)
        self.tr2 = Transition("tr2", widths[:2], widths[:3], frozen=frozen_norm)
        self.st3 = Stage("st3", widths[:3], 4, frozen=frozen_norm)
        self.tr3 = Transition("tr3", widths[:3], widths, frozen=frozen_norm)
        self.st4 = Stage("st4", widths, 3, frozen=frozen_norm)
        self.out_specs = [FeatureSpec(w, 4 * 2**i) for i, w in enumerate(widths)]

    @property
    def parts(self) -> list[list[Any]]:
        """The stem's layers, then those of each stage: what freezing counts."""
        stem, first = [self.conv_layer1_1, self.conv_layer1_2], [self.la1]
        return [stem, first, [self.tr1, self.st2], [self.tr2, self.st3], [self.tr3, self.st4]]

    def forward(self, images: Any) -> list[Any]:
        x = self.la1(self.conv_layer1_2(self.conv_layer1_1(images)))
        maps = self.st2(self.tr1([x]))
        maps = self.st3(self.tr2(maps))
        maps = self.st4(self.tr3(maps))
        return list(maps)
