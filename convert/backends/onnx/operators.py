"""What Paddle's operators are in ONNX: one rule each. Those with a rule of their own making are in onnx_detection.

Only those that an exported Mask R-CNN holds, and only with the attributes that it uses; others are refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import numpy_helper

from convert.backends.onnx import detection
from convert.backends.onnx.graph import OnnxGraph
from convert.program.program import Operator
from convert.program.weights import DTYPES
from edge_seg.errors import ConversionError

Rule = Callable[[OnnxGraph, Operator], None]


def _same(kind: str, *slots: str, out: str = "Out") -> Rule:
    """An operator that ONNX has under the name ``kind``, without attributes."""

    def rule(graph: OnnxGraph, op: Operator) -> None:
        _bind(graph, op, graph.add(kind, *(graph.input(op, slot) for slot in slots)), out)

    return rule


def _bind(graph: OnnxGraph, op: Operator, value: str, slot: str = "Out") -> None:
    graph.bind(op.outputs[slot][0], value)


def _convolution(kind: str) -> Rule:
    def rule(graph: OnnxGraph, op: Operator) -> None:
        op.require(data_format="NCHW", padding_algorithm="EXPLICIT", output_padding=(), output_size=())
        value = graph.add(
            kind,
            graph.input(op, "Input"),
            graph.input(op, "Filter"),
            strides=op.attributes["strides"],
            pads=_pads(op),
            dilations=op.attributes["dilations"],
            group=op.attributes["groups"],
        )
        _bind(graph, op, value, "Output")

    return rule


def _pads(op: Operator) -> tuple[int, ...]:
    """Paddle's (height, width) or (top, bottom, left, right) → ONNX's (top, left, bottom, right)."""
    pads = op.attributes["paddings"]
    if len(pads) == 2:
        return (*pads, *pads)
    top, bottom, left, right = pads
    return (top, left, bottom, right)


def _batch_norm(graph: OnnxGraph, op: Operator) -> None:
    op.require(data_layout="NCHW", is_test=True)
    slots = ("X", "Scale", "Bias", "Mean", "Variance")
    inputs = [graph.input(op, slot) for slot in slots]
    _bind(graph, op, graph.add("BatchNormalization", *inputs, epsilon=op.attributes["epsilon"]), "Y")


def _pool(graph: OnnxGraph, op: Operator) -> None:
    op.require(data_format="NCHW", padding_algorithm="EXPLICIT", global_pooling=False, adaptive=False, ceil_mode=False)
    kind, options = "MaxPool", {}
    if op.attributes["pooling_type"] != "max":
        op.require(pooling_type="avg")
        kind, options = "AveragePool", {"count_include_pad": int(not op.attributes.get("exclusive", True))}
    value = graph.add(
        kind,
        graph.input(op, "X"),
        kernel_shape=op.attributes["ksize"],
        strides=op.attributes["strides"],
        pads=_pads(op),
        **options,
    )
    _bind(graph, op, value)


def _interpolate(**options: str) -> Rule:
    def rule(graph: OnnxGraph, op: Operator) -> None:
        # align_mode 0 places samples at half pixels; nearest knows no other rule than its own.
        op.require(data_layout="NCHW", align_corners=False, out_h=-1, out_w=-1)
        if options["mode"] == "linear":
            op.require(align_mode=0)
        scales = graph.constant((1.0, 1.0, *op.attributes["scale"]))
        _bind(graph, op, graph.add("Resize", graph.input(op, "X"), "", scales, **options))

    return rule


def _elementwise(kind: str) -> Rule:
    def rule(graph: OnnxGraph, op: Operator) -> None:
        x, y, axis = graph.input(op, "X"), graph.input(op, "Y"), op.attributes["axis"]
        if axis == -1:  # NumPy's broadcasting, which is ONNX's too
            _bind(graph, op, graph.add(kind, x, y))
            return
        behind = len(graph.shape(op, "X")) - axis - len(graph.shape(op, "Y"))
        bias = graph.weight(op, "Y")
        if bias is None or behind < 0:
            op.require(axis=-1)
        elif kind == "Add" and axis == 1 and bias.ndim == 1 and graph.used_once(op, "X") and graph.give_bias(x, y):
            _bind(graph, op, x)
        else:
            _bind(graph, op, graph.add(kind, x, graph.constant(bias.reshape(*bias.shape, *[1] * behind))))

    return rule


def _reshape(graph: OnnxGraph, op: Operator) -> None:
    shape = op.attributes["shape"]
    weight = graph.weight(op, "X")
    if weight is not None:
        _bind(graph, op, graph.constant(weight.reshape(shape)))
    else:
        _bind(graph, op, graph.add("Reshape", graph.input(op, "X"), graph.integers(*shape)))


def _matmul(graph: OnnxGraph, op: Operator) -> None:
    op.require(trans_x=False, trans_y=False)
    _bind(graph, op, graph.add("MatMul", graph.input(op, "X"), graph.input(op, "Y")))


def _scale(graph: OnnxGraph, op: Operator) -> None:
    scale, bias = op.attributes["scale"], op.attributes["bias"]
    op.require(bias_after_scale=True)
    value = graph.input(op, "X")
    if scale != 1.0:
        value = graph.add("Mul", value, graph.constant(scale))
    if bias != 0.0:
        value = graph.add("Add", value, graph.constant(bias))
    _bind(graph, op, value)


def _clip(graph: OnnxGraph, op: Operator) -> None:
    low, high = graph.constant(op.attributes["min"]), graph.constant(op.attributes["max"])
    _bind(graph, op, graph.add("Clip", graph.input(op, "X"), low, high))


def _softmax(graph: OnnxGraph, op: Operator) -> None:
    _bind(graph, op, graph.add("Softmax", graph.input(op, "X"), axis=op.attributes["axis"]))


def _concat(graph: OnnxGraph, op: Operator) -> None:
    parts = [graph.value(name) for name in op.inputs["X"]]
    _bind(graph, op, graph.add("Concat", *parts, axis=op.attributes["axis"]))


def _split(graph: OnnxGraph, op: Operator) -> None:
    op.require(sections=())
    parts = op.outputs["Out"]
    values = graph.add_many("Split", len(parts), graph.input(op, "X"), axis=op.attributes["axis"])
    for name, value in zip(parts, values, strict=True):
        graph.bind(name, value)


def _unsqueeze(graph: OnnxGraph, op: Operator) -> None:
    _bind(graph, op, graph.add("Unsqueeze", graph.input(op, "X"), graph.integers(*op.attributes["axes"])))


def _gather(graph: OnnxGraph, op: Operator) -> None:
    value = graph.add("Gather", graph.input(op, "X"), graph.input(op, "Index"), axis=op.attributes["axis"])
    _bind(graph, op, value)


def _top_k(graph: OnnxGraph, op: Operator) -> None:
    op.require(largest=True)
    count = graph.integers(op.attributes["k"])
    values, indices = graph.add_many("TopK", 2, graph.input(op, "X"), count, axis=op.attributes["axis"])
    _bind(graph, op, values)
    _bind(graph, op, indices, "Indices")


def _fill(graph: OnnxGraph, op: Operator) -> None:
    dtype = DTYPES[op.attributes["dtype"]]
    value: Any = op.attributes["str_value"] or op.attributes["value"]
    _bind(graph, op, graph.constant(np.full(op.attributes["shape"], float(value)), dtype))


def _fill_like(graph: OnnxGraph, op: Operator) -> None:
    shape = graph.shape(op, "X")
    if -1 in shape:
        raise ConversionError(f"{op.kind} of a shape known only at run time has no rule", code="unsupported-operator")
    # Not spelled out: one for the variances of a large image's anchors would take megabytes.
    value = numpy_helper.from_array(np.array([op.attributes["value"]], DTYPES[op.attributes["dtype"]]))
    _bind(graph, op, graph.add("ConstantOfShape", graph.integers(*shape), value=value))


RULES: dict[str, Rule] = {
    "batch_norm": _batch_norm,
    "bilinear_interp_v2": _interpolate(mode="linear", coordinate_transformation_mode="half_pixel"),
    "clip": _clip,
    "concat": _concat,
    "conv2d": _convolution("Conv"),
    "conv2d_transpose": _convolution("ConvTranspose"),
    "distribute_fpn_proposals": detection.distribute,
    "elementwise_add": _elementwise("Add"),
    "elementwise_mod": _elementwise("Mod"),
    "elementwise_mul": _elementwise("Mul"),
    "elementwise_sub": _elementwise("Sub"),
    "exp": _same("Exp", "X"),
    "fill_any_like": _fill_like,
    "fill_constant": _fill,
    "gather": _gather,
    "generate_proposals_v2": detection.propose,
    "matmul_v2": _matmul,
    "nearest_interp_v2": _interpolate(
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    ),
    "pool2d": _pool,
    "relu": _same("Relu", "X"),
    "reshape2": _reshape,
    "roi_align": detection.roi_align,
    "scale": _scale,
    "sigmoid": _same("Sigmoid", "X"),
    "softmax": _softmax,
    "split": _split,
    "top_k_v2": _top_k,
    "unsqueeze2": _unsqueeze,
}
