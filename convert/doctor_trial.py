"""Runs a graph on inputs from files, in a process of its own: ``python -m convert.doctor_trial --graph …``.

A runner for another machine can do the same: called with ``--graph FILE.nb --inputs DIR --outputs DIR``, it runs the
graph once for each group ``0-0.npy 0-1.npy …``, ``1-0.npy …`` of inputs, in order and on one predictor, and writes the
outputs of each by the same numbering.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.child import no_core_file
from edge_seg.runtime.engines.paddle_lite import open_predictor, run_predictor

Run = Callable[[list[NDArray[Any]]], list[NDArray[Any]]]


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


if __name__ == "__main__":
    serve(_lite)
