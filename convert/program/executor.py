"""Exported graphs run by paddle's executor, operator by operator: what a program means, before any engine has fused it.

Fake-quantization operators are computed as they stand, so this is the reference for quantized graphs; and every
variable on the way can be looked at, which calibration needs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.artifacts import ExportedGraph, Job
from convert.program.edit import ProgramEdit
from convert.program.weights import Weights, read_weights, write_weights
from edge_seg.manifest import TensorSpec
from edge_seg.paddle_env import paddle
from edge_seg.runtime.engines import Arrays, Engine
from edge_seg.runtime.engines.three_graphs import in_two_steps


@dataclass(frozen=True)
class GraphProgram:
    """An exported graph in memory: ``content`` of its ``.pdmodel``, its weights by name, its tensors in order."""

    name: str
    content: bytes
    weights: Weights
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @classmethod
    def read(cls, graph: ExportedGraph) -> GraphProgram:
        """Of the files on disk."""
        content = graph.program.read_bytes()
        weights = read_weights(graph.weights, ProgramEdit(content).weights)
        return cls(graph.name, content, weights, graph.inputs, graph.outputs)

    def write(self, like: ExportedGraph, folder: Path) -> ExportedGraph:
        """Writes the graph's files, named as those of ``like``, into ``folder``."""
        program, weights = folder / like.program.name, folder / like.weights.name
        program.write_bytes(self.content)
        write_weights(weights, self.weights)
        return ExportedGraph(self.name, program, weights, self.inputs, self.outputs)


def stepwise(engine: Engine, programs: Iterable[GraphProgram], job: Job) -> Engine:
    """``engine``, which runs ``programs`` of the job's model, as one that a segmenter runs, whatever their form."""
    return in_two_steps(engine, {program.name: program for program in programs}, job)


class Executor:
    """An engine over graphs in memory."""

    name = "paddle-executor"

    def __init__(self, graphs: Iterable[GraphProgram]) -> None:
        # In this thread: the executor's own threads were seen to wait for one another for ever.
        paddle.set_flags({"FLAGS_new_executor_serial_run": True})
        self._executor = paddle.static.Executor(paddle.CPUPlace())
        self._graphs = {graph.name: _Loaded(graph) for graph in graphs}

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        """The graph's outputs by name."""
        loaded = self._graphs[graph]
        values = self._fetch(loaded, inputs, loaded.fetched)
        return dict(zip(loaded.outputs, values, strict=True))

    def watch(self, graph: str, inputs: Arrays, names: Sequence[str]) -> tuple[Arrays, Arrays]:
        """The graph's outputs, and the variables ``names`` on the way to them."""
        loaded = self._graphs[graph]
        values = self._fetch(loaded, inputs, [*loaded.fetched, *names])
        count = len(loaded.outputs)
        return dict(zip(loaded.outputs, values[:count], strict=True)), dict(zip(names, values[count:], strict=True))

    def _fetch(self, loaded: _Loaded, inputs: Arrays, names: Sequence[str]) -> list[NDArray[Any]]:
        feeds = {name: np.ascontiguousarray(inputs[name]) for name in loaded.inputs}
        with static_mode():
            values = self._executor.run(loaded.program, feed=feeds, fetch_list=list(names), scope=loaded.scope)
        return [np.asarray(value) for value in values]

    def describe(self) -> dict[str, Any]:
        """Name and version."""
        return {"name": self.name, "version": paddle.__version__}

    def close(self) -> None:
        """Frees the weights."""
        self._graphs.clear()


class Watching(Executor):
    """Hands ``take`` the graph, the name and the value of each of its variables ``names``, at every run."""

    def __init__(
        self,
        graphs: Sequence[GraphProgram],
        names: Mapping[str, Sequence[str]],
        take: Callable[[str, str, NDArray[Any]], None],
    ) -> None:
        super().__init__(graphs)
        self._names, self._take = names, take

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        """The graph's outputs by name."""
        outputs, values = self.watch(graph, inputs, self._names[graph])
        for name, value in values.items():
            self._take(graph, name, value)
        return outputs


class _Loaded:
    def __init__(self, graph: GraphProgram) -> None:
        edit = ProgramEdit(graph.content)
        self.fetched = edit.outputs
        self.inputs = [spec.name for spec in graph.inputs]
        self.outputs = [spec.name for spec in graph.outputs]
        edit.replace_operators(op for op in edit.block.ops if op.type not in ("feed", "fetch"))
        self.scope = paddle.static.Scope()
        place = paddle.CPUPlace()
        for name, value in graph.weights.items():
            self.scope.var(name).get_tensor().set(value, place)
        with static_mode():
            self.program = paddle.static.Program.parse_from_string(edit.content())


@contextlib.contextmanager
def static_mode() -> Iterator[None]:
    """paddle's executor works in static mode only, all else here in dynamic mode."""
    paddle.enable_static()
    try:
        yield
    finally:
        paddle.disable_static()
