"""What is exported: a model's graphs, each a small layer with declared inputs and outputs.

Two graphs, `detect` and `mask`, or three, `trunk`, `box_head` and `mask_head`, between which the runtime does the
RoIAlign: Paddle's own takes several times as long on CPUs (docs/native-speed.md).

H, W: input size; R: proposals; C: classes; N: boxes kept by the host (at least 1); K: boxes that one graph keeps.
Features P2 to P5 are float32[1, width, H / 4 … H / 32, W / 4 … W / 32].
"""

from __future__ import annotations

from typing import Any

from edge_seg.manifest import TensorSpec
from edge_seg.models import box_head, mask_head
from edge_seg.paddle_env import paddle

LayerHelper = paddle.base.layer_helper.LayerHelper
# paddle would rewrite the source of every function that it meets (and stumbles over `zip(…, strict=True)`). A model
# whose control flow doesn't depend on data can be traced as it is.
traced = paddle.jit.not_to_static


class Graph(paddle.nn.Layer):  # type: ignore[misc,unused-ignore]
    """A layer to export: ``name`` of the graph, its ``inputs`` and its ``outputs`` in order."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class DetectGraph(Graph):
    """``image`` float32[1, 3, H, W] → ``boxes`` [R, C, 4], ``scores`` [R, C + 1], ``p2`` … ``p5``."""

    name = "detect"

    def __init__(self, model: Any, size: tuple[int, int], outputs: tuple[TensorSpec, ...]) -> None:
        super().__init__()
        self.model = model
        self.inputs = (TensorSpec("image", (1, 3, *size), "float32"),)
        self.outputs = outputs

    @traced
    def forward(self, image: Any) -> tuple[Any, ...]:
        boxes, scores, features = self.model.detect(image)
        return (boxes, scores, *features)


class MaskGraph(Graph):
    """``p2`` … ``p5``, ``boxes`` [N, 4], ``num`` [1] = N, ``channel`` [N] = n * C + class → ``masks`` [N, 28, 28]."""

    name = "mask"

    def __init__(self, model: Any, features: tuple[TensorSpec, ...]) -> None:
        super().__init__()
        self.model = model
        self.inputs = (
            *features,
            TensorSpec("boxes", (-1, 4), "float32"),
            TensorSpec("num", (1,), "int32"),
            TensorSpec("channel", (-1,), "int32"),
        )
        self.outputs = (TensorSpec("masks", (-1, 28, 28), "float32"),)

    @traced
    def forward(self, p2: Any, p3: Any, p4: Any, p5: Any, boxes: Any, num: Any, channel: Any) -> Any:
        return self.model.masks([p2, p3, p4, p5], boxes, num, channel)


class TrunkGraph(Graph):
    """``image`` float32[1, 3, H, W] → proposals ``rois`` [R, 4], ``p2`` … ``p5``."""

    name = "trunk"

    def __init__(self, model: Any, size: tuple[int, int], features: tuple[TensorSpec, ...]) -> None:
        super().__init__()
        self.model = model
        self.inputs = (TensorSpec("image", (1, 3, *size), "float32"),)
        self.outputs = (TensorSpec("rois", (model.proposals, 4), "float32"), *features)

    @traced
    def forward(self, image: Any) -> tuple[Any, ...]:
        rois, features = self.model.propose(image)
        return (rois, *features)


class BoxHeadGraph(Graph):
    """``pooled`` [R, width, 7, 7] and ``rois`` [R, 4] → ``boxes`` [R, C, 4], ``scores`` [R, C + 1]."""

    name = "box_head"

    def __init__(self, model: Any, outputs: tuple[TensorSpec, ...]) -> None:
        super().__init__()
        self.model = model
        width, side = model.settings.pyramid_width, box_head.RESOLUTION
        self.inputs = (
            TensorSpec("pooled", (model.proposals, width, side, side), "float32"),
            TensorSpec("rois", (model.proposals, 4), "float32"),
        )
        self.outputs = outputs

    @traced
    def forward(self, pooled: Any, rois: Any) -> tuple[Any, Any]:
        boxes, scores = self.model.classify(pooled, rois)
        return boxes, scores


class MaskHeadGraph(Graph):
    """``pooled`` [N, width, 14, 14] and ``channel`` [N] = n * C + class → ``masks`` [N, 28, 28]."""

    name = "mask_head"

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        width, side = model.settings.pyramid_width, mask_head.RESOLUTION
        self.inputs = (
            TensorSpec("pooled", (-1, width, side, side), "float32"),
            TensorSpec("channel", (-1,), "int32"),
        )
        self.outputs = (TensorSpec("masks", (-1, 28, 28), "float32"),)

    @traced
    def forward(self, pooled: Any, channel: Any) -> Any:
        return self.model.draw(pooled, channel)
