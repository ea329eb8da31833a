"""``edge-seg convert`` as a user types it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from convert.artifacts import Job
from convert.job import Layers, layers
from convert.verify.source import rebuild
from edge_seg.bundle import open_bundle
from edge_seg.data.synth import draw
from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from edge_seg.train.run import RunConfig, TrainSettings, read_config, write_config
from edge_seg.train.weights import write_arrays

TINY = "mask_rcnn_tiny_fpn"


@pytest.fixture
def run(job: Job, tmp_path: Path) -> Path:
    """A run as training leaves it: three classes, 64 x 96."""
    folder = tmp_path / "run"
    folder.mkdir()
    write_arrays(folder / "model.pdparams", layers(job).network.state_dict())
    cv2.imwrite(str(folder / "golden.png"), draw(3, 128, 0)[0])
    config = RunConfig(
        model=TINY,
        classes=("cup", "spoon", "bowl"),
        category_ids=(7, 3, 9),
        preprocess=PreprocessSpec((64, 96), color="BGR", mean=(0.4, 0.5, 0.6)),
        postprocess=PostprocessSpec(score_threshold=0.3, keep=20),
        settings=TrainSettings(epochs=1, batch=1, lr=0.1, warmup_steps=0, decay_epochs=(), seed=0),
        data="kitchen",
        data_sha256="0" * 64,
        metrics={"box_map": 0.5, "mask_map": 0.25},
    )
    write_config(folder, config)
    return folder


def test_a_run_becomes_a_bundle(edge_seg: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    done = edge_seg("convert", "run", "--recipe", "x86-fp32", "--out", "bundle", "--proposals", 20, "--json")
    assert done.returncode == 0, done.stderr
    assert "mAP is 0" not in done.stderr
    (said,) = json.loads(done.stdout)["bundles"]
    manifest = open_bundle(tmp_path / "bundle").manifest
    assert said["id"] == open_bundle(tmp_path / "bundle").id
    assert manifest.classes == ("cup", "spoon", "bowl")
    assert manifest.category_ids == (7, 3, 9)
    assert manifest.preprocess == PreprocessSpec((64, 96), color="BGR", mean=(0.4, 0.5, 0.6))
    assert manifest.postprocess == PostprocessSpec(score_threshold=0.3, keep=20)
    assert manifest.proposals == 20
    assert not manifest.random_weights
    assert manifest.source["run"] == "run"
    assert manifest.source["metrics"] == {"box_map": 0.5, "mask_map": 0.25}


def test_options_take_the_place_of_the_runs(edge_seg: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.jpg"), np.full((50, 40, 3), 90, np.uint8))
    options = ["--size", "96x64", "--keep", "5", "--score", "0.9", "--golden", "photo.jpg", "--before-nms", "40"]
    config = read_config(run)
    write_config(run, dataclasses.replace(config, metrics={"box_map": 0.1, "mask_map": 0.0}))
    done = edge_seg("convert", "run", "--recipe", "cpu-fp32", "--out", "bundle", *options)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Warning: run: mask mAP is 0: ") == 1
    manifest = open_bundle(tmp_path / "bundle").manifest
    assert manifest.preprocess.size == (96, 64)
    assert (manifest.postprocess.keep, manifest.postprocess.score_threshold) == (5, 0.9)
    assert cv2.imread(str(tmp_path / "bundle" / manifest.golden.image)).shape == (50, 40, 3)
    # What no field of the manifest holds is told among the options, from which verify makes the model again.
    assert manifest.source["options"].endswith("--before-nms 40")
    again, _ = rebuild(open_bundle(tmp_path / "bundle"), run)
    assert again is not None
    assert isinstance(again.model, Layers)
    assert again.model.before_nms == 40


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([TINY, "--random-weights", "--recipe", "arm-fp32", "--size", "100x128"], 2, "100 is not a multiple of 32"),
        ([TINY, "--random-weights", "--recipe", "arm-fp64"], 2, "arm-fp32"),
        ([TINY, "--recipe", "arm-fp32"], 2, "--random-weights"),
        (["mask_rcnn_r19", "--random-weights", "--recipe", "arm-fp32"], 2, "mask_rcnn_r18_fpn"),
        (["nowhere", "--recipe", "arm-fp32"], 2, "edge-seg train"),
        (["run", "--seed", "1", "--recipe", "arm-fp32"], 2, "--random-weights"),
        (["run", "--golden", "missing.png", "--recipe", "arm-fp32"], 1, "missing.png"),
        (["empty", "--recipe", "arm-fp32"], 1, "config.json"),
        (["run", "--keep-accuracy", "1", "--recipe", "cpu-fp32,arm-w8"], 2, "--keep-accuracy: for int8 recipes"),
        (["run", "--keep-accuracy", "nan", "--recipe", "arm-int8"], 2, "--keep-accuracy"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name(
    edge_seg: Callable[..., Any], run: Path, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    done = edge_seg("convert", *words, "--out", "out", "--json")
    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert message in done.stderr
    assert set(json.loads(done.stdout)) == {"error"}
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_files_is_refused_before_the_work(edge_seg: Callable[..., Any], run: Path) -> None:
    done = edge_seg("convert", TINY, "--random-weights", "--recipe", "arm-fp32", "--out", "run")
    assert done.returncode == 2
    assert "run: the folder holds other files" in done.stderr
    assert "reference" not in done.stderr
    assert (run / "config.json").exists()


def test_damaged_weights_are_refused(edge_seg: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    weights = run / "model.pdparams"
    weights.write_bytes(weights.read_bytes()[:100_000])
    done = edge_seg("convert", "run", "--recipe", "cpu-fp32", "--out", "out")
    assert done.returncode == 1
    assert "model.pdparams" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_no_half_bundle(edge_seg: Callable[..., Any], tmp_path: Path) -> None:
    words = ["convert", TINY, "--random-weights", "--size", "64", "--recipe", "arm-fp32", "--out", "out"]
    done = edge_seg(*words, file_limit=1_000_000)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_is_named(edge_seg: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    out = "file/out"
    done = edge_seg("convert", TINY, "--random-weights", "--size", "64", "--recipe", "cpu-fp32", "--out", out)
    assert done.returncode in (1, 2)
    assert "file" in done.stderr
    assert "Traceback" not in done.stderr
