"""Exports the samples: ``python -m tests.convert.doctor.export FOLDER [NAME …]``.

Beside each model goes an ``.npz`` of inputs and of what paddle makes of them before it is exported.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edge_seg.paddle_env import paddle
from tests.convert.doctor import samples, samples_more  # noqa: F401 - they enter their samples
from tests.convert.doctor.sample import SAMPLES, export

if __name__ == "__main__":
    paddle.enable_static()
    for name in sys.argv[2:] or SAMPLES:
        export(name, Path(sys.argv[1]))
