"""The proof: convert a graph by the real ``opt``, load it, run it, and compare it with paddle."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from convert import opt
from convert.child import Outcome, run_command, run_module
from convert.doctor_compare import compare
from convert.doctor_inputs import Sizes, shapes, values
from convert.doctor_program import Program
from convert.doctor_trial import read_arrays, write_inputs
from convert.doctor_words import Words, explain
from edge_seg.errors import EdgeSegError

LIMIT_S = 600.0
_WIDE = 3.0
"""Far enough out that limits (relu6) show."""
LITE = ("convert.opt", "convert.doctor_trial", "convert.doctor_kernels")
"""Modules whose children load Paddle Lite."""

Runs = list[list[NDArray[Any]]]


@dataclass(frozen=True)
class Graph:
    """The program and its files; ``folder`` takes whatever is made of it."""

    program: Program
    file: Path
    weights: Path
    folder: Path


@dataclass(frozen=True)
class Tried:
    """What came of running a graph: the outputs of each run, or the ``words`` with which it failed."""

    outputs: Runs
    words: Words | None = None
    ending: str = ""


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
class Witness:
    """What runs graphs that were converted for ``target``: a runner's command, or else this machine (x86)."""

    target: str
    runner: tuple[str, ...] = ()

    def run(self, graph: Graph, nb: Path, runs: Runs) -> Tried:
        """Runs the ``.nb`` in a process of its own."""

        def start(words: list[str | Path]) -> Outcome:
            if self.runner:
                return run_command([*self.runner, "--graph", str(nb), *map(str, words)], LIMIT_S)
            return run_module("convert.doctor_trial", "--graph", nb, *words, limit_s=LIMIT_S)

        return _run(graph, runs, start)

    def judge(self, graph: Graph, runs: Runs) -> bool:
        """Whether ``graph`` can be converted and run, and gives paddle's values."""
        nb = optimise(graph, self.target)
        if isinstance(nb, EdgeSegError):
            return False
        found = self.run(graph, nb, runs)
        return found.words is None and not any(faults(graph, run_paddle(graph, runs), found))


def run_paddle(graph: Graph, runs: Runs) -> Tried:
    """Runs the program by paddle."""
    return _run(
        graph,
        runs,
        lambda words: run_module("convert.doctor_reference", "--graph", graph.file, *words, limit_s=LIMIT_S),
    )


def _run(graph: Graph, runs: Runs, start: Callable[[list[str | Path]], Outcome]) -> Tried:
    given, made = graph.folder / "inputs", graph.folder / "outputs"
    for folder in (given, made):
        folder.mkdir()
    try:
        write_inputs(given, runs)
        outcome = start(["--inputs", given, "--outputs", made])
        outputs = [read_arrays(made, number) for number in range(len(runs))]
    except (OSError, ValueError) as problem:  # an output that was cut short
        return Tried([], Words(str(problem)), "gave no whole outputs")
    finally:
        for folder in (given, made):
            shutil.rmtree(folder, ignore_errors=True)
    if not outcome.ok:
        return Tried([], explain(outcome), outcome.ending())
    if any(len(found) != len(graph.program.outputs) for found in outputs):
        return Tried([], Words("outputs are missing"), outcome.ending())
    return Tried(outputs)


def faults(graph: Graph, expected: Tried, found: Tried) -> Iterator[str]:
    """What is wrong with the outputs of a run that went well: other values than paddle's, or others at each run."""
    if not expected.words:
        yield from compare(graph.program, expected.outputs, found.outputs)
    first, _, again = found.outputs
    yield from (f"at the second run, {said}" for said in compare(graph.program, [first], [again]))
