"""ONNX Runtime: graphs in ONNX on CPUs, x86 and Arm, and on GPUs through CUDA or TensorRT.

Convolutions and normalisations are fused when a session is made, for the machine at hand; the files hold them as they
were exported, so that one bundle serves all machines.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.bundle import Bundle
from edge_seg.cache import cache_folder
from edge_seg.errors import BundleError, MissingDependencyError
from edge_seg.install import pip, pip_install
from edge_seg.manifest import FEATURES, GraphSpec, Manifest
from edge_seg.runtime.engines.checks import check_names, file_of, loading
from edge_seg.runtime.engines.device_tensor import DeviceTensor
from edge_seg.runtime.engines.gpu import gpu_state

NAME = "onnxruntime"

_CPU = "CPUExecutionProvider"
# Words of a manifest → the library's name and settings. fp32 means fp32: TF32 has 10 bits of mantissa.
_PROVIDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0"}),
    "tensorrt": ("TensorrtExecutionProvider", {}),
}
_FATAL = 4  # everything less comes as an exception as well


def version() -> str:
    """ONNX Runtime's version, such as ``1.23.2``."""
    return str(_library().__version__)


def load(bundle: Bundle, threads: int) -> OnnxRuntimeEngine:
    """One session a graph, on ``threads`` threads (0: as many as this process has cores)."""
    library = _library()
    if bundle.manifest.target == "gpu" and hasattr(library, "preload_dlls"):
        library.preload_dlls()  # CUDA and cuDNN of pip's wheels, which the loader doesn't find by itself
    providers = _providers(bundle.manifest, library.get_available_providers())
    threads = threads or len(os.sched_getaffinity(0))
    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _FATAL
    sessions = {}
    for name, graph in bundle.manifest.graphs.items():
        file = file_of(bundle, name, ".onnx")
        with loading(NAME, file):
            try:
                # Its fallback prints on stdout, and runs on a CPU what failed on a GPU.
                session = library.InferenceSession(str(file), options, providers=[*providers, _CPU], enable_fallback=0)
            except RuntimeError as problem:
                if not providers:
                    raise
                raise _no_gpu(bundle.manifest, f"can't use {providers[0][0]}: {problem}") from None
        # A provider whose libraries it can't load it leaves out without a word.
        if session.get_providers()[: len(providers)] != [provider for provider, _ in providers]:
            raise _no_gpu(bundle.manifest, f"can't load the libraries that {providers[0][0]} needs")
        check_names(file, graph, [tensor.name for tensor in session.get_inputs()], len(session.get_outputs()))
        sessions[name] = (session, graph)
    settings = {"threads": threads, "providers": session.get_providers()}
    if not providers:
        return OnnxRuntimeEngine(sessions, settings)
    return OnnxRuntimeEngine(sessions, {**settings, "gpu": gpu_state()}, device="cuda")


def _library() -> Any:
    try:
        import onnxruntime
    except ImportError as problem:
        raise MissingDependencyError(
            f"this bundle needs the Python library onnxruntime, which can't be imported: {problem}",
            remedy=f"install it with: {pip_install('onnx')} (for a bundle for GPUs: {pip()} install onnxruntime-gpu)",
        ) from None
    return onnxruntime


def _providers(manifest: Manifest, available: list[str]) -> list[tuple[str, dict[str, Any]]]:
    if manifest.target != "gpu":
        return []
    asked = str(manifest.optimizer.get("providers", "cuda")).split(",")
    if unknown := [name for name in asked if name not in _PROVIDERS]:
        raise BundleError(
            f"the bundle {manifest.name!r} asks for the unknown provider {unknown[0]!r}",
            remedy=f"providers are {', '.join(_PROVIDERS)}: use the version of edge-seg that made the bundle",
            code="manifest-invalid",
        )
    providers = [(_PROVIDERS[name][0], {**_PROVIDERS[name][1], **_cache(name)}) for name in asked]
    for provider, _ in providers:
        if provider not in available:
            raise _no_gpu(manifest, f"was built without {provider}")
    return providers


def _cache(provider: str) -> dict[str, Any]:
    """TensorRT builds an engine for minutes; kept, the next process loads it in seconds."""
    if provider != "tensorrt":
        return {}
    folder = cache_folder() / "tensorrt"
    folder.mkdir(parents=True, exist_ok=True)
    return {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}


def _no_gpu(manifest: Manifest, reason: str) -> BundleError:
    return BundleError(
        f"the bundle {manifest.name!r} is for a GPU, but the installed onnxruntime {reason}",
        remedy="install onnxruntime-gpu and the CUDA libraries of its release, or convert with the recipe onnx-fp32",
        code="target-mismatch",
    )


class OnnxRuntimeEngine:
    """See the module. On a ``device`` ("cuda"), feature maps stay where they are between the graphs."""

    name = NAME

    def __init__(
        self, sessions: dict[str, tuple[Any, GraphSpec]], settings: dict[str, Any], device: str | None = None
    ) -> None:
        self._sessions = sessions
        self._settings = settings
        self._device = device

    def run(self, graph: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        session, spec = self._sessions[graph]
        if self._device is not None:
            return self._run_bound(session, spec, inputs)
        names = [tensor.name for tensor in spec.outputs]
        feeds = {tensor.name: np.ascontiguousarray(inputs[tensor.name]) for tensor in spec.inputs}
        return dict(zip(names, session.run(names, feeds), strict=True))

    def _run_bound(self, session: Any, spec: GraphSpec, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The same with bound inputs and outputs; ends when the device has computed all."""
        binding = session.io_binding()
        for tensor in spec.inputs:
            value: Any = inputs[tensor.name]
            if isinstance(value, DeviceTensor):
                binding.bind_ortvalue_input(tensor.name, value.value)
            else:
                binding.bind_cpu_input(tensor.name, np.ascontiguousarray(value))
        for tensor in spec.outputs:
            binding.bind_output(tensor.name, self._device if tensor.name in FEATURES else "cpu")
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        outputs: dict[str, Any] = {}
        for tensor, value in zip(spec.outputs, binding.get_outputs(), strict=True):
            stays = tensor.name in FEATURES
            outputs[tensor.name] = DeviceTensor(value, tensor.dtype) if stays else value.numpy()
        return outputs

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "version": version(), **self._settings}

    def close(self) -> None:
        self._sessions.clear()
