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

zlib.decompress(zlib.compress(b""))
os.environ.setdefault("GLOG_minloglevel", "2")  # paddle's C++ side greets on stderr otherwise
os.environ.pop("FLAGS_use_mkldnn", None)  # turns oneDNN on in all graphs, also those that it can't run
mkl.settle()

try:
    import paddle
    from paddle import nn
except ImportError as problem:
    raise MissingDependencyError(
        f"this command needs PaddlePaddle, which can't be imported: {problem}",
        remedy=f"install it with: {pip_install('train')} (Python 3.10 to 3.12)",
    ) from None

# It prints a stack of its own to stdout for every signal; edge_seg.process.guard reports signals itself.
paddle.disable_signal_handler()

# paddle says so at every batch normalisation of every training.
warnings.filterwarnings("ignore", message="When training, we now always track global mean and variance")

__all__ = ["nn", "paddle"]
