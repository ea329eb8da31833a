"""Checkpoints and the optimiser's state: exact, and whole whenever the process dies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_seg.errors import RunError
from edge_seg.paddle_env import paddle
from edge_seg.train import checkpoint
from edge_seg.train.checkpoint import State
from edge_seg.train.optimizer import Optimizer
from edge_seg.train.run import TrainSettings
from edge_seg.train.weights import build

SETTINGS = TrainSettings(epochs=1, batch=1, lr=0.1, warmup_steps=0, decay_epochs=(), seed=0)


class Two(paddle.nn.Layer):
    """Two layers, of which the second may be left out, as a mask head is when there is no object."""

    def __init__(self) -> None:
        super().__init__()
        self.first = paddle.nn.Linear(2, 2)
        self.second = paddle.nn.Linear(2, 2)

    def forward(self, x: Any, both: bool) -> Any:
        x = self.first(x)
        return (self.second(x) if both else x).square().sum()


def step(model: Any, optimizer: Optimizer, both: bool = True) -> None:
    model(paddle.to_tensor([[1.0, 2.0]]), both).backward()
    optimizer.step(0.01)


def values(model: Any) -> list[np.ndarray[Any, Any]]:
    return [value.numpy() for value in model.state_dict().values()]


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(values(a), values(b), strict=True))


def test_a_restored_optimizer_goes_on_bit_for_bit(tmp_path: Path) -> None:
    model = Two()
    optimizer = Optimizer(model, SETTINGS)
    # The second layer sees no gradient before the checkpoint.
    step(model, optimizer, both=False)
    checkpoint.save(tmp_path, State(step=1), model, optimizer)
    step(model, optimizer)
    other = Two()
    resumed = Optimizer(other, SETTINGS)
    checkpoint.load_arrays(tmp_path, 1, other, resumed)
    step(other, resumed)
    assert same(model, other)


def test_momentum_and_decay_follow_the_formula() -> None:
    model = paddle.nn.Linear(1, 1, bias_attr=False)
    model.weight.set_value(np.array([[2.0]], np.float32))
    optimizer = Optimizer(model, SETTINGS)
    weight, velocity = 2.0, 0.0
    for _ in range(3):
        (3 * model.weight).sum().backward()
        optimizer.step(0.1)
        velocity = 0.9 * velocity + 3 + 1e-4 * weight
        weight -= 0.1 * velocity
    assert model.weight.item() == pytest.approx(weight, rel=1e-6)


def test_dying_in_the_middle_of_saving_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Two()
    optimizer = Optimizer(model, SETTINGS)
    checkpoint.save(tmp_path, State(step=1, metrics_bytes=7), model, optimizer)
    before = [value.copy() for value in values(model)]
    step(model, optimizer)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "write_json", die)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path, State(step=2), model, optimizer)
    state = checkpoint.load_state(tmp_path)
    assert (state.step, state.metrics_bytes) == (1, 7)
    checkpoint.load_arrays(tmp_path, state.step, model, optimizer)
    assert all(np.array_equal(a, b) for a, b in zip(before, values(model), strict=True))


def test_only_the_newest_checkpoint_is_kept(tmp_path: Path) -> None:
    model = Two()
    optimizer = Optimizer(model, SETTINGS)
    for number in (1, 2):
        checkpoint.save(tmp_path, State(step=number), model, optimizer)
    assert sorted(file.name for file in (tmp_path / "last").iterdir()) == [
        "state.json",
        "step-00000002.pdopt",
        "step-00000002.pdparams",
    ]


@pytest.mark.parametrize(("name", "words"), [("state.json", "invalid JSON"), ("step-00000001.pdopt", "damaged")])
def test_a_damaged_checkpoint_is_named(name: str, words: str, tmp_path: Path) -> None:
    model = Two()
    optimizer = Optimizer(model, SETTINGS)
    checkpoint.save(tmp_path, State(step=1), model, optimizer)
    (tmp_path / "last" / name).write_bytes(b"{")
    with pytest.raises(RunError, match=rf"{name}.*{words}"):
        checkpoint.load_arrays(tmp_path, checkpoint.load_state(tmp_path).step, model, optimizer)


def test_momentum_of_another_model_is_refused(tmp_path: Path) -> None:
    model = Two()
    checkpoint.save(tmp_path, State(step=1), model, Optimizer(model, SETTINGS))
    other = build("mask_rcnn_tiny_fpn", 1, False)
    with pytest.raises(RunError, match="expected shape"):
        checkpoint.load_arrays(tmp_path, 1, other, Optimizer(other, SETTINGS))
