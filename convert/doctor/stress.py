"""Inputs at which a model that runs may still fail: other sizes, no boxes, nothing found, large values.

Each is tried; a warning is left where the trial confirms it, or can't be made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from convert.backends.run_graph import Graph, run_paddle
from convert.doctor.compare import lost
from convert.doctor.inputs import Sizes, shapes, values
from convert.doctor.lint import MAY_FIND_NOTHING, Suspicion
from convert.doctor.report import Finding
from convert.doctor.trial import Witness, inputs, optimise
from edge_seg.errors import EdgeSegError

_ODD_SIDE = 50
_FAR = 300.0
"""A picture in 0..255 has such values, and what a layer makes of it."""
_NO_SCORE = 2.0
"""A threshold that no score passes."""


def examine(graph: Graph, nb: Path, witness: Witness, sizes: Sizes, suspicions: list[Suspicion]) -> Iterator[Finding]:
    """Of a graph that runs: each conditional suspicion that a trial confirms, or can't refute."""
    for suspicion in suspicions:
        if not suspicion.conditional:
            continue
        if suspicion.code == "size":
            odd = dataclasses.replace(sizes, given={}, side=_ODD_SIDE)
            if not _runs(graph, nb, witness, odd):
                yield warning(suspicion, f"it did with a side of {_ODD_SIDE}")
        elif suspicion.code == "zero-rows":
            if not _runs(graph, nb, witness, dataclasses.replace(sizes, given={}, rows=0)):
                yield warning(suspicion, "it did")
        elif suspicion.code == "zero-boxes":
            if not _runs_finding_nothing(graph, witness, sizes):
                yield warning(suspicion, "it did, with a threshold that nothing passes")
        else:
            yield warning(suspicion)
    yield from _far_out(graph, nb, witness, sizes)


def _far_out(graph: Graph, nb: Path, witness: Witness, sizes: Sizes) -> Iterator[Finding]:
    """Kernels that have no number for a large value, where paddle has: softmax over channels, tanh beyond 89 on x86."""
    if not any(tensor.dtype.startswith("float") for tensor in graph.program.inputs):
        return
    runs = [list(values(graph.program, shapes(graph.program, sizes), spread=_FAR).values())]
    expected, found = run_paddle(graph, runs), witness.run(graph, nb, runs)
    if expected.words:
        return
    what = "it dies of"
    if not found.words:
        names = lost(graph.program, expected.outputs[0], found.outputs[0])
        what = f"{', '.join(names)} isn't finite, where paddle's is, of" if names else ""
    if what:
        yield Finding(
            "warning",
            f"run on {witness.target}",
            f"{what} inputs with a standard deviation of {_FAR:g}",
            "scale the inputs (pictures to 0..1), or clip what goes into softmax and tanh: paddle.clip(x, -60, 60)",
            "large-values",
        )


def warning(suspicion: Suspicion, shown: str = "") -> Finding:
    """``shown``: what was seen of it."""
    subject = ", ".join(suspicion.kinds[:2]) or "tensors"
    message = f"{suspicion.message} ({shown})" if shown else suspicion.message
    return Finding("warning", subject, message, suspicion.remedy, suspicion.code)


def _runs(graph: Graph, nb: Path, witness: Witness, sizes: Sizes) -> bool:
    return witness.run(graph, nb, inputs(graph, sizes)[:1]).words is None


def _runs_finding_nothing(graph: Graph, witness: Witness, sizes: Sizes) -> bool:
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
    nb = optimise(changed, witness.target)
    return isinstance(nb, EdgeSegError) or _runs(changed, nb, witness, sizes)
