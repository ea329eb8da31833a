"""Inputs at which a model that runs may still end the process: other sizes, no boxes, nothing found.

Each is tried; a warning is left where the trial confirms it, or can't be made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from convert.doctor_inputs import Sizes
from convert.doctor_proof import Graph, Witness, inputs, optimise
from convert.doctor_report import Finding
from convert.doctor_rules import MAY_FIND_NOTHING, Suspicion
from edge_seg.errors import EdgeSegError

_ODD_SIDE = 50
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
