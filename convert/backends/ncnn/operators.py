"""What Paddle's operators are in ncnn: one rule each, for those of the graphs of convolutions alone.

Others, and other attributes than these graphs use, are refused by name. Biases, batch normalisations and activations
become part of the layer before them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.backends.ncnn.graph import NcnnGraph
from convert.program.program import Operator
from edge_seg.errors import ConversionError

Rule = Callable[[NcnnGraph, Operator], None]
_RELU = 1
_CONVOLUTIONS = ("Convolution", "Deconvolution")
_BIAS, _ACTIVATION = 5, 9  # parameters of convolutions


def _refuse(op: Operator, what: str) -> ConversionError:
    return ConversionError(f"{op.kind} with {what} is not supported by the ncnn export", code="unsupported-operator")


def _weight(graph: NcnnGraph, op: Operator, slot: str) -> NDArray[Any]:
    values = graph.weight(op, slot)
    if values is None:
        raise _refuse(op, f"{slot} that is computed")
    return values


def _pads(op: Operator) -> dict[int, int]:
    """Paddle's (height, width) or (top, bottom, left, right) → left, top, right, bottom."""
    pads = op.attributes["paddings"]
    top, bottom, left, right = (pads[0], pads[0], pads[1], pads[1]) if len(pads) == 2 else pads
    return {4: left, 14: top, 15: right, 16: bottom}


def _convolution(kind: str) -> Rule:
    def rule(graph: NcnnGraph, op: Operator) -> None:
        op.require(data_format="NCHW", padding_algorithm="EXPLICIT", groups=1, output_padding=(), output_size=())
        kernel = _weight(graph, op, "Filter")
        if kind == "Deconvolution":  # [in, out, h, w] in Paddle
            kernel = kernel.transpose(1, 0, 2, 3)
        strides, dilations = op.attributes["strides"], op.attributes["dilations"]
        params = {
            0: kernel.shape[0],
            1: kernel.shape[3],
            11: kernel.shape[2],
            2: dilations[1],
            12: dilations[0],
            3: strides[1],
            13: strides[0],
            **_pads(op),
            6: kernel.size,
        }
        graph.add(kind, [graph.input(op, "Input")], op.outputs["Output"][0], params=params, weights=[kernel])

    return rule


def _batch_norm(graph: NcnnGraph, op: Operator) -> None:
    op.require(data_layout="NCHW", is_test=True)
    layer = graph.producer(op, "X", "Convolution")
    if layer is None or _ACTIVATION in layer.params:
        raise _refuse(op, "an input that isn't a convolution's")
    scale, bias, mean, variance = (
        _weight(graph, op, slot).astype(np.float64) for slot in ("Scale", "Bias", "Mean", "Variance")
    )
    factor = scale / np.sqrt(variance + op.attributes["epsilon"])
    before = 0.0 if layer.bias is None else layer.bias
    layer.weights = [layer.weights[0].astype(np.float64) * factor[:, None, None, None]]
    layer.bias = (before - mean) * factor + bias
    layer.params[_BIAS] = 1
    graph.extend(layer, op.outputs["Y"][0])


def _add(graph: NcnnGraph, op: Operator) -> None:
    (out,) = op.outputs["Out"]
    bias = graph.weight(op, "Y")
    if bias is None:
        op.require(axis=-1)
        graph.add("BinaryOp", [graph.input(op, "X"), graph.input(op, "Y")], out, params={0: 0})
        return
    layer = graph.producer(op, "X", *_CONVOLUTIONS, "Gemm")
    if layer is None or bias.ndim != 1 or layer.bias is not None or len(layer.weights) != 1:
        raise _refuse(op, "a constant that isn't a bias")
    if layer.kind == "Gemm":
        if op.attributes["axis"] not in (-1, 1) or bias.size != layer.params[8]:
            raise _refuse(op, "a constant that isn't a bias")
        layer.params.update({6: 1, 10: 4})
        layer.weights.append(bias)
    else:
        op.require(axis=1)
        layer.params[_BIAS] = 1
        layer.bias = bias
    graph.extend(layer, out)


def _relu(graph: NcnnGraph, op: Operator) -> None:
    (out,) = op.outputs["Out"]
    layer = graph.producer(op, "X", *_CONVOLUTIONS)
    if layer is None or _ACTIVATION in layer.params:
        graph.add("ReLU", [graph.input(op, "X")], out)
    else:
        layer.params[_ACTIVATION] = _RELU
        graph.extend(layer, out)


def _pool(graph: NcnnGraph, op: Operator) -> None:
    op.require(data_format="NCHW", padding_algorithm="EXPLICIT", global_pooling=False, adaptive=False, ceil_mode=False)
    kinds = {"max": 0, "avg": 1}
    pads = _pads(op)
    if op.attributes["pooling_type"] not in kinds or (op.attributes["pooling_type"] == "avg" and any(pads.values())):
        raise _refuse(op, f"pooling_type {op.attributes['pooling_type']!r} and padding {pads}")
    (height, width), strides = op.attributes["ksize"], op.attributes["strides"]
    params = {
        0: kinds[op.attributes["pooling_type"]],
        1: width,
        11: height,
        2: strides[1],
        12: strides[0],
        3: pads[4],
        13: pads[14],
        14: pads[15],
        15: pads[16],
        5: 1,  # sizes are rounded down, as Paddle does without ceil_mode
    }
    graph.add("Pooling", [graph.input(op, "X")], op.outputs["Out"][0], params=params)


def _enlarged(method: int) -> Rule:
    def rule(graph: NcnnGraph, op: Operator) -> None:
        # align_mode 0: pixels' centres are what is placed, as in ncnn.
        op.require(data_layout="NCHW", align_corners=False, align_mode=0, out_h=-1, out_w=-1)
        high, wide = op.attributes["scale"]
        if not (float(high).is_integer() and float(wide).is_integer()):  # where the two round otherwise
            raise _refuse(op, f"scale {high:g}, {wide:g}")
        params = {0: method, 1: float(high), 2: float(wide)}
        graph.add("Interp", [graph.input(op, "X")], op.outputs["Out"][0], params=params)

    return rule


def _concat(graph: NcnnGraph, op: Operator) -> None:
    op.require(axis=1)
    graph.add("Concat", [graph.value(name) for name in op.inputs["X"]], op.outputs["Out"][0], params={0: 0})


def _scale(graph: NcnnGraph, op: Operator) -> None:
    op.require(scale=1.0, bias=0.0)
    graph.alias(op.outputs["Out"][0], graph.input(op, "X"))


def _rows(graph: NcnnGraph, op: Operator) -> None:
    """Items as rows of a matrix: the engine hands them over that way (:mod:`edge_seg.runtime.engines.ncnn`)."""
    (name,) = op.inputs["X"]
    sides = graph.program.variables[name].shape[1:]
    if name not in [spec.name for spec in graph.program.inputs] or op.attributes["shape"] != (-1, int(np.prod(sides))):
        raise _refuse(op, f"the shape {op.attributes['shape']}")
    graph.alias(op.outputs["Out"][0], graph.value(name))


def _matmul(graph: NcnnGraph, op: Operator) -> None:
    op.require(trans_x=False, trans_y=False)
    inner, outer = (weight := _weight(graph, op, "Y")).shape
    params = {2: 0, 3: 1, 4: 0, 5: 1, 7: 0, 8: outer, 9: inner}
    graph.add("Gemm", [graph.input(op, "X")], op.outputs["Out"][0], params=params, weights=[weight.T])


RULES: dict[str, Rule] = {
    "batch_norm": _batch_norm,
    "bilinear_interp_v2": _enlarged(2),
    "concat": _concat,
    "conv2d": _convolution("Convolution"),
    "conv2d_transpose": _convolution("Deconvolution"),
    "elementwise_add": _add,
    "matmul_v2": _matmul,
    "nearest_interp_v2": _enlarged(1),
    "pool2d": _pool,
    "relu": _relu,
    "reshape2": _rows,
    "scale": _scale,
}
