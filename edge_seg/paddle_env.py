"""The one place that imports paddle: ``from edge_seg.paddle_env import paddle``.

paddlepaddle 2.6.2 exports an ``inflate`` of its own: when zlib is first used after paddle was imported, it fails
(importing pycocotools raises ``zlib.error -2``). Using it once before is the cure.
"""

from __future__ import annotations

import contextlib
import os
import warnings
import zlib
from pathlib import Path

from edge_seg.errors import MissingDependencyError

zlib.decompress(zlib.compress(b""))
os.environ.setdefault("GLOG_minloglevel", "2")  # paddle's C++ side greets on stderr otherwise

# MKL, as paddle brings it, takes its slowest kernels on a CPU that isn't Intel's unless this undocumented variable asks
# for those with AVX2. It is read at the first computation: set here, every process of a machine computes alike.
with contextlib.suppress(OSError):
    _cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    if "AuthenticAMD" in _cpu and " avx2 " in _cpu:
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")

try:
    import paddle
    from paddle import nn
except ImportError as problem:
    raise MissingDependencyError(
        f"this command needs PaddlePaddle, which can't be imported: {problem}",
        remedy="install it with: pip install 'edge-seg[train]' (Python 3.10)",
    ) from None

# It prints a stack of its own to stdout for every signal, in between results; edge_seg.guard has a word for each.
paddle.disable_signal_handler()

# paddle says so at every batch normalisation of every training.
warnings.filterwarnings("ignore", message="When training, we now always track global mean and variance")

__all__ = ["nn", "paddle"]
