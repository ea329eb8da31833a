"""The whole model as one graph, which the claims about two and three graphs are measured against."""

from __future__ import annotations

from typing import Any

from convert.export.graphs import Graph, LayerHelper, traced
from edge_seg.manifest import PostprocessSpec, TensorSpec
from edge_seg.paddle_env import paddle


class FullGraph(Graph):
    """Both graphs and the NMS between them in one: what a bundle's two are measured against, never shipped.

    ``image`` → ``detections`` [K, 6] (class, score, box) and ``masks`` [K, 28, 28]. It holds no fake box, so a picture
    in which nothing is found makes it fail.
    """

    name = "full"

    def __init__(self, model: Any, size: tuple[int, int], post: PostprocessSpec) -> None:
        super().__init__()
        self.model = model
        self.post = post
        self.inputs = (TensorSpec("image", (1, 3, *size), "float32"),)
        self.outputs = (TensorSpec("detections", (-1, 6), "float32"), TensorSpec("masks", (-1, 28, 28), "float32"))

    @traced
    def forward(self, image: Any) -> tuple[Any, Any]:
        boxes, scores, features = self.model.detect(image)
        classes = boxes.shape[1]
        detections, num = self._nms(boxes, scores[:, :-1])
        rows = paddle.cumsum(paddle.ones_like(detections[:, 0])) - 1.0
        channel = paddle.cast(rows * classes + detections[:, 0], "int32")
        return detections, self.model.masks(list(features), detections[:, 2:], num, channel)

    def _nms(self, boxes: Any, scores: Any) -> tuple[Any, Any]:
        """Boxes [R, C, 4] and scores [R, C] → detections [K, 6] and K as int32[1], by Paddle's own operator."""
        helper = LayerHelper("multiclass_nms3")
        detections = helper.create_variable_for_type_inference("float32")
        index = helper.create_variable_for_type_inference("int32")
        count = helper.create_variable_for_type_inference("int32")
        helper.append_op(
            type="multiclass_nms3",
            inputs={"BBoxes": boxes, "Scores": scores, "RoisNum": paddle.full([1], boxes.shape[0], "int32")},
            attrs={
                "background_label": -1,
                "score_threshold": self.post.score_threshold,
                "nms_top_k": -1,
                "nms_threshold": self.post.nms_iou,
                "keep_top_k": self.post.keep,
                "nms_eta": 1.0,
                "normalized": True,  # IoU without +1, as on the host
            },
            outputs={"Out": detections, "Index": index, "NmsRoisNum": count},
        )
        return detections.reshape([-1, 6]), count
