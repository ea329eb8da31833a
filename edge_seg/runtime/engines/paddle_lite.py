"""Paddle Lite through its Python wheel (x86-64 only): light predictors over `.nb` files.

The wheel runs on one thread and offers no way to set the number. Every damaged file ends the process; the bundle's
hashes are what keeps them away, and a guarded command's parent reports what they miss.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg import mkl
from edge_seg.bundle import Bundle
from edge_seg.errors import MissingDependencyError
from edge_seg.install import pip_install
from edge_seg.manifest import GraphSpec
from edge_seg.runtime.engines.checks import check_names, file_of, loading

NAME = "paddle-lite"


def version() -> str:
    """The wheel's version, such as ``2.13rc0``."""
    try:
        return importlib.metadata.version("paddlelite")
    except importlib.metadata.PackageNotFoundError:
        raise MissingDependencyError(
            "this bundle needs the Python library paddlelite, which is not installed",
            remedy=f"{pip_install('lite')} (wheels are for x86-64 and CPython 3.10; this is"
            f" {platform.machine()}, Python {platform.python_version()})",
        ) from None


def load(bundle: Bundle, threads: int) -> PaddleLiteEngine:
    """One predictor a graph. ``threads`` has no effect: the wheel has no setting for it."""
    predictors = {}
    for name, graph in bundle.manifest.graphs.items():
        file = file_of(bundle, name, ".nb")
        with loading(NAME, file):
            predictor = open_predictor(file)
        check_names(file, graph, predictor.get_input_names(), len(predictor.get_output_names()))
        predictors[name] = (predictor, graph)
    return PaddleLiteEngine(predictors)


def open_predictor(file: Path) -> Any:
    """Paddle Lite's predictor of a ``.nb`` file, whatever model it holds."""
    mkl.settle()
    from paddlelite import lite

    config = lite.MobileConfig()
    config.set_model_from_file(str(file))
    return lite.create_paddle_predictor(config)


def run_predictor(predictor: Any, inputs: Iterable[NDArray[Any]]) -> list[NDArray[Any]]:
    """The outputs of a predictor's graph for its ``inputs``, both in the graph's order."""
    for index, array in enumerate(inputs):
        predictor.get_input(index).from_numpy(np.ascontiguousarray(array))
    predictor.run()
    # numpy() is a view that the next run overwrites.
    return [np.array(predictor.get_output(index).numpy()) for index in range(len(predictor.get_output_names()))]


class PaddleLiteEngine:
    """See the module."""

    name = NAME

    def __init__(self, predictors: dict[str, tuple[Any, GraphSpec]]) -> None:
        self._predictors = predictors

    def run(self, graph: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        predictor, spec = self._predictors[graph]
        outputs = run_predictor(predictor, [inputs[tensor.name] for tensor in spec.inputs])
        return {tensor.name: output for tensor, output in zip(spec.outputs, outputs, strict=True)}

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "version": version(), "threads": 1}

    def close(self) -> None:
        self._predictors.clear()
