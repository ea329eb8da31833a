"""Mixed precision as far as a machine without a GPU can see it: refusals, and the loss's scale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_seg.errors import UsageError
from edge_seg.paddle_env import paddle
from edge_seg.train import amp
from edge_seg.train.amp import FIRST_SCALE, GROWS_AFTER, LossScale
from edge_seg.train.checkpoint import State


@pytest.mark.parametrize("kind", ["fp16", "bf16"])
def test_the_cpu_is_refused_by_name(kind: str, train: Callable[..., int], tmp_path: Path, capsys: Any) -> None:
    assert train(tmp_path / "run", "--device", "cpu", "--amp", kind) == 2
    error = capsys.readouterr().err
    assert f"--amp {kind}" in error
    assert "on GPUs only" in error
    assert not (tmp_path / "run").exists()


def test_a_gpu_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paddle.device.cuda, "get_device_name", lambda: "Tesla V100", raising=False)
    for capability, fits in (((7, 5), {"fp16"}), ((8, 0), {"fp16", "bf16"}), ((6, 1), set())):
        monkeypatch.setattr(paddle.device.cuda, "get_device_capability", lambda c=capability: c)
        for kind in ("fp16", "bf16"):
            if kind in fits:
                amp.check(kind, "gpu")
            else:
                with pytest.raises(UsageError, match=r"V100 has compute capability"):
                    amp.check(kind, "gpu")
    amp.check("", "cpu")


def gradient_of(layer: Any, factor: float) -> None:
    layer.clear_gradients()
    (layer(paddle.ones([1, 1])).sum() * factor).backward()


def test_gradients_are_divided_by_the_scale_and_an_overflow_leaves_out_the_step() -> None:
    layer = paddle.nn.Linear(1, 1)
    scale, state = LossScale("fp16"), State()
    assert scale.factor(state) == FIRST_SCALE
    gradient_of(layer, FIRST_SCALE)
    assert scale.unscale(layer.parameters(), state)
    assert layer.weight.grad.item() == pytest.approx(1.0)
    assert state.finite_steps == 1
    gradient_of(layer, float(np.float32(np.inf)))
    assert not scale.unscale(layer.parameters(), state)
    assert (scale.factor(state), state.finite_steps) == (FIRST_SCALE / 2, 0)


def test_the_scale_grows_after_many_steps_without_an_overflow() -> None:
    layer = paddle.nn.Linear(1, 1)
    scale, state = LossScale("fp16"), State(loss_scale=64.0, finite_steps=GROWS_AFTER - 1)
    gradient_of(layer, 64.0)
    assert scale.unscale(layer.parameters(), state)
    assert (state.loss_scale, state.finite_steps) == (128.0, 0)


@pytest.mark.parametrize("kind", ["", "bf16"])
def test_other_kinds_need_no_scale(kind: str) -> None:
    state = State()
    assert LossScale(kind).factor(state) == 1
    assert LossScale(kind).unscale([], state)
    assert state == State()


def test_the_scale_survives_a_kill(train: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU nothing is computed in fp16; the scale and what follows from it are the same as on a GPU."""
    monkeypatch.setattr(amp, "check", lambda *_: None)
    monkeypatch.setattr(amp, "GROWS_AFTER", 3)
    monkeypatch.setattr(amp, "autocast", lambda _: __import__("contextlib").nullcontext())
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    few = ("--amp", "fp16", "--eval-every", 0, "--warmup-steps", 0)
    assert train(whole, *few, "--max-steps", 8) == 0
    assert train(parts, *few, "--max-steps", 4) == 0
    assert train(parts, *few, "--max-steps", 8, "--resume") == 0
    from edge_seg.train.checkpoint import load_state

    assert load_state(whole).loss_scale == FIRST_SCALE * 4  # doubled at steps 3 and 6
    assert load_state(parts).loss_scale == load_state(whole).loss_scale
    assert load_state(parts).finite_steps == 2
    assert (whole / "model.pdparams").read_bytes() == (parts / "model.pdparams").read_bytes()
