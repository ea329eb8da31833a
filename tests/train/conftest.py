"""A dataset small enough to train on in a second, and a training of a few steps on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_seg.cli import main
from edge_seg.data import synth
from edge_seg.train.run import Run, load_run

QUICK = ("--size", "64", "--batch", "2", "--epochs", "2", "--log-every", "2", "--checkpoint-every", "2", "--seed", "3")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight training and two validation images, 64 x 64."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    synth.make(folder, images=10, size=64, seed=2)
    return folder


@pytest.fixture(scope="session")
def train(data: Path) -> Callable[..., int]:
    """``train(out, "--lr", 1)`` trains the tiny model, for eight steps unless told otherwise; returns the exit code."""

    def run(out: Path, *options: Any) -> int:
        command = ["train", "mask_rcnn_tiny_fpn", "--data", data, "--out", out, *QUICK, *options]
        return main([str(word) for word in command])

    return run


@pytest.fixture(scope="session")
def finished(train: Callable[..., int], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that went to its end."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    assert train(out) == 0
    return load_run(out)
