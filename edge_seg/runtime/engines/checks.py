"""What is checked before a library is touched, because libraries abort the process or return garbage instead.

Every check here stands for a failure that was seen: an Arm file on x86 returns 1e31 or crashes, a wrong dtype or
channel count is read as it is, zero boxes abort, and NaN scores look like an image without objects.
"""

from __future__ import annotations

import contextlib
import math
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.bundle import Bundle
from edge_seg.errors import BundleError, EdgeSegError, EngineError
from edge_seg.manifest import CONVOLUTION_GRAPHS, FEATURES, THREE_GRAPHS, TWO_GRAPHS, GraphSpec, Manifest, TensorSpec
from edge_seg.process.guard import phase
from edge_seg.runtime.anchors import RATIOS
from edge_seg.runtime.engines.engine import Engine
from edge_seg.runtime.memory import bounded
from edge_seg.words import counted

_FORMS = (("full",), TWO_GRAPHS, THREE_GRAPHS, CONVOLUTION_GRAPHS)
# Outputs that decisions hang on
_DECIDING = ("rois", "boxes", "scores", "detections", "masks", "logits", "deltas")
_X86 = ("x86_64", "AMD64", "i686")
_ARM = ("aarch64", "arm64", "armv7l", "armv8l")
_MACHINES = {"arm": _ARM, "x86": _X86, "cpu": _X86 + _ARM, "gpu": _X86 + _ARM}


def check_machine(manifest: Manifest, engine: str) -> None:
    """Raises BundleError when the bundle's graphs are for another engine or another kind of machine."""
    if manifest.engine != engine:
        raise BundleError(
            f"the bundle {manifest.name!r} holds graphs for the engine {manifest.engine}, not {engine}",
            remedy=f"leave the engine out, or convert with a recipe for {engine}",
            code="engine-mismatch",
        )
    machine = platform.machine()
    if manifest.target not in _MACHINES:
        raise BundleError(
            f"the bundle {manifest.name!r} is for the unknown target {manifest.target!r}",
            remedy=f"targets are {', '.join(_MACHINES)}: use the version of edge-seg that made the bundle",
            code="target-mismatch",
        )
    if machine not in _MACHINES[manifest.target]:
        raise BundleError(
            f"the bundle {manifest.name!r} is for {manifest.target} (recipe {manifest.recipe}), but this machine is"
            f" {machine}: the library would crash or return garbage",
            remedy=f"run it on a device of the kind {manifest.target}, or convert with a recipe for this machine,"
            f" such as {'x86-fp32' if machine in _X86 else 'arm-fp32'}",
            code="target-mismatch",
        )


def check_version(manifest: Manifest, found: str) -> None:
    """Raises BundleError when the library's version isn't the one that the graphs were made for."""
    if manifest.engine_version != found:
        raise BundleError(
            f"the bundle {manifest.name!r} was made for {manifest.engine} {manifest.engine_version}, but {found} is"
            " installed",
            remedy=f"convert it again here, or install {manifest.engine} {manifest.engine_version}",
            code="version-mismatch",
        )


def check_graphs(manifest: Manifest) -> None:
    """Raises BundleError unless the graphs are those of a form that the runtime knows, with its tensors."""
    height, width = manifest.preprocess.size
    names = manifest.graphs.keys()
    if not any(names == set(form) for form in _FORMS):
        raise BundleError(
            f"the bundle {manifest.name!r} holds the graphs {', '.join(sorted(names)) or 'none'}; expected"
            f" {' or '.join(', '.join(form) for form in _FORMS)}",
            remedy="the manifest is damaged: copy the bundle again or convert anew",
            code="manifest-invalid",
        )
    if "full" in names:
        asked = {tensor.name for tensor in manifest.graphs["full"].inputs}
        known = {"image": ("float32", (1, 3, height, width)), "im_shape": ("float32", (1, 2))}
        inputs = {name: known[name] for name in known if name == "image" or name in asked}
        _check_tensors(manifest, "full", "inputs", inputs)
        outputs = {"detections": ("float32", (-1, 6)), "masks": ("float32", (-1, None, None))}
        _check_tensors(manifest, "full", "outputs", outputs)
        return
    if "trunk" in manifest.graphs:
        features = _features(manifest)
        (_check_convolutions if "rpn" in names else _check_three)(manifest, features)
        if manifest.canonical_size is None:
            raise _without(manifest, "canonical_size")
        return
    classes = len(manifest.classes)
    features = dict.fromkeys(FEATURES, ("float32", (1, None, None, None)))
    detect = {"boxes": ("float32", (None, classes, 4)), "scores": ("float32", (None, classes + 1)), **features}
    boxes = {"boxes": ("float32", (-1, 4)), "num": ("int32", (1,)), "channel": ("int32", (-1,))}
    _check_tensors(manifest, "detect", "inputs", {"image": ("float32", (1, 3, height, width))})
    _check_tensors(manifest, "detect", "outputs", detect)
    _check_tensors(manifest, "mask", "inputs", {**features, **boxes})
    _check_tensors(manifest, "mask", "outputs", {"masks": ("float32", (-1, None, None))})


_Expected = dict[str, tuple[str, tuple[int | None, ...]]]


def _features(manifest: Manifest) -> _Expected:
    """P2 to P5 as the trunk must give them; their channels are those of P2."""
    height, width = manifest.preprocess.size
    channels = next(
        (t.shape[1] for t in manifest.graphs["trunk"].outputs if t.name == "p2" and len(t.shape) == 4), None
    )
    return {f"p{n}": ("float32", (1, channels, height >> n, width >> n)) for n in range(2, 6)}


def _resolutions(manifest: Manifest) -> dict[str, int | None]:
    """For each head the side of the pooled features that it takes."""
    side: dict[str, int | None] = {}
    for name in THREE_GRAPHS[1:]:
        shapes = [t.shape for t in getattr(manifest.graphs.get(name), "inputs", ()) if t.name == "pooled"]
        side[name] = shapes[0][-1] if shapes and shapes[0] and shapes[0][-1] > 0 else None
    return side


def _check_three(manifest: Manifest, features: _Expected) -> None:
    height, width = manifest.preprocess.size
    rows, classes = manifest.proposals, len(manifest.classes)
    channels, side = features["p2"][1][1], _resolutions(manifest)
    rois: _Expected = {"rois": ("float32", (rows, 4))}
    pooled = ("float32", (rows, channels, side["box_head"], side["box_head"]))
    found: _Expected = {"boxes": ("float32", (rows, classes, 4)), "scores": ("float32", (rows, classes + 1))}
    chosen: _Expected = {
        "pooled": ("float32", (-1, channels, side["mask_head"], side["mask_head"])),
        "channel": ("int32", (-1,)),
    }
    _check_tensors(manifest, "trunk", "inputs", {"image": ("float32", (1, 3, height, width))})
    _check_tensors(manifest, "trunk", "outputs", {**rois, **features})
    _check_tensors(manifest, "box_head", "inputs", {"pooled": pooled, **rois})
    _check_tensors(manifest, "box_head", "outputs", found)
    _check_tensors(manifest, "mask_head", "inputs", chosen)
    _check_tensors(manifest, "mask_head", "outputs", {"masks": ("float32", (-1, None, None))})


def _check_convolutions(manifest: Manifest, features: _Expected) -> None:
    height, width = manifest.preprocess.size
    classes, anchors = len(manifest.classes), len(RATIOS)
    channels, side = features["p2"][1][1], _resolutions(manifest)
    pooled = {name: ("float32", (-1, channels, side[name], side[name])) for name in side}
    expected: dict[str, tuple[_Expected, _Expected]] = {
        "trunk": (
            {"image": ("float32", (1, 3, height, width))},
            {**features, "p6": ("float32", (1, channels, *_coarsest(manifest)))},
        ),
        "rpn": (
            {"map": ("float32", (1, channels, -1, -1))},
            {"logits": ("float32", (1, anchors, -1, -1)), "deltas": ("float32", (1, 4 * anchors, -1, -1))},
        ),
        "box_head": (
            {"pooled": pooled["box_head"]},
            {"logits": ("float32", (-1, classes + 1)), "deltas": ("float32", (-1, 4 * classes))},
        ),
        "mask_head": ({"pooled": pooled["mask_head"]}, {"logits": ("float32", (-1, classes, None, None))}),
    }
    for graph, (inputs, outputs) in expected.items():
        _check_tensors(manifest, graph, "inputs", inputs)
        _check_tensors(manifest, graph, "outputs", outputs)
    if manifest.rpn is None:
        raise _without(manifest, "rpn")


def _coarsest(manifest: Manifest) -> tuple[int, int]:
    """P6's sides: half of P5's, rounded up or down as the model's neck does it."""
    halves = [side // 32 / 2 for side in manifest.preprocess.size]
    down, up = ((max(1, rounded(halves[0])), max(1, rounded(halves[1]))) for rounded in (math.floor, math.ceil))
    found = [t.shape[2:] for t in manifest.graphs["trunk"].outputs if t.name == "p6"]
    return up if up in found else down


def _without(manifest: Manifest, key: str) -> BundleError:
    return BundleError(
        f"the bundle {manifest.name!r} holds the graphs {', '.join(manifest.graphs)}, but its manifest has no {key}",
        remedy="the manifest is damaged: copy the bundle again or convert anew",
        code="manifest-invalid",
    )


def _check_tensors(
    manifest: Manifest, graph: str, side: str, expected: Mapping[str, tuple[str, tuple[int | None, ...]]]
) -> None:
    spec = manifest.graphs.get(graph)
    found = {t.name: (t.dtype, t.shape) for t in getattr(spec, side)} if spec else {}
    for name, (dtype, shape) in expected.items():
        fits = name in found and found[name][0] == dtype and _fits(found[name][1], shape)
        if not fits or len(found) != len(expected):
            raise BundleError(
                f"the bundle {manifest.name!r}: the {side} of the graph {graph!r} are {_listed(found)}; expected"
                f" {_listed(expected)}",
                remedy="the manifest is damaged or of another kind of model: copy the bundle again or convert anew",
                code="manifest-invalid",
            )


def _fits(found: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(found) == len(expected) and all(e in (None, f) for f, e in zip(found, expected, strict=True))


def _listed(tensors: Mapping[str, tuple[str, tuple[int | None, ...]]]) -> str:
    shapes = {name: ", ".join("?" if side is None else str(side) for side in s) for name, (_, s) in tensors.items()}
    return ", ".join(f"{name} {dtype}[{shapes[name]}]" for name, (dtype, _) in tensors.items()) or "missing"


def file_of(bundle: Bundle, graph: str, suffix: str) -> Path:
    """The graph's file that ends with ``suffix``; BundleError when the manifest names none."""
    for name in bundle.manifest.graphs[graph].files:
        if name.endswith(suffix):
            return bundle.path / name
    raise BundleError(
        f"{bundle.path}: the graph {graph!r} has no {suffix} file",
        remedy="the manifest is damaged: copy the bundle again or convert anew",
        code="manifest-invalid",
    )


def check_names(file: Path, spec: GraphSpec, inputs: list[str], outputs: int) -> None:
    """Raises BundleError when a loaded file hasn't the inputs (by name, in order) and outputs of the manifest."""
    expected = [tensor.name for tensor in spec.inputs]
    if inputs != expected or outputs != len(spec.outputs):
        raise BundleError(
            f"{file}: the graph has the inputs {', '.join(inputs)} and {counted(outputs, 'output')}; the manifest says"
            f" {', '.join(expected)} and {len(spec.outputs)}",
            remedy="the manifest is another model's: copy the bundle again or convert anew",
            code="manifest-invalid",
        )


@contextlib.contextmanager
def words_of(doing: str) -> Iterator[None]:
    """Turns whatever a library raises into an EngineError that says what was being done."""
    try:
        yield
    except (EdgeSegError, OSError, MemoryError, ModuleNotFoundError):
        raise
    except Exception as problem:  # paddle raises every kind
        said = next((line.strip() for line in str(problem).splitlines() if line.strip(" -")), type(problem).__name__)
        raise EngineError(
            f"{doing} failed: {said}", remedy="copy the bundle again or convert anew", code="engine-failed"
        ) from problem


@contextlib.contextmanager
def loading(engine: str, files: str | Path) -> Iterator[None]:
    """Names a graph's files in whatever ends the loading of them: an error of the library, or the process's death."""
    phase(f"loading {files}")
    with words_of(f"{engine}: loading {files}"):
        yield


class Checked:
    """An engine whose inputs and outputs are checked against the manifest's graphs at every run.

    A graph's first run may take ``room`` bytes (:func:`edge_seg.runtime.memory.bounded`).
    """

    def __init__(self, engine: Engine, graphs: dict[str, GraphSpec], room: int | None = None) -> None:
        self._room = room
        self.name: str = engine.name
        self._engine = engine
        self._graphs = graphs
        self._ran: set[str] = set()

    def run(self, graph: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        spec = self._graphs.get(graph)
        if spec is None:
            raise BundleError(
                f"the bundle has no graph {graph!r}, only {', '.join(self._graphs)}", code="graph-missing"
            )
        check_inputs(graph, spec, inputs)
        first = graph not in self._ran
        if first:
            phase(f"running the graph {graph} for the first time")
        with words_of(f"{self.name}: running the graph {graph}"), bounded(self._room if first else None):
            outputs = self._engine.run(graph, inputs)
        if first:
            self._ran.add(graph)
            phase("running the model")  # noted once only: a note costs a system call
        check_outputs(f"{self.name}: {graph}", spec, outputs)
        return outputs

    def describe(self) -> dict[str, Any]:
        return self._engine.describe()

    def close(self) -> None:
        self._engine.close()


def check_inputs(graph: str, spec: GraphSpec, inputs: dict[str, NDArray[Any]]) -> None:
    """Raises EngineError unless every input is there, of the right dtype and shape, not empty, and boxes are finite."""
    expected = {tensor.name for tensor in spec.inputs}
    if inputs.keys() != expected:
        found = ", ".join(sorted(inputs))
        raise EngineError(f"{graph}: inputs {found}, expected {', '.join(sorted(expected))}", code="engine-input")
    for tensor in spec.inputs:
        value = inputs[tensor.name]
        _check_tensor(f"{graph}: input", tensor, value, "engine-input")
        if value.size == 0:
            raise EngineError(f"{graph}: input {tensor.name} is empty", code="engine-input")
    boxes = inputs.get("boxes")
    if boxes is not None:
        if not np.isfinite(boxes).all():
            raise EngineError(f"{graph}: a box holds a value that is not finite", code="engine-input")
        if "num" in inputs and int(inputs["num"][0]) != len(boxes):
            raise EngineError(
                f"{graph}: num is {inputs['num'][0]} for {counted(len(boxes), 'box')}", code="engine-input"
            )


def check_outputs(where: str, spec: GraphSpec, outputs: dict[str, NDArray[Any]]) -> None:
    """Raises EngineError unless every output has its dtype and shape, and boxes, scores and masks are finite.

    Feature maps aren't looked through (they are large): what is wrong in them shows in the masks.
    """
    for tensor in spec.outputs:
        value = outputs[tensor.name]
        _check_tensor(f"{where}: output", tensor, value, "engine-output")
        if tensor.name in _DECIDING and not np.isfinite(value).all():
            raise EngineError(
                f"{where}: output {tensor.name} holds {int((~np.isfinite(value)).sum())} of {value.size} values that"
                " are not finite",
                remedy="the converted model doesn't compute on this machine; convert it again or with another recipe",
                code="engine-output",
            )


def _check_tensor(where: str, spec: TensorSpec, value: NDArray[Any], code: str) -> None:
    fits = len(value.shape) == len(spec.shape) and all(
        wanted in (-1, found) for wanted, found in zip(spec.shape, value.shape, strict=True)
    )
    if not fits or value.dtype != np.dtype(spec.dtype):
        raise EngineError(
            f"{where} {spec.name} is {value.dtype}{list(value.shape)}, expected {spec.dtype}{list(spec.shape)}",
            code=code,
        )
