"""Exported graphs → the files that an engine loads. One function an engine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from convert.artifacts import Compiled, Draft
from convert.backends import opt
from convert.backends.onnx import model
from edge_seg.files import scratch_dir

Files = dict[str, tuple[str, ...]]


def compile_graphs(draft: Draft) -> Compiled:
    """Writes the graphs' files into the draft's folder, in the form that the recipe's engine reads."""
    files, optimizer = _COMPILERS[draft.recipe.engine](draft)
    return Compiled(draft, files, optimizer)


def _paddle_lite(draft: Draft) -> tuple[Files, dict[str, Any]]:
    from convert.program.executor import GraphProgram
    from convert.quantize.rewrite import spell_out

    files: Files = {}
    recipe, quantized = draft.recipe, draft.exported.quantized
    bits = quantized.get("weight_bits", 0)
    fp16 = recipe.name == "arm-fp16"
    with scratch_dir(draft.folder) as scratch:
        for graph in draft.exported.graphs:
            nb = draft.folder / f"{graph.name}.nb"
            if recipe.target == "x86" and quantized.get("ranges"):
                graph = spell_out(GraphProgram.read(graph)).write(graph, scratch)
            opt.optimise(
                graph.program,
                graph.weights,
                recipe.places,
                nb,
                inputs=tuple(spec.name for spec in graph.inputs),
                outputs=len(graph.outputs),
                weight_bits=bits,
                fp16=fp16,
            )
            files[graph.name] = (nb.name,)
    return files, {
        "tool": "opt",
        "version": opt.version(),
        "model_type": opt.MODEL_TYPE,
        "valid_places": recipe.places,
        "requires": list(recipe.requires),
        **({"enable_fp16": True} if fp16 else {}),
        **({"quant_type": f"QUANT_INT{bits}"} if bits else {}),
        **_quantization(draft),
    }


def _paddle_inference(draft: Draft) -> tuple[Files, dict[str, Any]]:
    files: Files = {}
    for graph in draft.exported.graphs:
        for file in (graph.program, graph.weights):
            shutil.copyfile(file, draft.folder / file.name)
        files[graph.name] = (graph.program.name, graph.weights.name)
    return files, _quantization(draft)


def _onnxruntime(draft: Draft) -> tuple[Files, dict[str, Any]]:
    files: Files = {}
    for graph in draft.exported.graphs:
        file = draft.folder / f"{graph.name}.onnx"
        model.write_onnx(graph, file)
        files[graph.name] = (file.name,)
    told = {"providers": draft.recipe.places} if draft.recipe.places else {}
    return files, {"tool": "onnx", "version": model.version(), "opset": model.OPSET, **told}


FP32_GRAPHS = ("box_head",)
"""Graphs of a bundle in fp16 that stay in fp32: ncnn's matrix products are slower in fp16 (docs/native-speed.md)."""


def _ncnn(draft: Draft) -> tuple[Files, dict[str, Any]]:
    from convert.backends.ncnn.model import write_ncnn
    from convert.backends.ncnn.trial import try_graphs
    from edge_seg.runtime.engines.ncnn import version

    graphs = draft.exported.graphs
    half = draft.recipe.precision == "fp16"
    fp16 = [graph.name for graph in graphs if half and graph.name not in FP32_GRAPHS]
    files: Files = {g.name: write_ncnn(g, draft.folder, fp16=g.name in fp16) for g in graphs}
    with scratch_dir(draft.folder) as scratch:
        try_graphs(graphs, fp16, draft.folder, scratch)
    return files, {"tool": "edge-seg", "version": version(), **({"fp16": fp16} if fp16 else {})}


def _quantization(draft: Draft) -> dict[str, Any]:
    return {"quantization": draft.exported.quantized} if draft.exported.quantized else {}


_COMPILERS: dict[str, Callable[[Draft], tuple[Files, dict[str, Any]]]] = {
    "paddle-lite": _paddle_lite,
    "paddle-inference": _paddle_inference,
    "onnxruntime": _onnxruntime,
    "ncnn": _ncnn,
}
