"""Whether a model's numbers fit half precision, as far as a host that computes in float can tell.

Half precision ends at 65504; what is larger becomes infinite, and the model finds nothing. So its weights are looked
at, and on the golden image all that enters a convolution or leaves a fully connected layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.artifacts import Exported
from convert.export.reference import FALLBACK_INSTANCES
from convert.program.edit import ProgramEdit, only, quantizable
from convert.program.executor import GraphProgram, Watching, stepwise
from edge_seg.errors import ConversionError
from edge_seg.runtime.segmenter import Segmenter

LARGEST = 65504.0
# Other images hold larger values than the golden one.
_MARGIN = 2.0


def check(exported: Exported) -> dict[str, Any]:
    """The largest magnitude and where it is; :class:`ConversionError` when it, doubled, is beyond half precision."""
    graphs = [GraphProgram.read(graph) for graph in exported.graphs]
    job = exported.referenced.job
    largest, where = 0.0, ""

    def take(graph: str, name: str, values: NDArray[Any]) -> None:
        nonlocal largest, where
        if values.dtype == np.float32 and values.size:
            found = float(np.abs(values).max())
            if not found <= largest:  # NaN counts as the largest of all
                largest, where = found, f"{graph}: {name}"

    watching = Watching(graphs, {graph.name: _watched(graph.content) for graph in graphs}, take)
    best = exported.referenced.best or min(FALLBACK_INSTANCES, job.postprocess.keep)
    Segmenter.over(stepwise(watching, graphs, job), job.preprocess, job.postprocess, instances=best)(job.image)
    for graph in graphs:
        for name, weight in graph.weights.items():
            take(graph.name, f"the weight {name}", weight)
    if not largest * _MARGIN <= LARGEST:
        raise ConversionError(
            f"half precision ends at {LARGEST:g}, and {where} reaches {largest:.4g} on the golden image",
            remedy="convert to a recipe that computes in fp32, such as arm-fp32 or arm-w16",
            code="fp16-overflow",
        )
    return {"limit": LARGEST, "largest": float(f"{largest:.3g}"), "where": where}


def _watched(content: bytes) -> list[str]:
    entering = {name for _, name in quantizable(content)}
    leaving = {only(op.outputs, "Out") for op in ProgramEdit(content).block.ops if op.type == "matmul_v2"}
    return sorted(entering | leaving)
