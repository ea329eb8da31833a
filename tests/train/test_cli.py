"""``edge-seg train`` and ``edge-seg eval`` as a user meets them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_seg.cli import main
from edge_seg.train import checkpoint, trainer
from edge_seg.train.run import Run, read_config
from edge_seg.train.trainer import Trainer
from edge_seg.train.weights import read_arrays

from .conftest import QUICK

Train = Callable[..., int]


def lines(run: Path, kind: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, (run / "metrics.jsonl").open()) if line["kind"] == kind]


def test_metrics_have_a_line_a_log_step_and_an_evaluation(finished: Run) -> None:
    assert [line["step"] for line in lines(finished.path, "train")] == [2, 4, 6, 8]
    assert [line["step"] for line in lines(finished.path, "eval")] == [4, 8]
    first = lines(finished.path, "train")[0]
    parts = [first[name] for name in ("rpn_cls", "rpn_reg", "box_cls", "box_reg", "mask")]
    assert first["loss"] == pytest.approx(sum(parts), rel=1e-5)


def test_a_killed_training_resumes_to_the_same_bytes(finished: Run, data: Path, train: Train, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "edge_seg.cli",
        "train",
        "mask_rcnn_tiny_fpn",
        "--data",
        data,
        "--out",
        out,
        *QUICK,
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL, env=environment)
    deadline = time.monotonic() + 120
    while not (out / "metrics.jsonl").is_file() or '"step": 6' not in (out / "metrics.jsonl").read_text():
        assert process.poll() is None, "the training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # What such a death leaves between two checkpoints: a line that was begun.
    with (out / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"kind": "tra')
    assert train(out, "--resume") == 0
    for name in ("metrics.jsonl", "model.pdparams", "last/step-00000008.pdopt", "config.json"):
        assert (out / name).read_bytes() == (finished.path / name).read_bytes(), name


@pytest.mark.parametrize(("share", "steps"), [(1e9, [0, 4, 8, 12, 16]), (1e-9, [0, 4, 16])])
def test_checkpoints_at_the_ends_of_short_epochs_take_no_more_than_their_share(
    share: float, steps: list[int], train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    save = checkpoint.save

    def noted(run: Path, state: checkpoint.State, *arguments: Any) -> None:
        saved.append(state.step)
        save(run, state, *arguments)

    monkeypatch.setattr(trainer, "CHECKPOINT_SHARE", share)
    monkeypatch.setattr(checkpoint, "save", noted)
    assert train(tmp_path / "run", "--epochs", 4, "--eval-every", 0, "--checkpoint-every", 1000) == 0
    assert saved == steps


def test_many_short_epochs_have_a_longer_warm_up_which_a_longer_training_keeps(train: Train, tmp_path: Path) -> None:
    out = tmp_path / "run"
    few = ("--eval-every", 0, "--max-steps")
    assert train(out, "--epochs", 60, *few, 1) == 0
    assert read_config(out).settings.warmup_steps == 12  # a twentieth of 240; an epoch has 4
    assert train(out, "--epochs", 100, *few, 2, "--resume") == 0
    assert read_config(out).settings.warmup_steps == 12


def begin(data: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """A training of a hundred epochs in a process of its own, once its first line of metrics is there."""
    words = [
        "train",
        "mask_rcnn_tiny_fpn",
        "--data",
        str(data),
        "--out",
        str(out),
        *QUICK,
        "--checkpoint-every",
        "1000",
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "edge_seg.cli", *words, "--epochs", "100", "--eval-every", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 200
    while not (out / "metrics.jsonl").is_file() or '"step": 2' not in (out / "metrics.jsonl").read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_that_is_asked_to_stop_writes_a_checkpoint(
    number: signal.Signals, code: int, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = begin(data, out)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    stopped = re.search(r"stopped at step (\d+); the same command with --resume", err)
    assert stopped, err
    state = json.loads((out / "last/state.json").read_text())
    assert state["step"] == int(stopped[1])
    # Neither an epoch's end, where there is a checkpoint anyway, nor the beginning.
    assert state["step"] > 0
    assert (out / f"last/step-{state['step']:08d}.pdparams").is_file()


def test_a_second_training_in_the_same_folder_is_refused(
    data: Path, train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    process = begin(data, out)
    options = ("--checkpoint-every", "1000", "--epochs", "100", "--eval-every", "0")
    try:
        assert train(out, "--resume", *options) == 2
        assert f"{out}: another training is writing there" in capsys.readouterr().err
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 143, err


def test_dying_while_evaluating_repeats_the_evaluation(
    finished: Run, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_evaluate", die)
        assert train(tmp_path / "run") == 130
    assert train(tmp_path / "run", "--resume") == 0
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == (finished.path / "metrics.jsonl").read_bytes()


def test_the_same_command_again_says_what_to_do(
    finished: Run, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(finished.path) == 2
    assert "--resume" in capsys.readouterr().err


def test_resume_without_a_run_begins_one(train: Train, tmp_path: Path) -> None:
    assert train(tmp_path / "run", "--resume", "--max-steps", 1, "--eval-every", 0) == 0
    assert read_config(tmp_path / "run").metrics == {}
    assert (tmp_path / "run/model.pdparams").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--lr", "0.5"], "--lr 0.0025, now 0.5"),
        (["--seed", "4"], "--seed 3, now 4"),
        (["--size", "96"], "size 64 64, now 96 96"),
    ],
)
def test_resuming_with_other_settings_is_refused(
    finished: Run, train: Train, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert train(finished.path, "--resume", *options) == 2
    assert words in capsys.readouterr().err


def test_a_finished_training_can_be_made_longer(finished: Run, train: Train, tmp_path: Path) -> None:
    out = shutil.copytree(finished.path, tmp_path / "run")
    assert train(out, "--resume", "--epochs", 3) == 0
    assert [line["step"] for line in lines(out, "train")] == [2, 4, 6, 8, 10, 12]
    assert len((out / "command.txt").read_text().splitlines()) == 2


def test_changed_annotations_are_noticed(finished: Run, data: Path, tmp_path: Path, capsys: Any) -> None:
    out, other = shutil.copytree(finished.path, tmp_path / "run"), shutil.copytree(data, tmp_path / "data")
    (other / "train.json").write_text((other / "train.json").read_text() + " ")
    words = ["train", "mask_rcnn_tiny_fpn", "--data", other, "--out", out, *QUICK, "--resume"]
    assert main(list(map(str, words))) == 1
    assert "have changed" in capsys.readouterr().err


def test_a_loss_that_is_no_number_names_step_and_remedy(train: Train, tmp_path: Path, capsys: Any) -> None:
    assert train(tmp_path / "run", "--lr", "1e30", "--warmup-steps", 0) == 1
    message = capsys.readouterr().err
    assert "no longer a number at step" in message
    assert "--lr (now 1e+30)" in message
    assert "Traceback" not in message


def test_weights_to_begin_with(finished: Run, train: Train, tmp_path: Path, capsys: Any) -> None:
    options = ["--max-steps", 1, "--eval-every", 0, "--frozen-norm", "--clip-norm", 1]
    assert train(tmp_path / "run", "--weights", finished.weights, *options) == 0
    assert "arrays loaded" in capsys.readouterr().err
    # Nothing is left behind when they can't be had.
    assert train(tmp_path / "other", "--weights", tmp_path / "absent.pdparams") == 1
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("options", "frozen", "trained"),
    [
        (
            [],
            ["conv1.conv1.conv", "res2.res2a.branch2a.conv", "res4.res4a.branch2a.norm"],
            ["res3.res3a.branch2a.conv"],
        ),
        (["--freeze-at", 4], ["res4.res4b.branch2b.conv"], ["res5.res5a.branch2a.conv"]),
        (["--freeze-at", 0], ["res4.res4a.branch2a.norm"], ["conv1.conv1.conv", "res2.res2a.branch2a.conv"]),
        (["--no-frozen-norm"], ["res2.res2a.branch2a.norm"], ["res3.res3a.branch2a.norm", "res3.res3a.branch2a.conv"]),
    ],
    ids=["default", "up to res4", "norm only", "stem and res2"],
)
def test_pretrained_layers_are_frozen_as_published(
    finished: Run, train: Train, tmp_path: Path, capsys: Any, options: list[Any], frozen: list[str], trained: list[str]
) -> None:
    out = tmp_path / "run"
    few = ["--max-steps", 2, "--warmup-steps", 0, "--eval-every", 0]
    assert train(out, "--weights", finished.weights, *few, *options) == 0
    assert "frozen: " in capsys.readouterr().err
    before, after = read_arrays(finished.weights), read_arrays(out / "model.pdparams")

    def kept(layer: str) -> list[bool]:
        names = [name for name in before if name.startswith(f"backbone.{layer}.")]
        assert names
        return [bool((before[name] == after[name]).all()) for name in names]

    assert all(all(kept(layer)) for layer in frozen)
    assert not any(any(kept(layer)) for layer in trained)


def test_without_weights_all_layers_are_trained(train: Train, tmp_path: Path, capsys: Any) -> None:
    assert train(tmp_path / "run", "--max-steps", 1, "--eval-every", 0) == 0
    said = capsys.readouterr().err
    assert "all layers are trained" in said
    assert said.count("starting from random weights") == 1
    assert "8 images: from random weights the defaults learn so few by heart slowly" in said
    settings = read_config(tmp_path / "run").settings
    assert (settings.freeze_at, settings.frozen_norm) == (0, False)


def test_resizing_by_the_short_side(train: Train, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ["--short-side", 48, "--short-side", 64, "--long-side", 96, "--max-steps", 2, "--eval-every", 0]
    assert train(out, *options) == 0
    assert read_config(out).settings.short_sides == (48, 64)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--long-side", "96"], "--short-side"),
        (["--short-side", "96", "--long-side", "64"], "longer than"),
        (["--scale", "2", "1"], "smaller factor first"),
        (["--scale", "1", "1e9"], "--scale"),
        (["--lr", "nan"], "'--lr'"),
        (["--decay-epochs", "8,x"], "--decay-epochs"),
        (["--decay-epochs", "8,4"], "rising"),
        (["--size", "100"], "multiple of 32"),
        (["--warmup-steps", "9"], "8 steps"),
        (["--warmup-steps", "4", "--max-steps", "3"], "3 steps"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    train: Train, tmp_path: Path, capsys: Any, options: list[str], words: str
) -> None:
    assert train(tmp_path / "run", *options) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_full_disk_leaves_no_run(edge_seg: Any, data: Path, tmp_path: Path) -> None:
    command = ["train", "mask_rcnn_tiny_fpn", "--data", data, "--out", tmp_path / "run", *QUICK]
    done = edge_seg(*command, file_limit=100_000)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_train_prints_one_json_object(train: Train, tmp_path: Path, capsys: Any) -> None:
    assert train(tmp_path / "run", "--epochs", 1, "--json") == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert answer["steps"] == 4
    assert answer["mask_map"] < 0.0005  # after four steps
    assert err.count("mask mAP is 0") == 1
    assert answer["mask_map"] == read_config(tmp_path / "run").metrics["mask_map"]


def test_eval_of_a_bundle_leaves_the_device_to_its_recipe(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "manifest.json").touch()
    assert main(["eval", str(tmp_path), "--data", "data", "--device", "gpu"]) == 2
    assert "--device is for runs" in capsys.readouterr().err


def test_eval_of_a_run_gives_the_training_s_figures(finished: Run, data: Path, capsys: Any) -> None:
    assert main(["eval", str(finished.path), "--data", str(data), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["mask_map"] == finished.config.metrics["mask_map"]
    assert answer["box_map"] == finished.config.metrics["box_map"]
    assert main(["eval", str(finished.path), "--data", str(data), "--split", "train", "--limit", "2"]) == 0
    assert "2 images" in capsys.readouterr().out


def test_eval_of_something_else_is_refused(data: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(["eval", str(tmp_path), "--data", str(data)]) == 1
    assert "neither a run" in capsys.readouterr().err
