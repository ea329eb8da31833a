"""A model that can't learn eight images by heart has a fault somewhere: in its targets, its losses or its decoding."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge_seg.cli import main
from edge_seg.data import synth

BY_HEART = (
    *("--flip", 0, "--scale", 1, 1, "--batch", 4, "--epochs", 150, "--warmup-steps", 20, "--eval-every", 0),
    *("--optimizer", "adamw", "--lr", 0.001, "--weight-decay", 0, "--schedule", "cosine"),
)
"""docs/training.md has the same."""


@pytest.mark.slow
def test_tiny_learns_eight_images_by_heart(tmp_path: Path, capsys: Any) -> None:
    data, out = tmp_path / "eight", tmp_path / "run"
    synth.make(data, images=10, size=192, seed=1)
    words = ["train", "mask_rcnn_tiny_fpn", "--data", data, "--out", out, "--size", 192, *BY_HEART]
    assert main([str(word) for word in words]) == 0
    shutil.rmtree(out / "last")
    capsys.readouterr()
    assert main(["eval", str(out), "--data", str(data), "--split", "train", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mask_map"] >= 0.90
