"""Where training computes: a GPU where paddle has one, else the CPU, tuned."""

from __future__ import annotations

import ctypes
import os
import sys

from edge_seg.errors import UsageError
from edge_seg.paddle_env import THREADS_OF_USER, paddle

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h


def use(device: str, threads: int = 0, processes: int = 1) -> str:
    """Makes ``device`` the one that paddle computes on: "cpu", "gpu", or "auto" for a GPU where paddle can use one.

    Returns which it is. Call it before the first computation.

    ``threads`` are the CPU's; 0 takes the user's ``OMP_NUM_THREADS``, or one for each core that this process may use,
    shared with the ``processes`` of this machine that train together.

    Raises :class:`UsageError` when there is no GPU that this paddle can use.
    """
    if device == "auto":
        device = "gpu" if _has_gpu() else "cpu"
    if device == "gpu":
        if not paddle.device.is_compiled_with_cuda():
            raise UsageError(
                f"this PaddlePaddle ({paddle.__version__}) is built without GPU support",
                remedy="install paddlepaddle-gpu instead of paddlepaddle, or use --device cpu",
                code="no-gpu",
            )
        if paddle.device.cuda.device_count() == 0:
            raise UsageError(
                "PaddlePaddle sees no GPU",
                remedy="check that `nvidia-smi` lists one and CUDA_VISIBLE_DEVICES isn't empty, or use --device cpu",
                code="no-gpu",
            )
    elif sys.platform == "linux":
        _tune_cpu(threads, processes)
    paddle.set_device(device)
    return device


def _has_gpu() -> bool:
    return bool(paddle.device.is_compiled_with_cuda()) and paddle.device.cuda.device_count() > 0


def _tune_cpu(threads: int, processes: int) -> None:
    """Threads and memory.

    paddle computes on one thread unless told otherwise. glibc gives large blocks back to the system at each free, so
    every intermediate result is paid for with page faults.
    """
    if threads or not THREADS_OF_USER:
        paddle.base.core.set_num_threads(threads or max(1, len(os.sched_getaffinity(0)) // processes))
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # not in musl
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_M_TOP_PAD, 64 << 20)
