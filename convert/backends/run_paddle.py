"""Runs one graph by paddle on arrays from files, as :mod:`convert.backends.run_graph` does by Paddle Lite.

A module of its own, because a process never loads both libraries.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.backends.run_graph import Run, serve


def _paddle(graph: Path) -> Run:
    from edge_seg.paddle_env import paddle

    paddle.enable_static()
    paddle.disable_signal_handler()
    executor = paddle.static.Executor(paddle.CPUPlace())
    program, names, targets = paddle.static.load_inference_model(str(graph.with_suffix("")), executor)

    def run(inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
        fed = dict(zip(names, inputs, strict=True))
        return [np.array(value) for value in executor.run(program, fed, targets, return_numpy=False)]

    return run


if __name__ == "__main__":
    serve(_paddle)
