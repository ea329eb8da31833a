"""Engines: what runs a bundle's graphs. One file each; nothing outside this folder asks which one it is.

To add one, write its module and enter what it is in :data:`ENGINES`. The module has two functions:

- ``version() -> str``: the library's version as a manifest's ``engine_version`` names it; MissingDependencyError when
  it isn't installed. An engine that takes images has ``find(bundle)`` instead: None where what it needs isn't there.
- ``load(bundle, threads) -> Engine``: loads all graphs. It may trust that the bundle is for this machine and version.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from edge_seg.bundle import Bundle
from edge_seg.errors import MissingDependencyError, UsageError
from edge_seg.files import refuse_non_utf8
from edge_seg.options import MAX_THREADS
from edge_seg.runtime.engines.checks import Checked, check_graphs, check_machine, check_version, words_of
from edge_seg.runtime.engines.engine import Arrays, Engine, ImageEngine
from edge_seg.runtime.engines.three_graphs import in_two_steps
from edge_seg.runtime.memory import bounded, check_memory, room_for

__all__ = ["ENGINES", "Arrays", "Engine", "EngineSpec", "ImageEngine", "open_engine", "version_of"]


@dataclass(frozen=True)
class EngineSpec:
    """What an engine is, known without loading its library.

    ``suffixes``: what the files of each graph end with. ``portable``: graphs are in a standard form, which any version
    of the library may run. ``takes_images``: it is an :class:`ImageEngine`, which checks bundle, machine and version
    itself. ``any_bundle``: it computes nothing, so any bundle will do. ``stand_in``: the engine that runs its bundles
    where its own library isn't installed. ``bundles_of``: the engine whose bundles it runs, where that isn't itself.
    """

    module: str
    suffixes: tuple[str, ...] = ()
    portable: bool = False
    takes_images: bool = False
    any_bundle: bool = False
    stand_in: str = ""
    bundles_of: str = ""


_HERE = "edge_seg.runtime.engines"
ENGINES = {
    # There are no wheels of Paddle Lite for Arm, and of ncnn only for 64 bits.
    "paddle-lite": EngineSpec(f"{_HERE}.paddle_lite", (".nb",), stand_in="native"),
    "paddle-inference": EngineSpec(f"{_HERE}.paddle_inference", (".pdmodel", ".pdiparams")),
    "onnxruntime": EngineSpec(f"{_HERE}.onnxruntime", (".onnx",), portable=True),
    "ncnn": EngineSpec(f"{_HERE}.ncnn", (".param", ".bin"), portable=True, stand_in="native"),
    "ncnn-vulkan": EngineSpec(f"{_HERE}.ncnn_vulkan", (".param", ".bin"), portable=True, bundles_of="ncnn"),
    "native": EngineSpec(f"{_HERE}.native", takes_images=True),
    "null": EngineSpec(f"{_HERE}.null", portable=True, any_bundle=True),
}


def version_of(engine: str) -> str:
    """The version of the engine's library. MissingDependencyError when it isn't installed."""
    version: str = importlib.import_module(ENGINES[engine].module).version()
    return version


def open_engine(bundle: Bundle, engine: str | None = None, threads: int = 0) -> Engine:
    """Loads ``bundle`` into the engine of that name (the manifest's unless given), with checks around every run.

    Whatever the form of its graphs, it runs `detect` and `mask`, or `full` where that is the one there is.

    ``threads`` 0 leaves the number to the engine. Raises UsageError for an unknown engine or number of threads,
    BundleError when the bundle isn't for this machine, engine or library version, MissingDependencyError when the
    library isn't installed, EngineError where there isn't enough memory.
    """
    manifest = bundle.manifest
    name = engine or _engine_of(bundle)
    if name not in ENGINES:
        choices = ", ".join(ENGINES)
        raise UsageError(f"engine {name!r}: unknown", remedy=f"choose one of {choices}", code="engine-unknown")
    if not 0 <= threads <= MAX_THREADS:
        raise UsageError(f"threads: {threads} is {'below 0' if threads < 0 else f'above {MAX_THREADS}'}")
    spec = ENGINES[name]
    module = importlib.import_module(spec.module)
    check_graphs(manifest)
    if not spec.any_bundle:
        check_memory(bundle)
    if spec.takes_images:
        whole: Engine = module.load(bundle, threads)
        return whole
    if not spec.any_bundle:
        refuse_non_utf8(bundle.path)
        check_machine(manifest, spec.bundles_of or name)
        found = version_of(name)
        if not spec.portable:
            check_version(manifest, found)
    room = None if spec.any_bundle else room_for(manifest, bundle.model_bytes)
    with words_of(f"{name}: loading {bundle.path}"), bounded(room):
        loaded = Checked(module.load(bundle, threads), manifest.graphs, room)
    return in_two_steps(loaded, manifest.graphs, manifest)


def _engine_of(bundle: Bundle) -> str:
    """The manifest's engine, or what stands in for it here."""
    name = bundle.manifest.engine
    if name in ENGINES and (other := ENGINES[name].stand_in):
        try:
            version_of(name)
        except MissingDependencyError:
            if importlib.import_module(ENGINES[other].module).find(bundle) is not None:
                return other
    return name
