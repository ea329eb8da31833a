"""Exported graphs → the files that an engine loads. One function an engine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from convert import onnx_model, opt
from convert.artifacts import Compiled, Draft

Files = dict[str, tuple[str, ...]]


def compile_graphs(draft: Draft) -> Compiled:
    """Writes the graphs' files into the draft's folder, in the form that the recipe's engine reads."""
    files, optimizer = _COMPILERS[draft.recipe.engine](draft)
    return Compiled(draft, files, optimizer)


def _paddle_lite(draft: Draft) -> tuple[Files, dict[str, Any]]:
    files: Files = {}
    for graph in draft.exported.graphs:
        nb = draft.folder / f"{graph.name}.nb"
        names = tuple(spec.name for spec in graph.inputs)
        opt.optimise(graph.program, graph.weights, draft.recipe.places, nb, inputs=names, outputs=len(graph.outputs))
        files[graph.name] = (nb.name,)
    return files, {
        "tool": "opt",
        "version": opt.version(),
        "model_type": opt.MODEL_TYPE,
        "valid_places": draft.recipe.places,
    }


def _paddle_inference(draft: Draft) -> tuple[Files, dict[str, Any]]:
    files: Files = {}
    for graph in draft.exported.graphs:
        for file in (graph.program, graph.weights):
            shutil.copyfile(file, draft.folder / file.name)
        files[graph.name] = (graph.program.name, graph.weights.name)
    return files, {}


def _onnxruntime(draft: Draft) -> tuple[Files, dict[str, Any]]:
    files: Files = {}
    for graph in draft.exported.graphs:
        file = draft.folder / f"{graph.name}.onnx"
        onnx_model.write_onnx(graph, file)
        files[graph.name] = (file.name,)
    told = {"providers": draft.recipe.places} if draft.recipe.places else {}
    return files, {"tool": "onnx", "version": onnx_model.version(), "opset": onnx_model.OPSET, **told}


_COMPILERS: dict[str, Callable[[Draft], tuple[Files, dict[str, Any]]]] = {
    "paddle-lite": _paddle_lite,
    "paddle-inference": _paddle_inference,
    "onnxruntime": _onnxruntime,
}
