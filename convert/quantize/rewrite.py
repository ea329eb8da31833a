"""Quantized graphs, from exported ones: a :class:`Plan` says what is rounded, :func:`quantize` does it.

Weights are rounded in place and stay float32 in the program: the engines' own tools store them as integers, and find
the same integers again, because their scale (largest magnitude of an output channel / 127 or 32767) stays the same.
So a graph that is run as it stands computes what the engines are to compute, and is the reference they are held to.

Activations are rounded by fake-quantization operators before each convolution and fully connected layer, which ``opt``
turns into int8 kernels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.program.edit import KINDS, ProgramEdit, attribute, layer_of, only, operator, rewire, weight_of
from convert.program.executor import GraphProgram

_ACTIVATION, _WEIGHT = (
    "fake_quantize_dequantize_moving_average_abs_max",
    "fake_channel_wise_quantize_dequantize_abs_max",
)
_LEVELS = 127.0
# Ties away from zero, as the engines round.
_ROUND = 1


@dataclass(frozen=True)
class Plan:
    """What is rounded, and how finely.

    ``weight_bits``: of the weights of convolutions and fully connected layers, 8 or 16. ``ranges``: for each graph, the
    variables that enter one of them in int8, with the magnitude that 127 stands for; none: only weights are rounded.
    Layers in ``floats`` (names as in the model) compute in float nevertheless; their weights have ``weight_bits``.
    """

    weight_bits: int = 8
    ranges: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    floats: tuple[str, ...] = ()


def rewrite(graph: GraphProgram, plan: Plan) -> GraphProgram:
    """``graph`` as ``plan`` says."""
    edit = ProgramEdit(graph.content)
    weights = dict(graph.weights)
    ranges = plan.ranges.get(graph.name, {})
    operators: list[Any] = []
    made: set[str] = set()
    for op in edit.block.ops:
        weight = weight_of(op)
        int8 = op.type in KINDS and only(op.inputs, KINDS[op.type][0]) in ranges and layer_of(weight) not in plan.floats
        if weight in graph.weights:
            weights[weight] = rounded(graph.weights[weight], 8 if int8 else plan.weight_bits, KINDS[op.type][2])
        if int8:
            operators += _fake_quantized(edit, op, ranges, weights, made)
        operators.append(op)
    edit.replace_operators(operators)
    return GraphProgram(graph.name, edit.content(), weights, graph.inputs, graph.outputs)


def fully_connected(graph: GraphProgram) -> GraphProgram:
    """``graph`` with a ``mul`` in place of each ``matmul_v2`` that has a weight.

    ``opt`` stores the weights of either as integers, but Paddle Lite brings back those of ``mul`` and ``fc`` only: it
    reads a ``matmul_v2``'s integers as floats, and the model finds nothing. On Arm ``opt`` makes an ``fc`` of both, on
    x86 of ``mul`` only.
    """
    edit = ProgramEdit(graph.content)
    for op in edit.block.ops:
        if op.type != "matmul_v2" or only(op.inputs, "Y") not in graph.weights:
            continue
        if attribute(op, "trans_x").b or attribute(op, "trans_y").b or len(edit.shape(only(op.inputs, "X"))) != 2:
            continue
        replacement = operator(
            "mul",
            {parameter: only(op.inputs, parameter) for parameter in ("X", "Y")},
            {"Out": only(op.outputs, "Out")},
            {"x_num_col_dims": 1, "y_num_col_dims": 1},
        )
        op.CopyFrom(replacement)
    return dataclasses.replace(graph, content=edit.content())


def rounded(weight: NDArray[Any], bits: int, axis: int) -> NDArray[np.float32]:
    """``weight`` in steps of its largest magnitude / (2^(bits-1) - 1), for each channel of ``axis`` its own.

    In float32 throughout and with ties away from zero, as ``opt`` computes.
    """
    levels = np.float32(2 ** (bits - 1) - 1)
    scale = _reach(weight, axis).astype(np.float32) / levels
    steps = weight / np.where(scale > 0, scale, np.float32(1))
    values: NDArray[np.float32] = np.sign(steps) * np.floor(np.abs(steps) + np.float32(0.5)) * scale
    return values.astype(np.float32)


def _reach(weight: NDArray[Any], axis: int) -> NDArray[Any]:
    """The largest magnitude of each channel of ``axis``; the other axes are 1 long."""
    others = tuple(a for a in range(weight.ndim) if a != axis)
    reach: NDArray[Any] = np.abs(weight).max(axis=others, keepdims=True)
    return reach


def spell_out(graph: GraphProgram) -> GraphProgram:
    """Fake-quantization in ordinary operators: activations by scale, clip and round; weights lie on their grid already.

    For Paddle Lite on x86: its own int8 kernels add up pairs of products in 16 bits, which overflow and are cut off
    (``maddubs``), so that they miss by a third what int8 means and Arm computes. The same sums in float32 don't.
    """
    edit = ProgramEdit(graph.content)
    operators: list[Any] = []
    plain: dict[str, str] = {}
    for op in list(edit.block.ops):
        if op.type == _WEIGHT:
            plain[only(op.outputs, "Out")] = only(op.inputs, "X")
        elif op.type == _ACTIVATION:
            operators += _spelled_out(edit, op, float(graph.weights[only(op.inputs, "InScale")][0]) / _LEVELS)
        else:
            if weight_of(op) in plain:
                rewire(op, KINDS[op.type][1], plain[weight_of(op)])
            operators.append(op)
    edit.replace_operators(operators)
    edit.drop_unused_variables()
    weights = {name: graph.weights[name] for name in edit.weights}
    return GraphProgram(graph.name, edit.content(), weights, graph.inputs, graph.outputs)


def _spelled_out(edit: ProgramEdit, op: Any, scale: float) -> list[Any]:
    entering, out = only(op.inputs, "X"), only(op.outputs, "Out")
    shape = edit.shape(entering)
    steps, cut, whole = (edit.add_variable(f"{entering}.{name}", shape) for name in ("steps", "cut", "whole"))
    return [
        operator("scale", {"X": entering}, {"Out": steps}, _by(1 / scale)),
        operator("clip", {"X": steps}, {"Out": cut}, {"min": -_LEVELS, "max": _LEVELS}),
        operator("round", {"X": cut}, {"Out": whole}),
        operator("scale", {"X": whole}, {"Out": out}, _by(scale)),
    ]


def _by(factor: float) -> dict[str, Any]:
    return {"scale": factor, "bias": 0.0, "bias_after_scale": True}


def _fake_quantized(
    edit: ProgramEdit, op: Any, ranges: Mapping[str, float], weights: dict[str, NDArray[Any]], made: set[str]
) -> list[Any]:
    """The operators to go before ``op``, which then reads what they give. What is in ``made`` is there already."""
    slot, weight_slot, axis = KINDS[op.type]
    entering, weight = only(op.inputs, slot), only(op.inputs, weight_slot)
    rewire(op, slot, f"{entering}.quantized")
    rewire(op, weight_slot, f"{weight}.quantized")
    before: list[Any] = []
    if entering not in made:
        scale = edit.add_variable(f"{entering}.range", [1], weight=True)
        weights[scale] = np.array([ranges[entering]], np.float32)
        out = edit.add_variable(f"{entering}.quantized", edit.shape(entering))
        told = {"bit_length": 8, "is_test": True, "moving_rate": 0.9, "round_type": _ROUND}
        inputs, outputs = {"X": entering, "InScale": scale}, {"Out": out, "OutScale": scale}
        before.append(operator(_ACTIVATION, inputs, outputs, told))
    if weight not in made:
        scale = edit.add_variable(f"{weight}.range", [weights[weight].shape[axis]], weight=True)
        weights[scale] = _reach(weights[weight], axis).reshape(-1)
        out = edit.add_variable(f"{weight}.quantized", weights[weight].shape)
        told = {"bit_length": 8, "quant_axis": axis, "round_type": _ROUND}
        before.append(operator(_WEIGHT, {"X": weight}, {"Out": out, "OutScale": scale}, told))
    made |= {entering, weight}
    return before
