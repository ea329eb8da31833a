"""OpenVINO running a bundle's ONNX graphs, to hold our engines against; no recipe offers it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.bundle import Bundle
from edge_seg.runtime.engines.checks import file_of
from edge_seg.runtime.engines.three_graphs import in_two_steps
from edge_seg.runtime.segmenter import Segmenter

Arrays = dict[str, NDArray[Any]]


class OpenVinoEngine:
    """One compiled model a graph, for the latency of one image."""

    name = "openvino"

    def __init__(self, bundle: Bundle, threads: int) -> None:
        import openvino

        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        core = openvino.Core()
        self._graphs = bundle.manifest.graphs
        self._models = {
            name: core.compile_model(str(file_of(bundle, name, ".onnx")), "CPU", settings) for name in self._graphs
        }

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        """The graph's outputs by name."""
        spec, model = self._graphs[graph], self._models[graph]
        found = model({tensor.name: np.ascontiguousarray(inputs[tensor.name]) for tensor in spec.inputs})
        return {tensor.name: np.array(found[tensor.name]) for tensor in spec.outputs}

    def describe(self) -> dict[str, Any]:
        """Its name."""
        return {"name": self.name}

    def close(self) -> None:
        """Lets go of the models."""
        self._models.clear()


def open_segmenter(bundle: Bundle, threads: int) -> Segmenter:
    """The bundle with OpenVINO in place of its own engine."""
    manifest = bundle.manifest
    engine = in_two_steps(OpenVinoEngine(bundle, threads), manifest.graphs, manifest)
    return Segmenter.over(engine, manifest.preprocess, manifest.postprocess, classes=manifest.classes)
