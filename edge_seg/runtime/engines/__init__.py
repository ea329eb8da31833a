"""Engines: what runs a bundle's graphs. One file each; nothing outside this folder asks which one it is.

An engine module has two functions:

- ``version() -> str``: the library's version as a manifest's ``engine_version`` names it; MissingDependencyError when
  it isn't installed.
- ``load(bundle, threads) -> Engine``: loads all graphs. It may trust that the bundle is for this machine and version.

``PORTABLE = True`` beside them says that graphs are in a standard form, which any version of the library may run.

To add one, write the module and enter it in ``MODULES``.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from numpy.typing import NDArray

from edge_seg.bundle import Bundle
from edge_seg.errors import UsageError
from edge_seg.runtime.engines.checks import Checked, check_graphs, check_machine, check_version, words_of

Arrays = dict[str, NDArray[Any]]

MODULES = {
    "paddle-lite": "edge_seg.runtime.engines.paddle_lite",
    "paddle-inference": "edge_seg.runtime.engines.paddle_inference",
    "onnxruntime": "edge_seg.runtime.engines.onnxruntime",
    "null": "edge_seg.runtime.engines.null",
}


class Engine(Protocol):
    """Runs graphs by name. Not for use by several threads at once."""

    name: str

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        """The graph's outputs by name: arrays of their own, never views into the library's memory."""

    def describe(self) -> dict[str, Any]:
        """What a record says of the engine: name, version, threads, and what else decides its speed."""

    def close(self) -> None:
        """Frees the library's memory."""


def open_engine(bundle: Bundle, engine: str | None = None, threads: int = 0) -> Engine:
    """Loads ``bundle`` into the engine of that name (the manifest's unless given), with checks around every run.

    ``threads`` 0 leaves the number to the engine. Raises UsageError for an unknown engine or number of threads,
    BundleError when the bundle isn't for this machine, engine or library version, MissingDependencyError when the
    library isn't installed.
    """
    manifest = bundle.manifest
    name = engine or manifest.engine
    if name not in MODULES:
        choices = ", ".join(MODULES)
        raise UsageError(f"engine {name!r}: unknown", remedy=f"choose one of {choices}", code="engine-unknown")
    if threads < 0:
        raise UsageError(f"threads: {threads} is below 0")
    module = importlib.import_module(MODULES[name])
    check_graphs(manifest)
    if name != "null":  # which runs no graph, so any bundle will do
        check_machine(manifest, name)
        found = module.version()
        if not getattr(module, "PORTABLE", False):
            check_version(manifest, found)
    with words_of(f"{name}: loading {bundle.path}"):
        return Checked(module.load(bundle, threads), manifest.graphs)
