"""An exported graph → an ONNX model, from the very program that the other recipes ship.

Translated operator by operator: an exported Mask R-CNN holds some 25 kinds, so the rules fit on a few pages
(:mod:`convert.backends.onnx.operators`), and a new backbone needs none. paddle2onnx isn't used: it aborts on
``generate_proposals_v2`` and ``distribute_fpn_proposals``, and takes no rule for them from outside. Building from the
layers would need a second description of every model, which could differ from the first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convert.artifacts import ExportedGraph
from convert.program.program import read_program
from convert.program.weights import read_weights
from edge_seg.errors import ConversionError, MissingDependencyError
from edge_seg.install import pip_install

# The first in which RoiAlign places its pixels as Mask R-CNN wants them (half_pixel): older runtimes can read it too.
OPSET = 16
IR_VERSION = 8


def write_onnx(graph: ExportedGraph, file: Path) -> None:
    """Writes ``graph`` as ``file``, the same bytes each time; its inputs and outputs have the names of the specs.

    Raises :class:`ConversionError` for operators without a rule, by name, and when onnx's checker finds a fault.
    """
    onnx = _onnx()
    from convert.backends.onnx.graph import OnnxGraph
    from convert.backends.onnx.operators import RULES

    program = read_program(graph.program)
    if len(program.description.blocks) != 1:
        raise ConversionError(f"{graph.name}: control flow is not supported by the ONNX export", code="export-failed")
    unknown = sorted({op.kind for op in program.operators} - RULES.keys())
    if unknown:
        raise ConversionError(
            f"the {graph.name} graph holds operators without a rule for ONNX: {', '.join(unknown)}",
            remedy="replace the operator in the model, or convert to another recipe",
            code="unsupported-operator",
        )
    made = OnnxGraph(program, read_weights(graph.weights, program.weights))
    for spec in graph.inputs:
        made.bind(spec.name, spec.name)
    for op in program.operators:
        RULES[op.kind](made, op)
    model = made.model(
        graph.name,
        graph.inputs,
        tuple(zip(graph.outputs, (spec.name for spec in program.outputs), strict=True)),
        opset=OPSET,
        ir_version=IR_VERSION,
    )
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as problem:
        said = str(problem).strip().splitlines()[0]
        raise ConversionError(f"onnx finds a fault in the {graph.name} graph: {said}", code="export-failed") from None
    file.write_bytes(model.SerializeToString(deterministic=True))


def version() -> str:
    """The version of onnx, whose checker vouches for the model."""
    return str(_onnx().__version__)


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as problem:
        raise MissingDependencyError(
            f"the recipes for ONNX need the Python library onnx, which can't be imported: {problem}",
            remedy=f"install it with: {pip_install('onnx-export')}",
        ) from None
    return onnx
