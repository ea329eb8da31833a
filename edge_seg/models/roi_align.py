"""RoIAlign over the pyramid (Mask R-CNN, section 3; FPN, section 4.2).

R: boxes, all images' one after the other; P2 to P5: [N, C, H/s, W/s] with strides 4, 8, 16, 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_seg.paddle_env import paddle
from edge_seg.runtime.anchors import STRIDES

ops = paddle.vision.ops


def pool(maps: Sequence[Any], boxes: Any, counts: Any, *, resolution: int, canonical_size: int) -> Any:
    """Features float32[R, C, resolution, resolution] of ``boxes`` [R, 4], in their order.

    A box is read from level ``floor(4 + log2(sqrt(area) / canonical_size))``, between 2 and 5. ``counts`` int32[N]:
    boxes of each image.
    """
    levels, restore, level_counts = ops.distribute_fpn_proposals(boxes, 2, 5, 4, canonical_size, rois_num=counts)
    pooled = [
        ops.roi_align(x, level, count, resolution, spatial_scale=1.0 / stride, sampling_ratio=-1, aligned=True)
        for x, level, count, stride in zip(maps, levels, level_counts, STRIDES, strict=False)
    ]
    return paddle.gather(paddle.concat(pooled), restore.reshape([-1]))
