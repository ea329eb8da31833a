"""ncnn: convolutions on CPUs, Arm above all, from wheels for x86-64 and aarch64.

It has no batches. A graph whose outputs are matrices gets its items as the rows of one matrix; any other is run for
each item. Wrong shapes, dtypes and layouts give wrong values and no error, so what is handed over is made exactly as
it must be, and every return code is read.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.bundle import Bundle
from edge_seg.errors import EngineError, MissingDependencyError
from edge_seg.install import pip, pip_install
from edge_seg.manifest import GraphSpec
from edge_seg.runtime.engines.checks import check_names, file_of, loading
from edge_seg.runtime.engines.ncnn_files import check_weights, read_layers
from edge_seg.runtime.engines.quiet import unheard

NAME = "ncnn"


def version() -> str:
    """The wheel's version, such as ``1.0.20261020``."""
    try:
        return importlib.metadata.version("ncnn")
    except importlib.metadata.PackageNotFoundError:
        raise MissingDependencyError(
            "this bundle needs the Python library ncnn, which is not installed",
            remedy=f"{pip_install('ncnn')} (wheels are for x86-64 and aarch64; this is {platform.machine()},"
            f" Python {platform.python_version()})",
        ) from None


def load(bundle: Bundle, threads: int) -> NcnnEngine:
    """One net a graph, on ``threads`` threads (0: as many as this process has cores).

    The graphs that the manifest's ``optimizer.fp16`` names are computed in fp16 where the CPU can, else in fp32.
    """
    return load_on(bundle, threads, gpu=False)


def load_on(bundle: Bundle, threads: int, *, gpu: bool) -> NcnnEngine:
    """The same, or on the first GPU that has a Vulkan driver. Raises EngineError where there is none."""
    threads = threads or len(os.sched_getaffinity(0))
    wanted = bundle.manifest.optimizer.get("fp16", [])
    settings: dict[str, Any] = {"threads": threads}
    fp16 = gpu or computes_fp16()  # a GPU without fp16 computes in fp32, without a word
    if gpu:
        settings["gpu"] = find_gpu()
    nets = {}
    for name, graph in bundle.manifest.graphs.items():
        param, weights = file_of(bundle, name, ".param"), file_of(bundle, name, ".bin")
        nets[name] = open_net(param, weights, graph, threads=threads, fp16=fp16 and name in wanted, gpu=gpu)
    settings["fp16"] = sorted(wanted) if fp16 else []
    return NcnnEngine(f"{NAME}-vulkan" if gpu else NAME, nets, settings)


def computes_fp16() -> bool:
    """Whether ncnn would compute in fp16 on this CPU: only Arm's do, from v8.2 on."""
    return bool(_library().cpu_support_arm_asimdhp())


def find_gpu() -> str:
    """The name of the first GPU with a Vulkan driver. EngineError without one."""
    library = _library()
    with unheard():  # it describes each GPU on stderr
        count = library.get_gpu_count()
    if count == 0:
        raise EngineError(
            f"{NAME}: no GPU with a Vulkan driver is there",
            remedy="install the GPU's driver (`vulkaninfo --summary` lists what it offers), or leave --engine out",
            code="no-gpu",
        )
    return str(library.get_gpu_info(0).device_name())


def _library() -> Any:
    try:
        import ncnn
    except ImportError as problem:
        raise MissingDependencyError(
            f"this bundle needs the Python library ncnn, which can't be imported: {problem}",
            remedy=f"install it again with: {pip()} install --force-reinstall ncnn",
        ) from None
    return ncnn


@dataclass(frozen=True)
class Net:
    """A loaded graph: ``rows`` says that its items are the rows of one matrix."""

    net: Any
    spec: GraphSpec
    rows: bool


def open_net(param: Path, weights: Path, spec: GraphSpec, *, threads: int, fp16: bool, gpu: bool = False) -> Net:
    """Checks and loads a graph with one input. Raises BundleError or EngineError when it can't be."""
    layers = read_layers(param)
    check_weights(layers, weights)
    with loading(NAME, f"{param} with {weights.name}"):
        net = _library().Net()
        # Before loading, which is when weights are transformed. Some are on by default.
        options = net.opt
        options.num_threads = threads
        options.use_vulkan_compute = gpu
        options.use_bf16_storage = options.use_bf16_packed = False
        # All or none: fp16 in memory with fp32 arithmetic takes ten times as long.
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = fp16
        for step, code in ((net.load_param, str(param)), (net.load_model, str(weights))):
            if (returned := step(code)) != 0:
                raise EngineError(
                    f"{NAME}: loading {code} failed with code {returned}",
                    remedy="copy the bundle again or convert anew",
                    code="engine-failed",
                )
    given = {name for layer in layers for name in layer.outputs} - {name for layer in layers for name in layer.inputs}
    check_names(param, spec, list(net.input_names()), len(given))
    if missing := [tensor.name for tensor in spec.outputs if tensor.name not in given]:
        raise EngineError(
            f"{param}: the graph gives {', '.join(sorted(given))}, not {missing[0]}", code="engine-failed"
        )
    return Net(net, spec, rows=all(len(tensor.shape) == 2 for tensor in spec.outputs))


def run_net(loaded: Net, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The outputs by name, arrays of their own, float32; ``inputs`` are float32[N, …]."""
    (tensor,) = loaded.spec.inputs
    items = np.ascontiguousarray(inputs[tensor.name], np.float32)
    if loaded.rows:
        return _run(loaded, tensor.name, items.reshape(len(items), -1))
    outputs: dict[str, NDArray[Any]] = {}
    for index, item in enumerate(items):
        for name, value in _run(loaded, tensor.name, item).items():
            if index == 0:
                outputs[name] = np.empty((len(items), *value.shape), np.float32)
            outputs[name][index] = value
    return outputs


def _run(loaded: Net, name: str, item: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    library = _library()
    extractor = loaded.net.create_extractor()
    mat = library.Mat(item)  # borrows the array, which outlives the extractor: it is the caller's
    if item.ndim == 3:
        mat = mat.clone()  # whose channels begin where ncnn's own would
    _require(extractor.input(name, mat), f"taking {name}")
    outputs = {}
    for tensor in loaded.spec.outputs:
        code, found = extractor.extract(tensor.name)
        _require(code, f"giving {tensor.name}")
        if found.elempack != 1 or found.elemsize != 4 or found.dims != item.ndim:
            raise EngineError(
                f"{NAME}: {tensor.name} has {found.dims} dimensions, {found.elemsize} bytes a value",
                code="engine-output",
            )
        outputs[tensor.name] = np.array(found, np.float32)  # a copy
    return outputs


def _require(code: int, doing: str) -> None:
    if code != 0:
        raise EngineError(
            f"{NAME}: {doing} failed with code {code}",
            remedy="is there enough memory? Else copy the bundle again or convert anew",
            code="engine-failed",
        )


class NcnnEngine:
    """See the module."""

    def __init__(self, name: str, nets: dict[str, Net], settings: dict[str, Any]) -> None:
        self.name = name
        self._nets = nets
        self._settings = settings

    def run(self, graph: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return run_net(self._nets[graph], inputs)

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "version": version(), **self._settings}

    def close(self) -> None:
        for loaded in self._nets.values():
            loaded.net.clear()
        self._nets.clear()
