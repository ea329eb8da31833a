"""Runs one graph by Paddle Lite on arrays from files, in a process of its own.

``python -m convert.backends.run_graph --graph FILE.nb --inputs DIR --outputs DIR`` runs the graph once for each group
``0-0.npy 0-1.npy …``, ``1-0.npy …`` of inputs, in order and on one predictor, and writes the outputs of each by the
same numbering. A runner for another machine can do the same.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.backends.messages import Words, explain
from convert.program.program import Program
from edge_seg.process.child import Outcome, no_core_file, run_module
from edge_seg.runtime.engines.paddle_lite import open_predictor, run_predictor

Run = Callable[[list[NDArray[Any]]], list[NDArray[Any]]]
LIMIT_S = 600.0
LITE = ("convert.backends.opt", "convert.backends.run_graph", "convert.backends.kernels")
"""Modules whose children load Paddle Lite."""
Runs = list[list[NDArray[Any]]]


def write_inputs(folder: Path, runs: list[list[NDArray[Any]]]) -> None:
    """The inputs of each run, in the graph's order."""
    for run, arrays in enumerate(runs):
        write_arrays(folder, run, arrays)


def write_arrays(folder: Path, run: int, arrays: list[NDArray[Any]]) -> None:
    """``RUN-0.npy``, ``RUN-1.npy`` …."""
    for index, array in enumerate(arrays):
        np.save(folder / f"{run}-{index}.npy", array)


def read_arrays(folder: Path, run: int) -> list[NDArray[Any]]:
    """All arrays of one run; none when there was no such run."""
    return list(_arrays(folder, run))


def _arrays(folder: Path, run: int) -> Iterator[NDArray[Any]]:
    index = 0
    while (file := folder / f"{run}-{index}.npy").is_file():
        yield np.load(file)
        index += 1


def _lite(graph: Path) -> Run:
    return partial(run_predictor, open_predictor(graph))


def serve(load: Callable[[Path], Run]) -> None:
    """Loads the graph of the command line, then runs it for each group of inputs."""
    parser = argparse.ArgumentParser()
    for name in ("graph", "inputs", "outputs"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    no_core_file()
    run = load(options.graph)
    number = 0
    while inputs := read_arrays(options.inputs, number):
        write_arrays(options.outputs, number, run(inputs))
        number += 1


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


def run_paddle(graph: Graph, runs: Runs) -> Tried:
    """Runs the program by paddle."""
    return run(
        graph,
        runs,
        lambda words: run_module("convert.backends.run_paddle", "--graph", graph.file, *words, limit_s=LIMIT_S),
    )


def run(graph: Graph, runs: Runs, start: Callable[[list[str | Path]], Outcome]) -> Tried:
    """What comes of the child that ``start`` runs with the options for the files of ``runs``."""
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


if __name__ == "__main__":
    serve(_lite)
