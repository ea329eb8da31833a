"""An exported graph of convolutions alone → ncnn's ``.param`` and ``.bin``, from the very program others ship.

Written operator by operator (:mod:`convert.backends.ncnn.operators`): a dozen kinds of layers. pnnx isn't used: it
wants torch, reports success for graphs that can't be loaded, and stores the RPN's shared convolution five times.
"""

from __future__ import annotations

from pathlib import Path

from convert.artifacts import ExportedGraph
from convert.backends.ncnn.graph import NcnnGraph
from convert.backends.ncnn.operators import RULES
from convert.program.program import read_program
from convert.program.weights import read_weights
from edge_seg.errors import ConversionError
from edge_seg.runtime.engines.ncnn_files import check_weights, read_layers


def write_ncnn(graph: ExportedGraph, folder: Path, *, fp16: bool) -> tuple[str, str]:
    """Writes ``graph`` into ``folder``, the same bytes each time, and returns the files' names.

    With ``fp16`` weights are stored in half the size, biases in full. Inputs and outputs have the names of the specs.
    Raises :class:`ConversionError` for operators without a rule, by name.
    """
    program = read_program(graph.program)
    unknown = sorted({op.kind for op in program.operators} - RULES.keys())
    if unknown or len(program.description.blocks) != 1:
        raise ConversionError(
            f"the {graph.name} graph holds what ncnn's graphs have no rule for: {', '.join(unknown) or 'control flow'}",
            remedy="replace the operator in the model, or convert to another recipe",
            code="unsupported-operator",
        )
    made = NcnnGraph(graph.name, program, read_weights(graph.weights, program.weights))
    inputs = [spec.name for spec in graph.inputs]
    for name in inputs:
        made.alias(name, name)
    for op in program.operators:
        RULES[op.kind](made, op)
    outputs = [(made.value(out.name), spec.name) for out, spec in zip(program.outputs, graph.outputs, strict=True)]
    param, weights = folder / f"{graph.name}.param", folder / f"{graph.name}.bin"
    made.write(inputs, outputs, param, weights, fp16)
    check_weights(read_layers(param), weights)
    return param.name, weights.name
