"""Filter pruning: the goal is reached, the layers that bear it give way, and the result trains on and converts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_seg.cli import main
from edge_seg.errors import RunError
from edge_seg.paddle_env import nn
from edge_seg.train.filters import choose, rank
from edge_seg.train.run import Run, load_run, read_config, write_config


def test_the_smallest_channels_go_first_or_those_most_like_others() -> None:
    layer = nn.Conv2D(1, 5, 1, bias_attr=False)
    layer.weight.set_value(np.array([5.0, 1.0, 5.1, -9.0, 5.2], np.float32).reshape(5, 1, 1, 1))
    assert rank(layer, "l1").tolist() == [1, 0, 2, 4, 3]
    # Distances to all others: 18.3 of 5, 22.3 of 1, 18.4 of 5.1, 52.3 of -9, 18.7 of 5.2.
    assert rank(layer, "fpgm").tolist() == [0, 2, 4, 1, 3]


def test_layers_that_bear_it_give_way() -> None:
    full = {"robust": 100, "delicate": 100}
    curves = {"robust": (0.0, 0.01, 0.1), "delicate": (1.0, 2.0, 3.0)}
    widths = choose(full, curves, lambda kept: sum(kept.values()) <= 150)
    assert widths is not None
    assert sum(widths.values()) <= 150
    assert widths["robust"] < 60 < 85 < widths["delicate"]
    assert choose(full, curves, lambda kept: False) is None
    assert choose(full, curves, lambda kept: True) == full


def test_a_run_is_pruned_to_a_goal_and_trained_on(
    finished: Run, data: Path, train: Callable[..., int], tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "small"
    words = ["prune", finished.path, "--data", data, "--flops", 0.6, "--images", 2, "--out", out]
    assert main([*map(str, words), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0.55 < found["mac"]["after"] / found["mac"]["before"] <= 0.6
    small = load_run(out)
    assert small.config.metrics == {}
    state = small.build_model().state_dict()
    assert sum(v.size for v in state.values()) < sum(v.size for v in finished.build_model().state_dict().values())
    tuned = tmp_path / "tuned"
    assert train(tuned, "--weights", out, "--freeze-at", 0, "--max-steps", 2) == 0
    assert train(tuned, "--weights", out, "--freeze-at", 0, "--max-steps", 4, "--resume") == 0
    assert read_config(tuned).widths == small.config.widths
    assert main(["eval", str(tuned), "--data", str(data)]) == 0
    # Once more, from what was pruned before.
    words = ["prune", out, "--data", data, "--flops", 0.8, "--images", 1, "--method", "l1"]
    assert main([*map(str, words), "--out", str(tmp_path / "smaller")]) == 0
    assert "next: edge-seg train mask_rcnn_tiny_fpn" in capsys.readouterr().out


def test_a_goal_that_cannot_be_reached_says_what_can(finished: Run, data: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "small"
    words = ["prune", finished.path, "--data", data, "--flops", 0.01, "--images", 1, "--out", out]
    assert main(list(map(str, words))) == 2
    assert "give at least 0." in capsys.readouterr().err
    assert not out.exists()


def test_edited_widths_are_named(finished: Run, tmp_path: Path) -> None:
    out = tmp_path / "edited"
    out.mkdir()
    write_config(out, dataclasses.replace(finished.config, widths={"neck.fpn_res2_sum": 3}))
    (out / "model.pdparams").write_bytes(finished.weights.read_bytes())
    with pytest.raises(RunError, match=r"neck\.fpn_res2_sum: not a layer"):
        load_run(out).build_model()


@pytest.mark.slow
def test_a_pruned_run_converts(
    finished: Run, data: Path, edge_seg: Callable[..., Any], tmp_path: Path, capsys: Any
) -> None:
    """The bundle finds what the pruned layers find."""
    words = ["prune", finished.path, "--data", data, "--flops", 0.6, "--images", 2, "--out", tmp_path / "small"]
    assert main(list(map(str, words))) == 0
    capsys.readouterr()
    done = edge_seg("convert", "small", "--recipe", "onnx-fp32", "--out", "bundle")
    assert done.returncode == 0, done.stderr
    done = edge_seg("eval", "bundle", "--data", data, "--json")
    assert done.returncode == 0, done.stderr
    assert main(["eval", str(tmp_path / "small"), "--data", str(data), "--json"]) == 0
    run, bundle = json.loads(capsys.readouterr().out), json.loads(done.stdout)
    assert bundle["detections"] == run["detections"]
    assert bundle["mask_map"] == pytest.approx(run["mask_map"], abs=1e-3)
