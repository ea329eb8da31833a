"""Which operator it is: the shortest beginning of a model that fails, found by halving."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from convert.backends.run_graph import Graph
from convert.program.program import Operator, Program, from_description

# Outputs that hold no values of their own.
_IDLE = ("XShape", "ReserveSpace", "Mask", "SavedMean", "SavedVariance", "MeanOut", "VarianceOut")

Fails = Callable[[Graph], bool]


@dataclass(frozen=True)
class Place:
    """The ``operator``, and its place among all of the program (the first is 1)."""

    operator: Operator
    number: int

    def __str__(self) -> str:
        written = next(iter(sorted(self.operator.writes)), "")
        return f"{self.operator.kind} (operator {self.number}, → {written})"


def locate(graph: Graph, fails: Fails) -> Place | None:
    """The operator at which ``graph``, which fails, begins to fail; None when it can't be told.

    It can't in programs with control flow, and where no beginning fails by itself.
    """
    blocks = graph.program.description.blocks
    if len(blocks) != 1:
        return None
    operators = graph.program.operators
    good, bad = 0, len(operators)
    while bad - good > 1:
        middle = (good + bad) // 2
        beginning = _beginning(graph, middle)
        if beginning is not None and fails(beginning):
            bad = middle
        else:
            good = middle
    return Place(operators[bad - 1], bad)


def _beginning(graph: Graph, count: int) -> Graph | None:
    """The first ``count`` operators, with what the last of them writes as outputs; None when it writes no tensor."""
    program = graph.program
    last = program.operators[count - 1]
    outputs = [
        name
        for slot, names in last.outputs.items()
        if slot not in _IDLE
        for name in names
        if name in program.variables and program.dtype(name)
    ]
    if not outputs:
        return None
    description = type(program.description)()
    description.CopyFrom(program.description)
    _cut(description.blocks[0], count, outputs)
    file = graph.folder / "beginning.pdmodel"
    file.write_bytes(description.SerializeToString())
    weights = file.with_suffix(".pdiparams")
    if not weights.exists():
        weights.symlink_to(graph.weights)
    shorter: Program = from_description(description)
    return dataclasses.replace(graph, program=shorter, file=file, weights=weights)


def _cut(block: Any, count: int, outputs: list[str]) -> None:
    feeds = [op for op in block.ops if op.type == "feed"]
    fetch = next(op for op in block.ops if op.type == "fetch")
    kept = [op for op in block.ops if op.type not in ("feed", "fetch")][:count]
    ends = []
    for column, name in enumerate(outputs):
        end = type(fetch)()
        end.CopyFrom(fetch)
        end.inputs[0].arguments[:] = [name]
        for attribute in end.attrs:
            if attribute.name == "col":
                attribute.i = column
        ends.append(end)
    operators = [type(fetch).FromString(op.SerializeToString()) for op in (*feeds, *kept, *ends)]
    del block.ops[:]
    block.ops.extend(operators)
