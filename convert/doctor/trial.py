"""The proof: convert a graph by the real ``opt``, load it, run it, and compare it with paddle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from convert.backends import opt
from convert.backends.run_graph import LIMIT_S, Graph, Runs, Tried, run, run_paddle
from convert.doctor.compare import compare
from convert.doctor.inputs import Sizes, shapes, values
from edge_seg.errors import EdgeSegError
from edge_seg.process.child import Outcome, run_command, run_module

_WIDE = 3.0
"""Far enough out that limits (relu6) show."""


def optimise(graph: Graph, target: str) -> Path | EdgeSegError:
    """The ``.nb`` for ``target``, read back once; or why there is none."""
    nb = graph.folder / f"{graph.file.stem}-{target}.nb"
    inputs = tuple(tensor.name for tensor in graph.program.inputs)
    try:
        opt.optimise(graph.file, graph.weights, target, nb, inputs=inputs, outputs=len(graph.program.outputs))
    except EdgeSegError as problem:
        return problem
    return nb


def inputs(graph: Graph, sizes: Sizes) -> Runs:
    """Three runs: values that every function takes, values of a wide range, and the first again."""
    chosen = shapes(graph.program, sizes)
    even, wide = (list(values(graph.program, chosen, spread=spread).values()) for spread in (0.0, _WIDE))
    return [even, wide, even]


@dataclass(frozen=True)
class GraphRunner:
    """What runs graphs that were converted for ``target``: a runner's command, or else this machine (x86)."""

    target: str
    runner: tuple[str, ...] = ()

    def run(self, graph: Graph, nb: Path, runs: Runs) -> Tried:
        """Runs the ``.nb`` in a process of its own."""

        def start(words: list[str | Path]) -> Outcome:
            if self.runner:
                return run_command([*self.runner, "--graph", str(nb), *map(str, words)], LIMIT_S)
            return run_module("convert.backends.run_graph", "--graph", nb, *words, limit_s=LIMIT_S)

        return run(graph, runs, start)

    def judge(self, graph: Graph, runs: Runs) -> bool:
        """Whether ``graph`` can be converted and run, and gives paddle's values."""
        nb = optimise(graph, self.target)
        if isinstance(nb, EdgeSegError):
            return False
        found = self.run(graph, nb, runs)
        return found.words is None and not any(faults(graph, run_paddle(graph, runs), found))


def faults(graph: Graph, expected: Tried, found: Tried) -> Iterator[str]:
    """What is wrong with the outputs of a run that went well: other values than paddle's, or others at each run."""
    if not expected.words:
        yield from compare(graph.program, expected.outputs, found.outputs)
    first, _, again = found.outputs
    yield from (f"at the second run, {said}" for said in compare(graph.program, [first], [again]))
