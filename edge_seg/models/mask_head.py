"""The head that draws an object's mask (Mask R-CNN, He et al., 2017).

N: boxes, C: classes; pooled features [N, in, 14, 14] -> a 28x28 mask for every class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edge_seg.paddle_env import nn, paddle

if TYPE_CHECKING:
    from edge_seg.data.mask_target import Outline

F = nn.functional
RESOLUTION = 14
MASK_SIZE = 28


class MaskFeature(nn.Layer):
    """Four 3x3 convolutions and a doubling of the resolution: [N, in, 14, 14] -> [N, width, 28, 28]."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.upsample = nn.Sequential()
        for i in range(4):
            conv = nn.Conv2D(inputs if i == 0 else width, width, 3, padding=1, weight_attr=_kaiming(width * 9))
            self.upsample.add_sublayer(f"mask_inter_feat_{i + 1}", conv)
            self.upsample.add_sublayer(f"mask_inter_feat_{i + 1}act", nn.ReLU())
        deconv = nn.Conv2DTranspose(width, width, 2, stride=2, weight_attr=_kaiming(width * 4))
        self.upsample.add_sublayer("conv5_mask", deconv)
        self.upsample.add_sublayer("conv5_maskact", nn.ReLU())

    def forward(self, x: Any) -> Any:
        return self.upsample(x)


class MaskHead(nn.Layer):
    """Pooled features [N, in, 14, 14] -> mask logits [N, C, 28, 28]."""

    def __init__(self, inputs: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.head = MaskFeature(inputs, width)
        # Small weights: a mask begins as "don't know" (loss 0.69), not as noise.
        small = paddle.ParamAttr(initializer=nn.initializer.Normal(std=0.001))
        self.mask_fcn_logits = nn.Conv2D(width, num_classes, 1, weight_attr=small)

    def forward(self, pooled: Any) -> Any:
        return self.mask_fcn_logits(self.head(pooled))

    def of_class(self, pooled: Any, classes: Any) -> Any:
        """Each box's own class alone, ``classes`` int32[N] -> [N, 28, 28]: all classes' products are 2 % of a model."""
        features, convolution = self.head(pooled), self.mask_fcn_logits
        width = features.shape[1]
        weights = paddle.gather(convolution.weight.reshape([-1, width]), classes).reshape([-1, 1, width])
        products = paddle.matmul(weights, features.reshape([-1, width, MASK_SIZE * MASK_SIZE]))
        # Added behind the reshape: paddle fuses a sum into the product, and with one number a box oneDNN then takes its
        # unoptimised kernel: 169 ms for ten boxes instead of 97, one thread (#18).
        biases = paddle.gather(convolution.bias.reshape([-1, 1, 1]), classes)
        return paddle.add(products.reshape([-1, MASK_SIZE, MASK_SIZE]), biases)


def mask_targets(outlines: Sequence[Outline], boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The ground truth as the head sees it, float32[N, 28, 28] of 0 and 1: each outline in the frame of its box [4]."""
    targets = np.zeros((len(boxes), MASK_SIZE, MASK_SIZE), np.float32)
    for target, outline, box in zip(targets, outlines, boxes, strict=True):
        target[:] = outline.inside(box, MASK_SIZE)
    return targets


def pick(logits: Any, channel: Any) -> Any:
    """Each box's own class: logits [N, C, 28, 28], ``channel`` int[N] = n C + class -> [N, 28, 28]."""
    return paddle.gather(logits.reshape([-1, MASK_SIZE, MASK_SIZE]), channel)


def _kaiming(fan: int) -> Any:
    return paddle.ParamAttr(initializer=nn.initializer.KaimingNormal(fan_in=fan))
