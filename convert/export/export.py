"""A graph → Paddle's inference format (``.pdmodel`` + ``.pdiparams``), the same bytes each time.

paddle's own files aren't: they hold the call stack of every feed (with this machine's paths), and names that count up
as a process goes on. So weights are named after their place in the model, other names are counted from zero, and the
call stacks are taken out (:mod:`convert.program.passes`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from convert.artifacts import Exported, ExportedGraph, Referenced
from convert.export.graphs import (
    BoxHeadGraph,
    BoxLogitsGraph,
    DetectGraph,
    Graph,
    MaskGraph,
    MaskHeadGraph,
    MaskLogitsGraph,
    PyramidGraph,
    RPNGraph,
    TrunkGraph,
)
from convert.program.passes import tidy
from edge_seg.errors import ConversionError
from edge_seg.manifest import CONVOLUTION_GRAPHS, FEATURES, THREE_GRAPHS, TensorSpec
from edge_seg.paddle_env import paddle

if TYPE_CHECKING:
    from edge_seg.models.mask_rcnn import MaskRCNN

# "InvalidArgumentError: …" or "(InvalidArgument) …", between traceback and hint.
_PADDLE_ERROR = re.compile(r"^\s*(?:\w+Error:|\(\w+\)) .+", re.MULTILINE)


def export(network: MaskRCNN, referenced: Referenced, form: tuple[str, ...], folder: Path) -> Exported:
    """The graphs named ``form`` of a model: two, three or four. Shapes are those that the reference run had."""
    size = referenced.job.size

    def spec(name: str) -> TensorSpec:
        value = referenced.detect[name]
        return TensorSpec(name, value.shape, str(value.dtype))

    features = tuple(spec(name) for name in FEATURES)
    found = (spec("boxes"), spec("scores"))
    graphs: tuple[Graph, ...]
    if form == THREE_GRAPHS:
        trunk = TrunkGraph(network, size, features)
        graphs = (trunk, BoxHeadGraph(network, found), MaskHeadGraph(network))
    elif form == CONVOLUTION_GRAPHS:
        pyramid = PyramidGraph(network, size, features)
        graphs = (pyramid, RPNGraph(network), BoxLogitsGraph(network), MaskLogitsGraph(network))
    else:
        graphs = (DetectGraph(network, size, (*found, *features)), MaskGraph(network, features))
    return Exported(referenced, tuple(export_graph(graph, folder) for graph in graphs))


def export_graph(graph: Graph, folder: Path) -> ExportedGraph:
    """Writes ``graph.name`` + ``.pdmodel`` and ``.pdiparams`` into ``folder``.

    Gives the model's weights new names (an optimiser's state no longer fits them). Raises :class:`ConversionError`
    when paddle can't turn the layer into a program.
    """
    for name, tensor in [*graph.model.named_parameters(), *graph.model.named_buffers()]:
        tensor.name = name
    graph.eval()
    specs = [paddle.static.InputSpec(list(spec.shape), spec.dtype, spec.name) for spec in graph.inputs]
    stem = folder / graph.name
    try:
        with paddle.utils.unique_name.guard():
            paddle.jit.save(graph, str(stem), input_spec=specs)
    except OSError:
        raise
    except Exception as problem:  # paddle raises whatever it likes here
        message = f"paddle can't export the {graph.name} graph: {_said(problem)}"
        raise ConversionError(message, code="export-failed") from problem
    program, weights = stem.with_suffix(".pdmodel"), stem.with_suffix(".pdiparams")
    for file in (program, weights):
        if not file.is_file() or file.stat().st_size == 0:
            raise ConversionError(f"paddle exported the {graph.name} graph without {file.name}", code="export-failed")
    stem.with_suffix(".pdiparams.info").unlink(missing_ok=True)
    tidy(program)
    return ExportedGraph(graph.name, program, weights, graph.inputs, graph.outputs)


def _said(problem: Exception) -> str:
    text = str(problem).strip() or type(problem).__name__
    stated = _PADDLE_ERROR.search(text)
    return stated[0].strip() if stated else text.splitlines()[-1].strip()
