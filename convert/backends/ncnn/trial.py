"""Every graph for ncnn is loaded, run and compared with paddle before it is shipped.

ncnn says little of what is wrong: a graph may load and crash when run, or give wrong values. So it runs in a child
process (``python -m convert.backends.ncnn.trial FOLDER``), on small inputs: layers that convolve take any size, and the
whole bundle is checked on its golden image later.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.artifacts import ExportedGraph
from edge_seg.errors import ConversionError
from edge_seg.files import read_json, write_json
from edge_seg.manifest import GraphSpec, TensorSpec
from edge_seg.process.child import failure, refusing, run_module

LIMIT_S = 600.0
_TASK, _INPUT = "task.json", "{name}-input.npy"
_IMAGE_SIDE, _MAP_SIDE, _ITEMS = 128, 16, 3
# Of an output's largest value. fp32 was measured at 3e-6; fp16 at 1e-3 where only weights are rounded, and at 5e-2
# where a CPU computes in it.
_TOLERANCE, _FP16_TOLERANCE = 1e-4, 0.1


def try_graphs(graphs: Sequence[ExportedGraph], fp16: Sequence[str], folder: Path, scratch: Path) -> None:
    """Runs the files that stand in ``folder`` for ``graphs``; ``fp16`` names those that store half precision.

    Raises :class:`ConversionError` when one can't be loaded or run, or gives other values than paddle.
    """
    from convert.program.executor import Executor, GraphProgram

    rng = np.random.default_rng(0)
    given = {graph.name: rng.normal(size=small_shape(graph.inputs[0])).astype(np.float32) for graph in graphs}
    for name, value in given.items():
        np.save(scratch / _INPUT.format(name=name), value)
    plain = {
        graph.name: [[[t.name, list(t.shape)] for t in side] for side in (graph.inputs, graph.outputs)]
        for graph in graphs
    }
    write_json(scratch / _TASK, {"folder": str(folder.resolve()), "fp16": list(fp16), "graphs": plain})
    outcome = run_module("convert.backends.ncnn.trial", scratch, limit_s=LIMIT_S)
    if not outcome.ok:
        what = "running the converted model failed: ncnn's process"
        raise failure(outcome, what, prefix="the converted model can't be run: ")
    for graph in graphs:
        expected = Executor([GraphProgram.read(graph)]).run(graph.name, {graph.inputs[0].name: given[graph.name]})
        for name, value in expected.items():
            found = np.load(scratch / f"{graph.name}-{name}.npy")
            _compare(f"{graph.name}: {name}", value, found, _FP16_TOLERANCE if graph.name in fp16 else _TOLERANCE)


def small_shape(spec: TensorSpec) -> tuple[int, ...]:
    """A shape that the graph can take: few items, small maps, the corner of an image."""
    items, channels, *sides = spec.shape
    largest = _IMAGE_SIDE if channels == 3 else _MAP_SIDE
    return (_ITEMS if items == -1 else items, channels, *(_MAP_SIDE if s == -1 else min(s, largest) for s in sides))


def _compare(where: str, expected: NDArray[np.float32], found: NDArray[np.float32], limit: float) -> None:
    if expected.shape != found.shape:
        raise ConversionError(f"{where} is {found.shape} in ncnn, {expected.shape} in paddle", code="parity")
    apart = float(np.abs(expected - found).max() / max(1e-9, float(np.abs(expected).max())))
    if not apart <= limit:  # so that NaN is a fault
        raise ConversionError(
            f"{where} differs by {apart:.1e} of its largest value between ncnn and paddle, more than {limit:g}",
            remedy="convert to another recipe, and report the command line",
            code="parity",
        )


def _child(scratch: Path) -> None:
    from edge_seg.runtime.engines.ncnn import computes_fp16, open_net, run_net

    task = read_json(scratch / _TASK, ConversionError)
    folder = Path(task["folder"])
    for name, sides in task["graphs"].items():
        inputs, outputs = (tuple(TensorSpec(t, tuple(shape), "float32") for t, shape in side) for side in sides)
        spec = GraphSpec({}, inputs, outputs)
        fp16 = name in task["fp16"] and computes_fp16()
        net = open_net(folder / f"{name}.param", folder / f"{name}.bin", spec, threads=1, fp16=fp16)
        found = run_net(net, {inputs[0].name: np.load(scratch / _INPUT.format(name=name))})
        for output, value in found.items():
            np.save(scratch / f"{name}-{output}.npy", value)


if __name__ == "__main__":
    sys.exit(refusing(lambda: _child(Path(sys.argv[1]))))
