"""Paddle Inference: oneDNN on CPUs, CUDA on GPUs.

On a GPU the feature maps stay there from `detect` to `mask`: they are copied within its memory.

The mask graph sees a new shape with every number of objects. oneDNN's cache of kernels by shape needs no setting for
that: memory comes to rest once all numbers have been seen.
"""

from __future__ import annotations

import os
import weakref
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.bundle import Bundle
from edge_seg.errors import BundleError
from edge_seg.manifest import FEATURES, GraphSpec
from edge_seg.runtime.cpu import describe_cpu
from edge_seg.runtime.engines.checks import check_names, file_of, loading
from edge_seg.runtime.engines.device_tensor import DeviceTensor
from edge_seg.runtime.engines.gpu import gpu_state
from edge_seg.runtime.engines.quiet import unheard

NAME = "paddle-inference"
_GPU_MEMORY_MB = 512  # to begin with; the pool grows


def version() -> str:
    """Paddle's version, such as ``2.6.2``."""
    from edge_seg.paddle_env import paddle

    return str(paddle.__version__)


def load(bundle: Bundle, threads: int) -> PaddleInferenceEngine:
    """One predictor a graph, on ``threads`` threads (0: as many as this process has cores)."""
    from edge_seg.paddle_env import paddle

    gpu = bundle.manifest.target == "gpu"
    if gpu and not paddle.is_compiled_with_cuda():
        raise BundleError(
            f"the bundle {bundle.manifest.name!r} is for a GPU, but the installed paddle was built without CUDA",
            remedy="install paddlepaddle-gpu, or convert with the recipe cpu-fp32",
            code="target-mismatch",
        )
    if bundle.manifest.precision == "bf16":
        _require_bf16(bundle.manifest.name)
    threads = threads or len(os.sched_getaffinity(0))
    precisions = {"fp16": paddle.inference.PrecisionType.Half, "fp32": paddle.inference.PrecisionType.Float32}
    predictors = {}
    for name, graph in bundle.manifest.graphs.items():
        program, weights = file_of(bundle, name, ".pdmodel"), file_of(bundle, name, ".pdiparams")
        config = paddle.inference.Config(str(program), str(weights))
        if gpu:
            config.enable_use_gpu(_GPU_MEMORY_MB, 0, precisions[bundle.manifest.precision])
        else:
            config.disable_gpu()
            config.enable_mkldnn()
            if bundle.manifest.precision == "int8":
                # A convolution has the other name once an activation or a sum has been fused into it.
                config.enable_mkldnn_int8({"conv2d", "fused_conv2d"})
            elif bundle.manifest.precision == "bf16":
                config.enable_mkldnn_bfloat16()
            config.set_cpu_math_library_num_threads(threads)
        config.switch_ir_optim(True)
        config.enable_memory_optim()
        config.disable_glog_info()
        quiet = unheard() if bundle.manifest.precision in ("int8", "bf16") else nullcontext()
        with quiet, loading(NAME, f"{program} with {weights.name}"):
            predictor = paddle.inference.create_predictor(config)
        check_names(program, graph, predictor.get_input_names(), len(predictor.get_output_names()))
        predictors[name] = (predictor, graph)
    settings = {"threads": threads, "device": "gpu" if gpu else "cpu, oneDNN", **({"gpu": gpu_state()} if gpu else {})}
    return PaddleInferenceEngine(predictors, settings, features_stay=gpu)


BF16_FLAGS = ("amx_bf16", "avx512_bf16")
"""Of /proc/cpuinfo. Without either, oneDNN computes in fp32 and paddle only rounds."""


def _require_bf16(name: str) -> None:
    flags = describe_cpu()["flags"]
    if not any(flag in flags for flag in BF16_FLAGS):
        raise BundleError(
            f"the bundle {name!r} computes in bf16, and this CPU has neither AMX nor AVX-512 for it"
            f" ({' or '.join(BF16_FLAGS)} in /proc/cpuinfo)",
            remedy="convert with the recipe cpu-fp32, or cpu-int8",
            code="target-mismatch",
        )


class _Output:
    """A predictor's output in its own memory, which the predictor's next run overwrites."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    def shape(self) -> list[int]:
        """Of its last run."""
        return list(self.handle.shape())

    def numpy(self) -> NDArray[Any]:
        """A copy of its values."""
        array: NDArray[Any] = self.handle.copy_to_cpu()
        return array


class PaddleInferenceEngine:
    """See the module. With ``features_stay``, feature maps remain in the predictor's memory between the graphs."""

    name = NAME

    def __init__(
        self, predictors: dict[str, tuple[Any, GraphSpec]], settings: dict[str, Any], features_stay: bool = False
    ) -> None:
        self._predictors = predictors
        self._settings = settings
        self._features_stay = features_stay
        self._left: dict[str, list[weakref.ref[DeviceTensor]]] = {}

    def run(self, graph: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        predictor, spec = self._predictors[graph]
        for reference in self._left.pop(graph, []):
            if (kept := reference()) is not None:
                np.asarray(kept)  # somebody still holds it: its values must outlive this run
        for tensor in spec.inputs:
            _hand_over(predictor.get_input_handle(tensor.name), inputs[tensor.name])
        predictor.run()
        outputs: dict[str, Any] = {}
        # Outputs have names of paddle's own making; their order is the manifest's.
        for tensor, name in zip(spec.outputs, predictor.get_output_names(), strict=True):
            handle = predictor.get_output_handle(name)
            if self._features_stay and tensor.name in FEATURES:
                outputs[tensor.name] = DeviceTensor(_Output(handle), tensor.dtype)
                self._left.setdefault(graph, []).append(weakref.ref(outputs[tensor.name]))
            else:
                outputs[tensor.name] = handle.copy_to_cpu()  # waits for all that the device computes
        return outputs

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "version": version(), **self._settings}

    def close(self) -> None:
        self._predictors.clear()


def _hand_over(handle: Any, value: Any) -> None:
    """An input from the host's memory, or from another predictor's without a way through the host."""
    if isinstance(value, DeviceTensor) and isinstance(value.value, _Output) and not value.is_copied:
        _copy_within(handle, value.value.handle)
    else:
        handle.copy_from_cpu(np.ascontiguousarray(value))


def _copy_within(handle: Any, source: Any) -> None:
    from paddle.inference.contrib.utils import copy_tensor

    copy_tensor(handle, source)
