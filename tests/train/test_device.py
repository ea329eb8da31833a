"""How many threads a training computes with: the user's wish, or all cores."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
from edge_seg.train import device
from edge_seg.paddle_env import paddle
asked = []
paddle.base.core.set_num_threads = asked.append
device.use("cpu", {threads})
print(asked)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the CPU is tuned on Linux only")
@pytest.mark.parametrize(
    ("wish", "threads", "found"), [("", 0, "all"), ("1", 0, "[]"), ("1", 3, "[3]"), ("", 2, "[2]")]
)
def test_all_cores_are_used_unless_the_user_says_otherwise(wish: str, threads: int, found: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    environment |= {"OMP_NUM_THREADS": wish} if wish else {}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(threads=threads)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == (f"[{len(os.sched_getaffinity(0))}]" if found == "all" else found)
