"""Engines: what runs a bundle's graphs. One file each; nothing outside this folder asks which one it is.

An engine module has two functions:

- ``version() -> str``: the library's version as a manifest's ``engine_version`` names it; MissingDependencyError when
  it isn't installed.
- ``load(bundle, threads) -> Engine``: loads all graphs. It may trust that the bundle is for this machine and version.

``PORTABLE = True`` beside them says that graphs are in a standard form, which any version of the library may run.
``PICTURES = True`` says that it is a :class:`PictureEngine`, which checks bundle, machine and version itself; it has
``find(bundle)`` instead of ``version()``, None where what it needs isn't installed.

To add one, write the module and enter it in ``MODULES``.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edge_seg.bundle import Bundle
from edge_seg.errors import MissingDependencyError, UsageError
from edge_seg.files import refuse_non_utf8
from edge_seg.options import MAX_THREADS
from edge_seg.runtime.engines.checks import Checked, check_graphs, check_machine, check_version, words_of
from edge_seg.runtime.engines.three_graphs import in_two_steps
from edge_seg.runtime.result import Instances

Arrays = dict[str, NDArray[Any]]

MODULES = {
    "paddle-lite": "edge_seg.runtime.engines.paddle_lite",
    "paddle-inference": "edge_seg.runtime.engines.paddle_inference",
    "onnxruntime": "edge_seg.runtime.engines.onnxruntime",
    "ncnn": "edge_seg.runtime.engines.ncnn",
    "native": "edge_seg.runtime.engines.native",
    "null": "edge_seg.runtime.engines.null",
}
SUFFIXES = {
    "paddle-lite": (".nb",),
    "paddle-inference": (".pdmodel", ".pdiparams"),
    "onnxruntime": (".onnx",),
    "ncnn": (".param", ".bin"),
}
"""What the files of each graph end with in the bundles of an engine."""
STAND_INS = {"paddle-lite": "native"}
"""What runs an engine's bundles where its own library isn't installed: there are no wheels of Paddle Lite for Arm."""


class Engine(Protocol):
    """Runs graphs by name, for one thread at a time: a Segmenter sees to that (:mod:`edge_seg.runtime.turns`)."""

    name: str

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        """The graph's outputs by name: arrays of their own, never views into the library's memory."""

    def describe(self) -> dict[str, Any]:
        """What a record says of the engine: name, version, threads, and what else decides its speed."""

    def close(self) -> None:
        """Frees the library's memory."""


@runtime_checkable
class PictureEngine(Protocol):
    """An engine that does more than graphs: all from the picture to the instances. It needn't run a graph alone."""

    def segment(
        self, picture: NDArray[np.uint8], score: float | None, instances: int | None
    ) -> tuple[Instances, dict[str, int]]:
        """What :meth:`edge_seg.runtime.segmenter.Segmenter.timed` returns, for uint8[H, W, 3] in BGR order."""


def open_engine(bundle: Bundle, engine: str | None = None, threads: int = 0) -> Engine:
    """Loads ``bundle`` into the engine of that name (the manifest's unless given), with checks around every run.

    Whatever the form of its graphs, it runs `detect` and `mask`, or `full` where that is the one there is.

    ``threads`` 0 leaves the number to the engine. Raises UsageError for an unknown engine or number of threads,
    BundleError when the bundle isn't for this machine, engine or library version, MissingDependencyError when the
    library isn't installed.
    """
    manifest = bundle.manifest
    name = engine or _engine_of(bundle)
    if name not in MODULES:
        choices = ", ".join(MODULES)
        raise UsageError(f"engine {name!r}: unknown", remedy=f"choose one of {choices}", code="engine-unknown")
    if not 0 <= threads <= MAX_THREADS:
        raise UsageError(f"threads: {threads} is {'below 0' if threads < 0 else f'above {MAX_THREADS}'}")
    module = importlib.import_module(MODULES[name])
    check_graphs(manifest)
    if getattr(module, "PICTURES", False):
        taker: Engine = module.load(bundle, threads)
        return taker
    if name != "null":  # which runs no graph, so any bundle will do
        refuse_non_utf8(bundle.path)
        check_machine(manifest, name)
        found = module.version()
        if not getattr(module, "PORTABLE", False):
            check_version(manifest, found)
    with words_of(f"{name}: loading {bundle.path}"):
        loaded = Checked(module.load(bundle, threads), manifest.graphs)
    graphs: Engine = in_two_steps(loaded, manifest.graphs, manifest)
    return graphs


def _engine_of(bundle: Bundle) -> str:
    """The manifest's engine, or what stands in for it here."""
    name = bundle.manifest.engine
    if name in STAND_INS:
        try:
            importlib.import_module(MODULES[name]).version()
        except MissingDependencyError:
            if importlib.import_module(MODULES[STAND_INS[name]]).find(bundle) is not None:
                return STAND_INS[name]
    return name
