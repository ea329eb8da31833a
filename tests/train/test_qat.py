"""Quantisation-aware training: a run that int8 conversion takes its ranges from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_seg.bundle import open_bundle
from edge_seg.models import fake_quant
from edge_seg.models.build import build_model
from edge_seg.paddle_env import nn, paddle
from tests.convert.trained import WEIGHTS


def test_a_layer_computes_with_the_values_of_int8() -> None:
    paddle.seed(3)
    model = nn.Sequential(nn.Conv2D(2, 3, 1, bias_attr=False))
    plain = model[0].weight.numpy().copy()
    fake_quant.enable(model)
    x = paddle.to_tensor(np.linspace(-2, 2, 2 * 16, dtype=np.float32).reshape(1, 2, 4, 4))
    x.stop_gradient = False
    model.train()
    y = model(x)
    assert model[0].input_range.item() == 2.0
    steps = np.round(x.numpy() * 127 / 2) * 2 / 127
    reach = np.abs(plain).max(axis=(1, 2, 3), keepdims=True)
    weight = np.round(plain * 127 / reach) * reach / 127
    expected = np.einsum("oi,nihw->nohw", weight[:, :, 0, 0], steps)
    assert np.allclose(y.numpy(), expected, atol=1e-5)
    y.sum().backward()
    assert np.abs(model[0].weight.grad.numpy()).min() > 0  # rounding doesn't stop the gradient
    model.eval()
    model(x * 100)
    assert model[0].input_range.item() == 2.0  # only training changes it


def test_parameters_keep_their_names() -> None:
    plain = build_model("mask_rcnn_tiny_fpn", 2)
    before = {name: value.shape for name, value in plain.state_dict().items()}
    fake_quant.enable(plain)
    after = {name: value.shape for name, value in plain.state_dict().items()}
    ranges = after.keys() - before.keys()
    assert {name: after[name] for name in before} == before
    assert ranges == {f"{name}.{fake_quant.RANGE}" for name, layer in plain.named_sublayers() if _rounds_input(layer)}


def _rounds_input(layer: Any) -> bool:
    return isinstance(layer, fake_quant.FakeQuantConv2D)


@pytest.mark.slow
def test_such_a_run_is_converted_without_images(edge_seg: Callable[..., Any], tmp_path: Path) -> None:
    assert edge_seg("data", "synth", "shapes", "--images", "6", "--size", "128", "--seed", "1").returncode == 0
    words = ["train", "mask_rcnn_tiny_fpn", "--data", "shapes", "--out", "run", "--size", "128", "--qat"]
    words += ["--weights", str(WEIGHTS), "--lr", "0.0001", "--frozen-norm"]
    done = edge_seg(*words, "--epochs", "2", "--batch", "2", "--max-steps", "3")
    assert done.returncode == 0, done.stderr
    done = edge_seg(*words, "--epochs", "2", "--batch", "2", "--max-steps", "4", "--resume")
    assert done.returncode == 0, done.stderr
    (tmp_path / "shapes").rename(tmp_path / "elsewhere")
    done = edge_seg("convert", "run", "--recipe", "x86-int8", "--out", "bundle")
    assert done.returncode == 0, done.stderr
    told = open_bundle(tmp_path / "bundle").manifest.optimizer["quantization"]
    assert told["algorithm"] == "quantization-aware training"
    assert all(value > 0 for of in told["ranges"].values() for value in of.values())
    done = edge_seg("convert", "run", "--recipe", "x86-int8", "--out", "other", "--keep-accuracy", "0.5")
    assert (done.returncode, (tmp_path / "other").exists()) == (2, False)
    assert "its ranges for int8 were trained" in done.stderr
    done = edge_seg("verify", "bundle", "--run", "run", "--data", "elsewhere", "--json")
    found = {stage["name"]: stage["differences"] for stage in json.loads(done.stdout)["stages"]}
    mean = next(item for item in found["rounded"] if item["tensor"] == "mAP")
    assert (mean["ok"], mean["limit"]) == (True, None)
