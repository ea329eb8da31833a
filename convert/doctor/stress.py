"""Inputs at which a model that runs may still fail: other sizes, no boxes, nothing found, large values.

A rule of :mod:`convert.doctor.lint` names the trial that confirms or refutes its suspicion.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from convert.backends.run_graph import Graph, run_paddle
from convert.doctor.compare import lost
from convert.doctor.inputs import Sizes, shapes, values
from convert.doctor.trial import GraphRunner, inputs, optimise
from edge_seg.doctor.report import Finding
from edge_seg.errors import EdgeSegError

MAY_FIND_NOTHING = ("multiclass_nms", "multiclass_nms2", "multiclass_nms3", "matrix_nms", "where_index")
_ODD_SIDE = 50
_FAR = 300.0
"""An image in 0..255 has such values, and what a layer makes of it."""
_NO_SCORE = 2.0
"""A threshold that no score passes."""


@dataclass(frozen=True)
class Tried:
    """A graph that runs: its ``nb``, what runs it (``by``), and sizes of its inputs."""

    graph: Graph
    nb: Path
    by: GraphRunner
    sizes: Sizes


@dataclass(frozen=True)
class Trial:
    """Runs a graph where it may fail. ``passes`` says whether it runs there too; ``shown`` how a failure is put."""

    passes: Callable[[Tried], bool]
    shown: str


def _runs(tried: Tried, sizes: Sizes) -> bool:
    return tried.by.run(tried.graph, tried.nb, inputs(tried.graph, sizes)[:1]).words is None


def _runs_finding_nothing(tried: Tried) -> bool:
    graph = tried.graph
    description = type(graph.program.description)()
    description.CopyFrom(graph.program.description)
    for block in description.blocks:
        for operator in block.ops:
            for attribute in operator.attrs:
                if operator.type in MAY_FIND_NOTHING and attribute.name in ("score_threshold", "post_threshold"):
                    attribute.f = _NO_SCORE
    file = graph.folder / "nothing.pdmodel"
    file.write_bytes(description.SerializeToString())
    changed = dataclasses.replace(graph, file=file)
    nb = optimise(changed, tried.by.target)
    return isinstance(nb, EdgeSegError) or _runs(Tried(changed, nb, tried.by, tried.sizes), tried.sizes)


ODD_SIZE = Trial(
    lambda tried: _runs(tried, dataclasses.replace(tried.sizes, given={}, side=_ODD_SIDE)),
    f"it did with a side of {_ODD_SIDE}",
)
NO_ROWS = Trial(lambda tried: _runs(tried, dataclasses.replace(tried.sizes, given={}, rows=0)), "it did")
NOTHING_FOUND = Trial(_runs_finding_nothing, "it did, with a threshold that nothing passes")


def large_values(tried: Tried) -> Iterator[Finding]:
    """Kernels that have no number for a large value, where paddle has: softmax over channels, tanh beyond 89 on x86."""
    graph = tried.graph
    if not any(tensor.dtype.startswith("float") for tensor in graph.program.inputs):
        return
    runs = [list(values(graph.program, shapes(graph.program, tried.sizes), spread=_FAR).values())]
    expected, found = run_paddle(graph, runs), tried.by.run(graph, tried.nb, runs)
    if expected.words:
        return
    what = "it aborts on"
    if not found.words:
        names = lost(graph.program, expected.outputs[0], found.outputs[0])
        what = f"{', '.join(names)} isn't finite, where paddle's is, on" if names else ""
    if what:
        yield Finding(
            "warning",
            f"run on {tried.by.target}",
            f"{what} inputs with a standard deviation of {_FAR:g}",
            "scale the inputs (images to 0..1), or clip what goes into softmax and tanh: paddle.clip(x, -60, 60)",
            "large-values",
        )
