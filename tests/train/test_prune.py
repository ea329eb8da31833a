"""A narrower box head: what may be lost, what mustn't, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_seg.data.coco import load_split
from edge_seg.errors import UsageError
from edge_seg.train.prune import Activations, State, narrow, prune_box_head
from edge_seg.train.run import Run, load_run, read_config
from edge_seg.train.weights import read_arrays

INPUTS, WIDTH, CLASSES = 20, 12, 3
FC6, FC7 = "bbox_head.head.fc6", "bbox_head.head.fc7"


def head(rng: np.random.Generator) -> State:
    shapes = {
        FC6: (INPUTS, WIDTH),
        FC7: (WIDTH, WIDTH),
        "bbox_head.bbox_score": (WIDTH, CLASSES + 1),
        "bbox_head.bbox_delta": (WIDTH, 4 * CLASSES),
    }
    state: State = {"backbone.weight": np.ones(3, np.float32)}
    for name, shape in shapes.items():
        state[f"{name}.weight"] = rng.normal(size=shape).astype(np.float32)
        state[f"{name}.bias"] = rng.normal(size=shape[1]).astype(np.float32)
    return state


def run_head(state: State, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """fc6 and fc7 before the ReLU, and the scores beside the deltas."""
    fc6 = x @ state[f"{FC6}.weight"] + state[f"{FC6}.bias"]
    fc7 = np.maximum(fc6, 0) @ state[f"{FC7}.weight"] + state[f"{FC7}.bias"]
    parts = [
        np.maximum(fc7, 0) @ state[f"bbox_head.{name}.weight"] + state[f"bbox_head.{name}.bias"]
        for name in ("bbox_score", "bbox_delta")
    ]
    return fc6, fc7, np.concatenate(parts, axis=1)


def test_units_that_say_nothing_new_go_without_loss() -> None:
    rng = np.random.default_rng(1)
    state = head(rng)
    # Half of fc6's units are another's, scaled; half of fc7's send nothing on.
    state[f"{FC6}.weight"][:, 6:] = 2 * state[f"{FC6}.weight"][:, :6]
    state[f"{FC6}.bias"][6:] = 2 * state[f"{FC6}.bias"][:6]
    for name in ("bbox_score", "bbox_delta"):
        state[f"bbox_head.{name}.weight"][6:] = 0
    x = rng.normal(size=(2000, INPUTS)).astype(np.float32)
    fc6, fc7, wanted = run_head(state, x)
    narrowed = narrow(state, Activations(fc6, fc7), 6)
    assert narrowed[f"{FC6}.weight"].shape == (INPUTS, 6)
    assert narrowed[f"{FC7}.weight"].shape == (6, 6)
    assert narrowed["bbox_head.bbox_delta.weight"].shape == (6, 4 * CLASSES)
    assert narrowed["backbone.weight"] is state["backbone.weight"]
    fresh = rng.normal(size=(500, INPUTS)).astype(np.float32)
    missed = run_head(narrowed, fresh)[2] - run_head(state, fresh)[2]
    assert np.square(missed).mean() < 0.01 * wanted.var()
    assert state[f"{FC6}.weight"].shape == (INPUTS, WIDTH)  # what was handed in is left alone


def test_more_units_miss_less() -> None:
    rng = np.random.default_rng(2)
    state = head(rng)
    x = rng.normal(size=(2000, INPUTS)).astype(np.float32)
    fc6, fc7, wanted = run_head(state, x)
    missed = [np.square(run_head(narrow(state, Activations(fc6, fc7), w), x)[2] - wanted).mean() for w in (3, 6, 9, 11)]
    assert missed == sorted(missed, reverse=True)
    assert missed[0] < wanted.var()


def test_a_pruned_run_is_a_run(finished: Run, data: Path, tmp_path: Path) -> None:
    train = load_split(data, "train")
    made = [prune_box_head(finished, 16, train, tmp_path / name, seed=5, command="edge-seg fit …") for name in "ab"]
    config = read_config(tmp_path / "a")
    assert (config.box_width, config.metrics, config.classes) == (16, {}, finished.config.classes)
    model = made[0].build_model()
    assert model.settings.box_width == 16
    assert model.bbox_head.head.fc7.weight.shape == [16, 16]
    assert made[0].golden.read_bytes() == finished.golden.read_bytes()
    assert (tmp_path / "a" / "command.txt").read_text() == "edge-seg fit …\n"
    assert made[0].weights.read_bytes() == made[1].weights.read_bytes()
    full = read_arrays(finished.weights)
    assert made[0].weights.stat().st_size < finished.weights.stat().st_size
    for name, value in read_arrays(made[0].weights).items():
        assert name.startswith("bbox_head") or np.array_equal(value, full[name])
    again = prune_box_head(made[0], 8, train, tmp_path / "c", seed=5, command="x")
    assert again.build_model().settings.box_width == 8


@pytest.mark.parametrize("width", [0, 128, 500])
def test_a_width_that_does_not_narrow_is_refused(finished: Run, data: Path, tmp_path: Path, width: int) -> None:
    with pytest.raises(UsageError, match="from 1 to 127"):
        prune_box_head(finished, width, load_split(data, "train"), tmp_path / "out", seed=0, command="x")
    assert list(tmp_path.iterdir()) == []


def test_a_training_goes_on_with_the_pruned_width(
    finished: Run, data: Path, train: Callable[..., int], tmp_path: Path
) -> None:
    pruned = prune_box_head(finished, 16, load_split(data, "train"), tmp_path / "pruned", seed=5, command="x")
    assert train(tmp_path / "run", "--weights", pruned.path, "--max-steps", 1, "--eval-every", 0) == 0
    run = load_run(tmp_path / "run")
    assert run.config.box_width == 16
    assert run.build_model().settings.box_width == 16
