"""Every option of a training: its effect is seen, and a resumed training is the same with it."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_seg.cli import main
from edge_seg.data.coco import load_splits
from edge_seg.data.loader import LoaderSettings, batches
from edge_seg.models.box_head import BoxHead
from edge_seg.paddle_env import paddle
from edge_seg.train import trainer as trainer_module
from edge_seg.train.ema import Ema
from edge_seg.train.evaluate import Evaluation
from edge_seg.train.optimizer import OPTIMIZERS, Optimizer
from edge_seg.train.run import TrainSettings, read_config
from edge_seg.train.trainer import Trainer
from edge_seg.train.weights import build, read_arrays

Train = Callable[..., int]
SETTINGS = TrainSettings(epochs=1, batch=1, lr=0.1, warmup_steps=0, decay_epochs=(), seed=0)
SHORT = ("--eval-every", 0, "--warmup-steps", 0)


def linear(optimizer: str, steps: int, **settings: Any) -> float:
    """A weight of 1 after steps of 0.01 along a gradient of 2."""
    layer = paddle.nn.Linear(1, 1, weight_attr=paddle.nn.initializer.Constant(1.0), bias_attr=False)
    rule = Optimizer(layer, dataclasses.replace(SETTINGS, optimizer=optimizer, **{"weight_decay": 0.0, **settings}))
    for _ in range(steps):
        (2.0 * layer(paddle.ones([1, 1]))).sum().backward()
        rule.step(0.01)
    return layer.weight.item()


def test_each_optimizer_follows_its_rule() -> None:
    assert linear("sgd", 2) == pytest.approx(1 - 2 * 0.02)
    assert linear("momentum", 2) == pytest.approx(1 - 0.02 - (0.02 + 0.9 * 0.02))
    assert linear("momentum", 2, momentum=0.5) == pytest.approx(1 - 0.02 - 0.03)
    assert linear("adamw", 2) == pytest.approx(1 - 2 * 0.01, abs=1e-4)


def test_weight_decay_pulls_towards_nothing() -> None:
    assert linear("sgd", 1, weight_decay=0.5) == pytest.approx(1 - 0.01 * (2 + 0.5))
    assert linear("adamw", 1, weight_decay=0.5) == pytest.approx((1 - 0.01 * 0.5) - 0.01, abs=1e-4)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_optimizers_state_is_restored_bit_for_bit(optimizer: str) -> None:
    def model(seed: int) -> Any:
        paddle.seed(seed)
        return paddle.nn.Sequential(paddle.nn.Linear(3, 4), paddle.nn.Linear(4, 2))

    def step(layers: Any, rule: Optimizer, number: int) -> None:
        layers(paddle.full([2, 3], 1.0 + number)).square().sum().backward()
        rule.step(0.01)

    settings = dataclasses.replace(SETTINGS, optimizer=optimizer)
    one = model(1)
    rule = Optimizer(one, settings)
    for number in range(3):
        step(one, rule, number)
    state = {name: np.array(value) for name, value in rule.state().items()}
    other = model(2)
    other.set_state_dict(one.state_dict())
    again = Optimizer(other, settings)
    again.restore(state)
    for name, value in again.state().items():  # before any step of its own, too
        assert np.array_equal(np.array(value), state[name])
    for number in range(3, 6):
        step(one, rule, number)
        step(other, again, number)
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert np.array_equal(np.array(a), np.array(b))


def test_the_running_mean_follows_the_weights() -> None:
    layer = paddle.nn.Linear(1, 1, weight_attr=paddle.nn.initializer.Constant(1.0), bias_attr=False)
    ema = Ema(layer, 0.5)
    layer.weight.set_value(paddle.full([1, 1], 3.0))
    ema.update(0)  # (1 + 0) / (10 + 0) of the old value: early steps count more
    assert ema.state()["weight"].item() == pytest.approx(0.1 * 1 + 0.9 * 3)
    ema.update(100)
    assert ema.state()["weight"].item() == pytest.approx(0.5 * 2.8 + 0.5 * 3)
    with ema.in_place():
        assert layer.weight.item() == pytest.approx(2.9)
    assert layer.weight.item() == 3


def test_the_mean_is_what_is_kept(train: Train, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert train(out, "--max-steps", 3, *SHORT, "--ema", 0.9) == 0
    kept = read_arrays(out / "model.pdparams")
    last, mean = (read_arrays(out / f"last/step-00000003.{kind}") for kind in ("pdparams", "pdema"))
    name = "bbox_head.head.fc6.weight"
    assert np.array_equal(kept[name], mean[name])
    assert not np.array_equal(kept[name], last[name])


def test_accumulated_batches_make_the_step_of_their_mean_gradient(data: Path, train: Train, tmp_path: Path) -> None:
    out = tmp_path / "run"
    plain = ["--optimizer", "sgd", "--weight-decay", 0, "--lr", 0.01, "--frozen-norm", "--max-steps", 1, *SHORT]
    assert train(out, "--accumulate", 2, *plain) == 0
    config = read_config(out)
    assert config.settings.accumulate == 2
    paddle.seed(3)
    model = build(config.model, 3, True)
    model.train()
    settings = LoaderSettings(config.preprocess, batch_size=2, scale_range=config.settings.scale_range)
    source = batches(load_splits(data)[0], settings, 3)
    for number in range(2):
        rngs = [np.random.Generator(np.random.Philox(key=[3, 2 * number + i])) for i in range(2)]
        (sum(model.loss(next(source), rngs).values()) / 2).backward()
    source.close()
    found = read_arrays(out / "model.pdparams")
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            wanted = parameter.numpy() - np.float32(0.01) * parameter.grad.numpy()
            np.testing.assert_allclose(found[name], wanted, rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_rate_grows_with_the_effective_batch(train: Train, tmp_path: Path) -> None:
    few = ("--max-steps", 1, *SHORT)
    assert train(tmp_path / "a", *few, "--accumulate", 4) == 0
    assert read_config(tmp_path / "a").settings.lr == pytest.approx(0.00125 * 2 * 4)
    assert train(tmp_path / "b", *few, "--optimizer", "adamw") == 0
    settings = read_config(tmp_path / "b").settings
    assert settings.lr == pytest.approx(0.0000125 * 2)
    assert settings.weight_decay == 0.05


def test_the_heads_learn_from_as_many_rois_as_asked_for(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, seen = BoxHead.forward, []

    def counted(self: BoxHead, rois: Any) -> Any:
        seen.append(len(rois))
        return forward(self, rois)

    monkeypatch.setattr(BoxHead, "forward", counted)
    for name, words, rois in (("few", ("--rois", 8), 8), ("own", (), 32)):
        seen.clear()
        assert train(tmp_path / name, *words, "--max-steps", 1, *SHORT) == 0
        assert seen[0] == rois * 2  # of two images
    assert read_config(tmp_path / "few").settings.rois == 8


OPTIONS: dict[str, tuple[Any, ...]] = {
    "mean, accumulation, adamw, cosine": (
        *("--ema", 0.99, "--accumulate", 2, "--optimizer", "adamw", "--schedule", "cosine", "--epochs", 4),
    ),
    "images": (
        *("--mosaic", 0.5, "--crop", 0.3, "--expand", 0.3, "--color-jitter", 0.4, "--vertical-flip", 0.5),
        *("--repeat-factor", 0.9, "--group-by-aspect"),
    ),
    "processes, sgd, patience": (
        *("--workers", 2, "--optimizer", "sgd", "--patience", 9, "--clip-norm", 5, "--rois", 16),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_an_interrupted_training_resumes_to_the_same_bytes(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[Any, ...]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(whole, *options) == 0
    advance, done = Trainer._advance, itertools.count()

    def interrupted(self: Trainer, *arguments: Any) -> None:
        if next(done) == 3:
            raise KeyboardInterrupt
        advance(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_advance", interrupted)
        assert train(parts, *options) == 130
    assert train(parts, *options, "--resume") == 0
    names = sorted(str(f.relative_to(whole)) for f in whole.rglob("*") if f.is_file())
    assert names == sorted(str(f.relative_to(parts)) for f in parts.rglob("*") if f.is_file())
    for name in names:
        if name not in ("last/state.json", "command.txt", "options.yaml", "report.html"):  # times, and the folder
            assert (whole / name).read_bytes() == (parts / name).read_bytes(), name


def test_patience_ends_a_training_that_no_longer_improves(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    maps = iter([0.2, 0.3, 0.3, 0.1, 0.9, 0.9])
    monkeypatch.setattr(
        trainer_module,
        "evaluate",
        lambda *_, **__: Evaluation(0.1, next(maps), 0.1, 0.1, {}, 2, 2, 2),
    )
    out = tmp_path / "run"
    assert train(out, "--epochs", 6, "--patience", 2) == 0
    assert "stopped early" in capsys.readouterr().err
    lines = [json.loads(line) for line in (out / "metrics.jsonl").open()]
    assert [line["mask_map"] for line in lines if line["kind"] == "eval"] == [0.2, 0.3, 0.3, 0.1]
    assert train(out, "--epochs", 6, "--patience", 2, "--resume") == 0  # it has ended, and stays so
    assert len(list((out / "metrics.jsonl").open())) == len(lines)
    assert train(out, "--epochs", 6, "--patience", 3, "--resume") == 0
    assert len(list((out / "metrics.jsonl").open())) > len(lines)


def test_a_cosine_is_not_made_longer(train: Train, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "run"
    assert train(out, "--schedule", "cosine", "--max-steps", 1, *SHORT) == 0
    assert train(out, "--schedule", "cosine", "--max-steps", 1, *SHORT, "--resume", "--epochs", 9) == 2
    assert "can't be made longer" in capsys.readouterr().err


def test_options_from_a_file(data: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["train", "mask_rcnn_tiny_fpn", "--data", str(data), "--max-steps", "1", "--eval-every", "0"]
    file = tmp_path / "options.yml"
    file.write_text("size: 64\nbatch: 4\nema: 0.9\ndecay-epochs: [1, 2.5]\nshort_side: [48, 64]\nlong-side: 64\n")
    out = tmp_path / "a"
    assert main([*words, "--out", str(out), "--config", str(file), "--ema", "0.5"]) == 0
    settings = read_config(out).settings
    assert (settings.batch, settings.ema, settings.decay_epochs) == (4, 0.5, (1.0, 2.5))
    assert settings.short_sides == (48, 64)
    # What the run was made with makes another like it.
    again = tmp_path / "b"
    assert main([*words[:4], "--out", str(again), "--config", str(out / "options.yaml")]) == 0
    assert read_config(again).settings == settings
    assert (again / "model.pdparams").read_bytes() == (out / "model.pdparams").read_bytes()
    for text, complaint in (
        ("epohs: 3", "'epohs' is no option"),
        ("out: x", "'out' is no option"),
        ("- 3", "expected options by name"),
        ("a: [", "can't be used"),
        ("epochs: {a: 1}", "expected numbers or text"),
        ("epochs: many", "'--epochs'"),
    ):
        file.write_text(text)
        assert main([*words, "--out", str(tmp_path / "c"), "--config", str(file)]) == 2
        assert complaint in capsys.readouterr().err
    assert main([*words, "--out", str(tmp_path / "c"), "--config", str(tmp_path / "none.yml")]) == 2
    assert not (tmp_path / "c").exists()


def test_toml_is_read_where_python_can(data: Path, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "options.toml"
    file.write_text("size = 64\nmax-steps = 1\neval-every = 0\nfrozen-norm = true\n")
    words = ["train", "mask_rcnn_tiny_fpn", "--data", str(data), "--out", str(tmp_path / "a"), "--config", str(file)]
    code = main(words)
    if sys.version_info < (3, 11):
        assert code == 2
        assert "write it as YAML" in capsys.readouterr().err
    else:
        assert code == 0
        assert read_config(tmp_path / "a").settings.frozen_norm


def test_a_mosaic_of_unequal_windows_is_refused(train: Train, tmp_path: Path, capsys: Any) -> None:
    assert train(tmp_path / "run", "--mosaic", 1, "--short-side", 64) == 2
    assert "one size" in capsys.readouterr().err


def test_every_option_of_the_loader_reaches_it(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What each does there is tested beside it, in tests/data."""
    shares = {"flip": 0.1, "vertical_flip": 0.2, "color_jitter": 0.3, "crop": 0.4, "expand": 0.6, "mosaic": 0.7}
    words: list[Any] = [word for name, value in shares.items() for word in ("--" + name.replace("_", "-"), value)]
    words += ["--repeat-factor", 0.8, "--group-by-aspect", "--workers", 3, "--scale", 0.5, 2, "--batch", 4]
    seen: list[LoaderSettings] = []

    def watched(_: Any, settings: LoaderSettings, *__: Any) -> Any:
        seen.append(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer_module, "batches", watched)
    assert train(tmp_path / "run", *words) == 130
    (found,) = seen
    assert {name: getattr(found, name) for name in shares} == shares
    assert (found.repeat_factor, found.group_by_aspect, found.processes) == (0.8, True, 3)
    assert (found.scale_range, found.batch_size) == ((0.5, 2.0), 4)
