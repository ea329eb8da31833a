"""Paddle's detection operators in ONNX: proposals, their levels, RoIAlign. One image only.

K: boxes that enter NMS, M: boxes that leave it, R: proposals of all levels. Arithmetic follows Paddle's CPU kernels
(``generate_proposals``, ``distribute_fpn_proposals``, ``roi_align``) step by step, so that results differ by rounding
only.
"""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto, numpy_helper

from convert.backends.onnx.graph import OnnxGraph
from convert.program.program import Operator
from edge_seg.errors import ConversionError

# exp() of a delta never enlarges a box more than this.
_MAX_SCALE = math.log(1000.0 / 16.0)
# A box must be this wide and high, whatever smaller min_size is asked for.
_LEAST_SIDE = 1.0
# Added to sqrt(area) / refer_scale before its logarithm is taken.
_LEVEL_EPSILON = 1e-6
# A score that no model gives.
_DROPPED = -1e30
_ZERO = numpy_helper.from_array(np.zeros(1, np.int64))


def propose(graph: OnnxGraph, op: Operator) -> None:
    """``generate_proposals_v2``: one level's boxes [M, 4] and scores [M, 1], best first.

    Where nothing is left that is one box without area and of score 0. Of equal scores ONNX takes the first in the map
    before the others, Paddle any: in areas of one colour, where neighbours score alike to the last bit, another of them
    may remain.
    """
    op.require(pixel_offset=False, eta=1.0)
    before, after = op.attributes["pre_nms_topN"], op.attributes["post_nms_topN"]
    images, *sides = graph.shape(op, "Scores")
    if images != 1 or -1 in sides:
        raise ConversionError(f"{op.kind} has a rule for one image of known size only", code="unsupported-operator")
    scores = _rows(graph, graph.input(op, "Scores"), -1)
    deltas = _rows(graph, graph.input(op, "BboxDeltas"), -1, 4)
    anchors, variances = (
        graph.add("Reshape", graph.input(op, s), graph.integers(-1, 4)) for s in ("Anchors", "Variances")
    )
    if 0 < before < math.prod(sides):
        scores, best = graph.add_many("TopK", 2, scores, graph.integers(before))
        deltas, anchors, variances = (graph.add("Gather", x, best) for x in (deltas, anchors, variances))
    boxes = _clipped(graph, _decoded(graph, anchors, graph.add("Mul", variances, deltas)), graph.input(op, "ImShape"))
    low, high = graph.add_many("Split", 2, boxes, axis=1)
    shorter = graph.add("ReduceMin", graph.add("Sub", high, low), axes=[1], keepdims=0)
    least = graph.constant(max(op.attributes["min_size"], _LEAST_SIDE))
    wide = graph.add("GreaterOrEqual", shorter, least)
    # NMS drops what has too low a score: so boxes too small needn't be taken out, and the box that stands for none
    # can always be among them.
    none = graph.add("Less", graph.add("ReduceMax", shorter, keepdims=1), least)
    present = graph.add("Concat", wide, none, axis=0)
    boxes = graph.add("Concat", boxes, graph.constant(np.zeros((1, 4))), axis=0)
    scores = graph.add("Concat", scores, graph.constant([0.0]), axis=0)
    candidates = graph.add("Where", present, scores, graph.constant(_DROPPED))
    selected = graph.add(
        "NonMaxSuppression",
        graph.add("Unsqueeze", boxes, graph.integers(0)),
        graph.add("Unsqueeze", candidates, graph.integers(0, 1)),
        graph.integers(after),
        graph.constant([op.attributes["nms_thresh"]]),
        graph.constant([_DROPPED / 2]),
    )
    # A row is (image, class, box).
    kept = graph.add("Gather", selected, graph.constant(2, np.int64), axis=1)
    graph.bind(op.outputs["RpnRois"][0], graph.add("Gather", boxes, kept))
    kept_scores = graph.add("Gather", scores, kept)
    graph.bind(op.outputs["RpnRoiProbs"][0], graph.add("Unsqueeze", kept_scores, graph.integers(1)))


def _rows(graph: OnnxGraph, map_: str, *shape: int) -> str:
    """[1, A * n, H, W] → the values of each anchor in a row, cell by cell."""
    return graph.add("Reshape", graph.add("Transpose", map_, perm=[0, 2, 3, 1]), graph.integers(*shape))


def _decoded(graph: OnnxGraph, anchors: str, deltas: str) -> str:
    """Boxes [K, 4] that ``deltas`` make of ``anchors``."""
    low, high = graph.add_many("Split", 2, anchors, axis=1)
    shift, growth = graph.add_many("Split", 2, deltas, axis=1)
    half = graph.constant(0.5)
    sides = graph.add("Sub", high, low)
    centre = graph.add("Add", graph.add("Mul", shift, sides), graph.add("Add", low, graph.add("Mul", sides, half)))
    scale = graph.add("Exp", graph.add("Min", growth, graph.constant(_MAX_SCALE)))
    reach = graph.add("Mul", graph.add("Mul", scale, sides), half)
    return graph.add("Concat", graph.add("Sub", centre, reach), graph.add("Add", centre, reach), axis=1)


def _clipped(graph: OnnxGraph, boxes: str, size: str) -> str:
    """Boxes cut off at the image of ``size`` float32[1, 2] (height, width)."""
    limits = graph.add("Gather", graph.add("Reshape", size, graph.integers(-1)), graph.integers(1, 0, 1, 0))
    return graph.add("Max", graph.add("Min", boxes, limits), graph.constant(0.0))


def distribute(graph: OnnxGraph, op: Operator) -> None:
    """``distribute_fpn_proposals``: the boxes of each level, and where in these each of the R boxes went.

    The level is floor(refer_level + log2(sqrt(area) / refer_scale + 1e-6)), between the least and the greatest; it is
    found by comparing with powers of two, which no rounding of a logarithm can upset.

    Boxes are sorted out by level, as Paddle does it. The other way, of a fixed shape, hands all boxes to every level,
    those that belong elsewhere shrunk to nothing, and adds up: measured on one thread with 256 channels it takes 49 ms
    where this takes 37 (100 boxes in 320 x 320, 7 x 7), 378 for 292 (400 in 640 x 640), 26 for 11 (10 boxes, 14 x 14).
    """
    op.require(pixel_offset=False)
    least, greatest, refer = (op.attributes[name] for name in ("min_level", "max_level", "refer_level"))
    boxes = graph.input(op, "FpnRois")
    low, high = graph.add_many("Split", 2, boxes, axis=1)
    sides = graph.add("Max", graph.add("Sub", high, low), graph.constant(0.0))
    side = graph.add("Sqrt", graph.add("ReduceProd", sides, axes=[1]))
    relative = graph.add("Div", side, graph.constant(op.attributes["refer_scale"]))
    relative = graph.add("Add", relative, graph.constant(_LEVEL_EPSILON))
    borders = graph.constant([2.0 ** (level - refer) for level in range(least + 1, greatest + 1)])
    passed = graph.add("Cast", graph.add("GreaterOrEqual", relative, borders), to=TensorProto.INT64)
    level = graph.add("ReduceSum", passed, graph.integers(1), keepdims=0)
    rows = []
    for i, name in enumerate(op.outputs["MultiFpnRois"]):
        here = graph.add("NonZero", graph.add("Equal", level, graph.constant(i, np.int64)))
        rows.append(graph.add("Reshape", here, graph.integers(-1)))
        graph.bind(name, graph.add("Gather", boxes, rows[-1]))
    order = graph.add("Concat", *rows, axis=0)
    count = graph.add("Shape", order)
    zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)
    places = graph.add("Range", zero, graph.add("Squeeze", count), one)
    graph.bind(op.outputs["RestoreIndex"][0], graph.add("ScatterElements", order, order, places, axis=0))


def roi_align(graph: OnnxGraph, op: Operator) -> None:
    """``roi_align`` of one image's map. A box without area gives zeros (in Paddle's CPU kernel NaN)."""
    op.require(aligned=True)
    maps, boxes = graph.input(op, "X"), graph.input(op, "ROIs")
    if graph.shape(op, "X")[0] != 1:
        raise ConversionError(f"{op.kind} over several images has no rule", code="unsupported-operator")
    images = graph.add("ConstantOfShape", graph.add("Shape", boxes, end=1), value=_ZERO)
    value = graph.add(
        "RoiAlign",
        maps,
        boxes,
        images,
        output_height=op.attributes["pooled_height"],
        output_width=op.attributes["pooled_width"],
        sampling_ratio=max(0, op.attributes["sampling_ratio"]),
        spatial_scale=op.attributes["spatial_scale"],
        coordinate_transformation_mode="half_pixel",
        mode="avg",
    )
    graph.bind(op.outputs["Out"][0], value)
