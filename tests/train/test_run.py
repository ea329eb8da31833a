"""A run folder: what it holds, and what is said when something is wrong with it."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_seg.errors import RunError
from edge_seg.train.run import Run, finds_nothing, load_run, read_config, write_config
from edge_seg.train.weights import read_arrays


@pytest.fixture
def copy(finished: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.path, tmp_path / "run"))


def edit(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((run / "config.json").read_text())
    change(config)
    (run / "config.json").write_text(json.dumps(config))


def test_holds_all_that_a_conversion_needs(finished: Run, data: Path) -> None:
    config = finished.config
    assert config.model == "mask_rcnn_tiny_fpn"
    assert config.classes == ("circle", "triangle", "star")
    assert config.size == config.preprocess.size == (64, 64)
    assert config.settings.seed == 3
    assert 0 <= (config.metrics["mask_map"] or 0) <= 1
    assert f"--data {data}" in (finished.path / "command.txt").read_text() or "pytest" in str(finished.path)
    names = {path.name for path in finished.path.iterdir()}
    expected = {
        "config.json",
        "command.txt",
        "golden.png",
        "last",
        "metrics.jsonl",
        "model.pdparams",
        "options.yaml",
        "report.html",
    }
    assert names == expected


def test_golden_image_is_a_validation_image_bit_for_bit(finished: Run, data: Path) -> None:
    golden = cv2.imread(str(finished.golden))
    names = [image["file_name"] for image in json.loads((data / "val.json").read_text())["images"]]
    assert any(np.array_equal(golden, cv2.imread(str(data / "images" / name))) for name in names)


def test_build_model_gives_the_best_weights_in_eval_mode(finished: Run) -> None:
    model = finished.build_model()
    assert not model.training
    assert model.num_classes == 3


def test_a_run_of_schema_1_is_read_as_ever(copy: Path) -> None:
    config = read_config(copy)
    edit(copy, lambda c: (c.update(schema=1), c.pop("box_width")))
    assert read_config(copy) == config
    assert load_run(copy).build_model().settings.box_width == 128


def test_config_survives_writing_and_reading(copy: Path) -> None:
    config = read_config(copy)
    write_config(copy, config)
    assert read_config(copy) == config


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        (shutil.rmtree, "run-missing", "no such run"),
        (lambda run: (run / "config.json").unlink(), "run-missing", "config.json"),
        (lambda run: (run / "model.pdparams").unlink(), "run-unfinished", "no weights yet"),
        (lambda run: (run / "config.json").write_text("{"), "run", "line 1"),
        (lambda run: edit(run, lambda c: c.update(schema=3)), "run-schema", "schema 3"),
        (lambda run: edit(run, lambda c: c.update(box_width=0)), "run-invalid", "box_width 0"),
        (lambda run: edit(run, lambda c: c.update(box_width=10**12)), "run-invalid", "box_width 10"),
        (lambda run: edit(run, lambda c: c["preprocess"].update(size=[33, 64])), "run-invalid", "multiples of 32"),
        (lambda run: edit(run, lambda c: c["preprocess"].update(size=[32 * 10**8, 32])), "run-invalid", "up to 99968"),
        (lambda run: edit(run, lambda c: c["postprocess"].update(nms_iou=-1)), "run-invalid", "nms_iou"),
        (lambda run: edit(run, lambda c: c.pop("classes")), "run-invalid", "classes: missing"),
        (lambda run: edit(run, lambda c: c.update(category_ids=[1])), "run-invalid", "3 classes and 1 category id,"),
        (lambda run: edit(run, lambda c: c["settings"].update(lr="big")), "run-invalid", "settings.lr"),
    ],
)
def test_a_broken_run_is_refused_by_name(copy: Path, damage: Callable[[Path], object], code: str, words: str) -> None:
    damage(copy)
    with pytest.raises(RunError, match=words) as caught:
        load_run(copy)
    assert caught.value.code == code
    assert str(copy) in caught.value.message


def test_weights_of_another_model_are_refused(copy: Path) -> None:
    edit(copy, lambda c: c.update(classes=["circle"], category_ids=[1]))
    with pytest.raises(RunError, match=r"bbox_score.*expected shape"):
        load_run(copy).build_model()


def _spoil(value: np.ndarray, to: float) -> np.ndarray:
    value = value.copy()
    value.flat[0] = to
    return value


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("neck.fpn_res2_sum.weight", lambda value: _spoil(value, np.nan), r"1 of [\d,]+ values aren't finite"),
        ("backbone.conv1.conv1.norm._variance", lambda value: _spoil(value, -1), "a variance of -1"),
        ("neck.fpn_res2_sum.weight", lambda value: value.astype(np.float64), "float64, expected float32"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(
    copy: Path, name: str, change: Callable[[np.ndarray], np.ndarray], words: str
) -> None:
    """Relu makes 0 of a NaN, and the bundle would seem sound."""
    file = copy / "model.pdparams"
    state = read_arrays(file)
    with file.open("wb") as out:
        pickle.dump({**state, name: change(state[name])}, out)
    with pytest.raises(RunError, match=words) as caught:
        load_run(copy).build_model()
    assert f"{file}: {name}: " in caught.value.message


def test_damaged_weights_are_refused(copy: Path) -> None:
    file = copy / "model.pdparams"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(RunError, match="damaged") as caught:
        load_run(copy).build_model()
    assert str(file) in caught.value.message


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        ({}, False),
        ({"box_map": None, "mask_map": None}, False),
        ({"box_map": 0.2, "mask_map": 0.001}, False),
        ({"box_map": 0.2, "mask_map": 0.0}, True),
        ({"box_map": 0.0, "mask_map": 0.0004}, True),
    ],
)
def test_a_run_that_finds_nothing_is_called_that(metrics: dict[str, float | None], told: bool) -> None:
    text = finds_nothing(Path("run"), metrics)
    assert text.startswith("run: mask mAP is 0: ") if told else text == ""
