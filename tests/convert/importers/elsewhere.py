"""A folder as PaddleDetection's ``export_model.py`` writes it, from a model of our own.

The program has the operators, inputs and outputs of that library's Mask R-CNN exported with ``export_onnx=True`` (read
off such an export): a fake box behind the non-maximum suppression, labels picked by index, boxes scaled to the image,
masks pasted with grid_sample. The settings are written as that library writes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.full_graph import FullGraph
from convert.export.export import export_graph
from convert.export.graphs import Graph, traced
from edge_seg.data.synth import CLASSES
from edge_seg.manifest import PostprocessSpec, TensorSpec
from edge_seg.models import mask_head
from edge_seg.models.build import build_model
from edge_seg.paddle_env import nn, paddle
from edge_seg.train.weights import load_exactly
from tests.conftest import ROOT

SIDE = 192
POST = PostprocessSpec(score_threshold=0.3)
INFER_CFG = """\
mode: paddle
draw_threshold: 0.5
metric: COCO
use_dynamic_shape: false
export_onnx: true
export_eb: false
arch: RCNN
min_subgraph_size: 40
mask: true
Preprocess:
- interp: 1
  keep_ratio: true
  target_size:
  - 192
  - 192
  type: Resize
- is_scale: true
  mean:
  - 0.485
  - 0.456
  - 0.406
  std:
  - 0.229
  - 0.224
  - 0.225
  type: NormalizeImage
- type: Permute
- stride: 32
  type: PadStride
label_list:
- circle
- triangle
- star
"""


def trained() -> Any:
    """The tiny model with the weights that this project ships, for 192 x 192."""
    model = build_model("mask_rcnn_tiny_fpn", len(CLASSES))
    load_exactly(model, ROOT / "weights" / "mask_rcnn_tiny_fpn_shapes.pdparams")
    model.eval()
    model.set_input((SIDE, SIDE), 60)
    return model


class ElsewhereGraph(Graph):
    """See the module. ``fake``: with the fake box; ``pasted``: with pasted masks; ``branched``: with a branch.

    ``open_sides``: for any input size.
    """

    name = "model"

    def __init__(
        self, model: Any, *, fake: bool = True, pasted: bool = True, branched: bool = False, open_sides: bool = False
    ) -> None:
        super().__init__()
        self.model = model
        self.fake = fake
        self.pasted = pasted
        self.branched = branched
        self.post = POST
        side = -1 if open_sides else SIDE
        self.inputs = (
            TensorSpec("image", (1, 3, side, side), "float32"),
            TensorSpec("im_shape", (1, 2), "float32"),
            TensorSpec("scale_factor", (1, 2), "float32"),
        )
        self.outputs = ()

    @traced
    def forward(self, image: Any, im_shape: Any, scale_factor: Any) -> tuple[Any, ...]:
        boxes, scores, maps = self.model.detect(image)
        boxes = paddle.minimum(paddle.clip(boxes, min=0.0), paddle.flip(im_shape, [1]).tile([1, 2]).reshape([1, 1, 4]))
        found, count = FullGraph._nms(self, boxes, scores[:, :-1])
        if self.fake:
            box = paddle.concat([paddle.full([1, 4], 0.0), paddle.full([1, 2], 1.0)], axis=1)
            found, count = paddle.concat([found, box]), count + 1
        logits = self.model.mask_head(self.model._pool(list(maps), found[:, 2:], count, mask_head.RESOLUTION))
        rows = paddle.arange(paddle.shape(logits)[0]).cast("int32")
        masks = nn.functional.sigmoid(logits[rows, found[:, 0].cast("int32")])
        height, width = scale_factor[:, 0:1], scale_factor[:, 1:2]
        scaled = found[:, 2:] / paddle.concat([width, height, width, height], axis=1)
        rows_out = paddle.concat([found[:, :2], scaled], axis=1)
        if self.branched:
            kept = rows_out
            rows_out = paddle.static.nn.cond(count[0] == 1, lambda: kept * 0.0, lambda: kept)
        if not self.pasted:
            return rows_out, count, masks
        image = paddle.floor(im_shape / scale_factor + 0.5).cast("int32")
        return rows_out, count, _paste(masks, scaled, image[0, 0], image[0, 1])


def _paste(masks: Any, boxes: Any, height: Any, width: Any) -> Any:
    x0, y0, x1, y1 = paddle.split(boxes, 4, axis=1)
    across = (paddle.arange(0, width, dtype="float32") + 0.5 - x0) / (x1 - x0) * 2 - 1
    down = (paddle.arange(0, height, dtype="float32") + 0.5 - y0) / (y1 - y0) * 2 - 1
    shape = [paddle.shape(masks)[0], paddle.shape(down)[1], paddle.shape(across)[1]]
    grid = paddle.stack([across[:, None, :].expand(shape), down[:, :, None].expand(shape)], axis=3)
    sampled = nn.functional.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]
    return paddle.cast(sampled >= 0.5, "int32")


def write_elsewhere(folder: Path, settings: str = INFER_CFG, name: str = "infer_cfg.yml", **options: bool) -> Path:
    """Exports the model into ``folder`` with its settings beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    export_graph(ElsewhereGraph(trained(), **options), folder)
    (folder / name).write_text(settings)
    return folder
