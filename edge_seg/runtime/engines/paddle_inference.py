"""Paddle Inference: oneDNN on CPUs, CUDA on GPUs.

The mask graph sees a new shape with every number of objects. oneDNN's cache of kernels by shape needs no setting for
that: memory comes to rest once all numbers have been seen.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.bundle import Bundle
from edge_seg.errors import BundleError
from edge_seg.manifest import GraphSpec
from edge_seg.runtime.engines.checks import check_names, file_of, loading

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
            config.set_cpu_math_library_num_threads(threads)
        config.switch_ir_optim(True)
        config.enable_memory_optim()
        config.disable_glog_info()
        quiet = unheard() if bundle.manifest.precision == "int8" else nullcontext()
        with quiet, loading(NAME, f"{program} with {weights.name}"):
            predictor = paddle.inference.create_predictor(config)
        check_names(program, graph, predictor.get_input_names(), len(predictor.get_output_names()))
        predictors[name] = (predictor, graph)
    return PaddleInferenceEngine(predictors, {"threads": threads, "device": "gpu" if gpu else "cpu, oneDNN"})


@contextmanager
def unheard() -> Iterator[None]:
    """Keeps back what native code says on stderr, unless it fails: paddle's int8 passes say thirty lines a graph."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            said.seek(0)
            os.write(kept, said.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


class PaddleInferenceEngine:
    """See the module."""

    name = NAME

    def __init__(self, predictors: dict[str, tuple[Any, GraphSpec]], settings: dict[str, Any]) -> None:
        self._predictors = predictors
        self._settings = settings

    def run(self, graph: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        predictor, spec = self._predictors[graph]
        for tensor in spec.inputs:
            predictor.get_input_handle(tensor.name).copy_from_cpu(np.ascontiguousarray(inputs[tensor.name]))
        predictor.run()
        # Outputs have names of paddle's own making; their order is the manifest's.
        names = predictor.get_output_names()
        return {t.name: predictor.get_output_handle(n).copy_to_cpu() for t, n in zip(spec.outputs, names, strict=True)}

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "version": version(), **self._settings}

    def close(self) -> None:
        self._predictors.clear()
