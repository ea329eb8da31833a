"""What is exported: a model's graphs, each a small layer with declared inputs and outputs.

Two graphs, `detect` and `mask`; or three, `trunk`, `box_head` and `mask_head`, between which the runtime does the
RoIAlign: Paddle's own takes several times as long on CPUs (docs/native-speed.md); or four, `trunk`, `rpn`, `box_head`
and `mask_head`, of convolutions and matrix products alone, for engines that have nothing else.

H, W: input size; R: proposals; C: classes; N: boxes kept by the host (at least 1); K: boxes that one graph keeps.
Features P2 to P5 are float32[1, width, H / 4 … H / 32, W / 4 … W / 32].
"""

from __future__ import annotations

from typing import Any

from edge_seg.manifest import TensorSpec
from edge_seg.models import box_head, mask_head
from edge_seg.paddle_env import paddle
from edge_seg.runtime.anchors import RATIOS

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


class PyramidGraph(Graph):
    """``image`` float32[1, 3, H, W] → ``p2`` … ``p6``."""

    name = "trunk"

    def __init__(self, model: Any, size: tuple[int, int], features: tuple[TensorSpec, ...]) -> None:
        super().__init__()
        self.model = model
        self.inputs = (TensorSpec("image", (1, 3, *size), "float32"),)
        coarsest = TensorSpec("p6", (1, features[0].shape[1], *model.neck.grids(size)[-1]), "float32")
        self.outputs = (*features, coarsest)

    @traced
    def forward(self, image: Any) -> tuple[Any, ...]:
        return tuple(self.model.features(image))


class RPNGraph(Graph):
    """A level's ``map`` [1, width, h, w] → ``logits`` [1, A, h, w], ``deltas`` [1, 4 A, h, w]."""

    name = "rpn"

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        anchors = len(RATIOS)
        self.inputs = (TensorSpec("map", (1, model.settings.pyramid_width, -1, -1), "float32"),)
        self.outputs = (
            TensorSpec("logits", (1, anchors, -1, -1), "float32"),
            TensorSpec("deltas", (1, 4 * anchors, -1, -1), "float32"),
        )

    @traced
    def forward(self, map: Any) -> tuple[Any, Any]:
        logits, deltas = self.model.rpn_head([map])
        return logits[0], deltas[0]


class BoxLogitsGraph(Graph):
    """``pooled`` [R, width, 7, 7] → ``logits`` [R, C + 1], ``deltas`` [R, 4 C]."""

    name = "box_head"

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        width, side, classes = model.settings.pyramid_width, box_head.RESOLUTION, model.num_classes
        self.inputs = (TensorSpec("pooled", (-1, width, side, side), "float32"),)
        self.outputs = (
            TensorSpec("logits", (-1, classes + 1), "float32"),
            TensorSpec("deltas", (-1, 4 * classes), "float32"),
        )

    @traced
    def forward(self, pooled: Any) -> tuple[Any, Any]:
        logits, deltas = self.model.bbox_head(pooled)
        return logits, deltas


class MaskLogitsGraph(Graph):
    """``pooled`` [N, width, 14, 14] → ``logits`` [N, C, 28, 28]."""

    name = "mask_head"

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        width, side, masks = model.settings.pyramid_width, mask_head.RESOLUTION, mask_head.MASK_SIZE
        self.inputs = (TensorSpec("pooled", (-1, width, side, side), "float32"),)
        self.outputs = (TensorSpec("logits", (-1, model.num_classes, masks, masks), "float32"),)

    @traced
    def forward(self, pooled: Any) -> Any:
        return self.model.mask_head(pooled)
