"""The one place that imports paddle: ``from edge_seg.paddle_env import paddle``.

paddlepaddle 2.6.2 exports an ``inflate`` of its own: when zlib is first used after paddle was imported, it fails
(importing pycocotools raises ``zlib.error -2``). Using it once before is the cure.
"""

from __future__ import annotations

import os
import warnings
import zlib

from edge_seg import mkl
from edge_seg.errors import MissingDependencyError
from edge_seg.install import pip_install
from edge_seg.process.guard import kept_handlers

zlib.decompress(zlib.compress(b""))
os.environ.setdefault("GLOG_minloglevel", "2")  # paddle's C++ side greets on stderr otherwise
os.environ.pop("FLAGS_use_mkldnn", None)  # turns oneDNN on in all graphs, also those that it can't run
mkl.settle()

# Importing paddle sets it to 1, and afterwards nobody can tell whether the user did.
THREADS_OF_USER = os.environ.get("OMP_NUM_THREADS", "")
"""What the user's OMP_NUM_THREADS was, "" if there was none."""

# paddle 3 says so when it is imported; nothing is compiled here.
warnings.filterwarnings("ignore", message="No ccache found")

try:
    with kept_handlers():  # paddle would end the process at SIGTERM, without a checkpoint
        import paddle
        from paddle import nn

        # It prints a stack of its own to stdout for every signal; edge_seg.process.guard reports signals itself.
        paddle.disable_signal_handler()
except ImportError as problem:
    raise MissingDependencyError(
        f"this command needs PaddlePaddle, which can't be imported: {problem}",
        remedy=f"install it with: {pip_install('train')} (Python 3.10 to 3.13)",
    ) from None

# paddle says so at every batch normalisation of every training.
warnings.filterwarnings("ignore", message="When training, we now always track global mean and variance")
# paddle 3.2 says so of its own split and max, whose arguments torch has in another order.
warnings.filterwarnings("ignore", message=r"\s*Non compatible API")

__all__ = ["THREADS_OF_USER", "nn", "paddle"]
