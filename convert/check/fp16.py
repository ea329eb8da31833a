"""Whether a model's numbers fit half precision, as far as a host that computes in float can tell.

Half precision ends at 65504; what is larger becomes infinite, and the model finds nothing. So its weights are looked
at, and on the golden image all that enters a convolution or leaves a fully connected layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.artifacts import Exported
from convert.export.reference import FALLBACK_INSTANCES
from convert.program.edit import ProgramEdit, convolutions, only
from convert.program.executor import Arrays, Executor, GraphProgram, stepwise
from edge_seg.errors import ConversionError
from edge_seg.runtime.segmenter import Segmenter

LARGEST = 65504.0
# Other images hold larger values than the golden one.
_MARGIN = 2.0


def check(exported: Exported) -> dict[str, Any]:
    """The largest magnitude and where it is; :class:`ConversionError` when it, doubled, is beyond half precision."""
    graphs = [GraphProgram.read(graph) for graph in exported.graphs]
    job = exported.referenced.job
    watching = _Largest(graphs)
    best = exported.referenced.best or min(FALLBACK_INSTANCES, job.postprocess.keep)
    Segmenter.over(stepwise(watching, graphs, job), job.preprocess, job.postprocess, instances=best)(job.image)
    for graph in graphs:
        for name, weight in graph.weights.items():
            watching.take(f"{graph.name}: the weight {name}", weight)
    if not watching.largest * _MARGIN <= LARGEST:
        raise ConversionError(
            f"half precision ends at {LARGEST:g}, and {watching.where} reaches {watching.largest:.4g} on the golden "
            "image",
            remedy="convert to a recipe that computes in fp32, such as arm-fp32 or arm-w16",
            code="fp16-overflow",
        )
    return {"limit": LARGEST, "largest": float(f"{watching.largest:.3g}"), "where": watching.where}


class _Largest:
    """Runs the graphs and remembers the largest magnitude."""

    def __init__(self, graphs: list[GraphProgram]) -> None:
        self._executor = Executor(graphs)
        self._names = {graph.name: _watched(graph.content) for graph in graphs}
        self.name = self._executor.name
        self.largest, self.where = 0.0, ""

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        """The graph's outputs by name."""
        outputs, values = self._executor.watch(graph, inputs, self._names[graph])
        for name, value in values.items():
            self.take(f"{graph}: {name}", value)
        return outputs

    def take(self, where: str, values: np.ndarray[Any, Any]) -> None:
        """Looks at ``values``; NaN counts as the largest of all."""
        if values.dtype != np.float32 or not values.size:
            return
        largest = float(np.abs(values).max())
        if not largest <= self.largest:
            self.largest, self.where = largest, where

    def describe(self) -> dict[str, Any]:
        """The executor's own description."""
        return self._executor.describe()

    def close(self) -> None:
        """Closes the executor."""
        self._executor.close()


def _watched(content: bytes) -> list[str]:
    entering = {name for _, name in convolutions(content)}
    leaving = {only(op.outputs, "Out") for op in ProgramEdit(content).block.ops if op.type == "matmul_v2"}
    return sorted(entering | leaving)
