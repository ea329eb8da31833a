"""``edge-seg tune`` as a user types it, on the starting weights of the demo: they know circles, triangles and stars."""

from __future__ import annotations

import json
import shlex
import shutil
import statistics
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from convert.tune.cli import Mac
from convert.tune.meter import FRONT_PAIRS, SEARCH_PAIRS
from edge_seg.data import synth
from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from edge_seg.train.run import RunConfig, TrainSettings, write_config
from edge_seg.tuning import Setting

ROOT = Path(__file__).parents[3]
WEIGHTS = ROOT / "weights" / "mask_rcnn_tiny_fpn_shapes.pdparams"
FEW = ("--sizes", "96", "--proposals", "50,8", "--before-nms", "1000", "--keep", "10", "--box-widths", "128,24")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``run`` and ``data``."""
    folder = tmp_path_factory.mktemp("tune")
    synth.make(folder / "data", images=20, size=96, seed=11, val_fraction=0.4)
    (folder / "run").mkdir()
    shutil.copyfile(WEIGHTS, folder / "run" / "model.pdparams")
    cv2.imwrite(str(folder / "run" / "golden.png"), synth.draw(3, 96, 0)[0])
    config = RunConfig(
        model="mask_rcnn_tiny_fpn",
        classes=synth.CLASSES,
        category_ids=(1, 2, 3),
        preprocess=PreprocessSpec((96, 96)),
        postprocess=PostprocessSpec(),
        settings=TrainSettings(epochs=1, batch=1, lr=0.1, warmup_steps=0, decay_epochs=(), seed=0),
        data="data",
        data_sha256="0" * 64,
        metrics={"box_map": 0.0, "mask_map": 0.0},
    )
    write_config(folder / "run", config)
    return folder


@pytest.mark.slow
def test_operations(edge_seg: Callable[..., Any], made: Path, tmp_path: Path) -> None:
    """A search by operations: its front, the command for the budget, going on, another budget."""
    words = ["tune", made / "run", "--data", made / "data", *FEW, "--out", "out"]
    done = edge_seg(*words, "--flops", "1T", "--json", "--plot", "front.svg", "--html", "page.html")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert sum("mask mAP is 0" in warning for warning in said["warnings"]) == 1
    points = {(p["setting"]["proposals"], p["setting"]["box_width"]): p for p in said["points"]}
    assert {(50, 128), (8, 128), (50, 24)} <= points.keys()
    full, few, narrow = points[50, 128], points[8, 128], points[50, 24]
    assert full["mask_map"] > 0.2
    assert few["gmac"] < full["gmac"]
    assert narrow["model_bytes"] < full["model_bytes"]
    assert abs(narrow["mask_map"] - full["mask_map"]) < 0.15
    costs, accuracies = zip(*((p["cost"], p["mask_map"]) for p in said["front"]), strict=True)
    assert list(costs) == sorted(costs)
    assert list(accuracies) == sorted(accuracies)
    assert said["chosen"] == said["front"][-1]
    texts = [one.text for one in ET.parse(tmp_path / "front.svg").iter() if one.tag.endswith("text")]
    assert {"cost, GMAC", "mask mAP, %", "Pareto front", "within the budget"} <= set(texts)
    html = (tmp_path / "page.html").read_text()
    assert all(shlex.join(shlex.split(point["command"])) in html for point in said["front"])

    lines = (tmp_path / "out" / "points.jsonl").read_bytes()
    budget = (costs[0] + costs[-1]) / 2 if len(costs) > 1 else costs[0]
    again = edge_seg(*words, "--target-gmac", budget, "--json")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "out" / "points.jsonl").read_bytes() == lines  # nothing was computed anew
    assert json.loads(again.stdout)["chosen"]["cost"] <= budget

    missed = edge_seg(*words, "--target-gmac", "0.0001", "--json")
    assert missed.returncode == 1
    error = json.loads(missed.stdout)["error"]
    assert error["code"] == "budget-missed"
    assert f"the nearest costs {costs[0]:.4g} GMAC" in error["message"]
    assert "edge-seg convert" in error["remedy"]

    other = edge_seg(*words, "--flops", "1T", "--seed", "3", "--images", "2")
    assert other.returncode == 2
    assert "of another search (other seed, images" in other.stderr

    # The command makes what was measured, from the pruned run where there is one.
    command = shlex.split(narrow["command"])
    assert command[2] == "out/runs/box-24"
    converted = edge_seg(*[word.replace("arm-fp32", "cpu-fp32") for word in command[1:-1]], "bundle")
    assert converted.returncode == 0, converted.stderr
    checked = edge_seg("eval", "bundle", "--data", made / "data", "--threads", "1", "--json")
    assert json.loads(checked.stdout)["mask_map"] == pytest.approx(narrow["mask_map"], rel=0.01)


@pytest.mark.slow
def test_time_on_this_machine(edge_seg: Callable[..., Any], made: Path, tmp_path: Path) -> None:
    """A search that was stopped goes on; points of the front get more measurements than the others."""
    small = ("--sizes", "96,32", "--proposals", "20", "--before-nms", "100", "--keep", "5", "--box-widths", "128")
    words = ["tune", made / "run", "--data", made / "data", *small, "--recipe", "onnx-fp32", "--images", "2"]
    done = edge_seg(*words, "--out", "o", "--points", "1", "--target-ms", "100000", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["points"]) == 1
    done = edge_seg(*words, "--out", "o", "--points", "2")
    assert done.returncode == 0, done.stderr
    assert "edge-seg convert" in done.stdout
    assert "edge-seg bench run" in done.stdout
    assert "model time on this machine, 1 thread" in done.stdout

    lines = [json.loads(line) for line in (tmp_path / "o" / "points.jsonl").read_text().splitlines()]
    pairs = Counter(line["point"] for line in lines if line["kind"] == "pair")
    front = json.loads((tmp_path / "o" / "tune.json").read_text())["front"]
    for point in front:
        low, high = point["cost_quartiles"]
        assert low <= point["cost"] <= high
        assert pairs[key_of(point["setting"])] == SEARCH_PAIRS + FRONT_PAIRS
    assert min(pairs.values()) >= SEARCH_PAIRS


def key_of(setting: dict[str, Any]) -> str:
    return Setting(**{**setting, "size": tuple(setting["size"])}).key


@pytest.mark.slow
def test_times_come_from_records_of_the_very_bundles(edge_seg: Callable[..., Any], made: Path, tmp_path: Path) -> None:
    """Bundles of the run are made and measured; the search adds their accuracy, and tries nothing else."""
    for size in (96, 64):
        options = ("--recipe", "cpu-fp32", "--size", size, "--proposals", "20", "--out", f"b{size}")
        assert edge_seg("convert", made / "run", *options).returncode == 0
    image = next((made / "data" / "images").iterdir())
    measured = edge_seg("bench", "run", "b96", "b64", "--images", image, "--repeat", "3", "--out", "r.jsonl")
    assert measured.returncode == 0, measured.stderr
    words = ["tune", made / "run", "--data", made / "data", "--record", "r.jsonl", "--images", "4", "--out", "o"]
    done = edge_seg(*words, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert {tuple(point["setting"]["size"]) for point in said["points"]} == {(96, 96), (64, 64)}
    records = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    stages = ("detect", "nms", "mask")
    for record in records:
        times = [sum(sample["ns"][stage] for stage in stages) / 1e6 for sample in record["samples"]]
        point = next(p for p in said["points"] if list(p["setting"]["size"]) == list(record["bundle"]["size"]))
        assert point["cost"] == pytest.approx(statistics.median(times))
    assert edge_seg(*words, "--sizes", "96").returncode == 2
    other = edge_seg("tune", made / "run", "--data", made / "data", "--record", ROOT / "docs" / "records.jsonl")
    assert (other.returncode, "no record of a bundle that was made from this run" in other.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--target-ms", "5", "--flops", "5G"], 2, "two budgets"),
        (["--target-ms", "5", "--recipe", "arm-fp32"], 2, "--record"),
        (["--target-ms", "0"], 2, "target-ms"),
        (["--target-gmac", "nan"], 2, "target-gmac"),
        (["--target-gmac", "inf"], 2, "target-gmac"),
        (["--flops", "many"], 2, "5e9 or 5G"),
        (["--flops", "0"], 2, "5e9 or 5G"),
        (["--target-gmac", "1", "--record", "x"], 2, "--record is for --target-ms"),
        (["--target-ms", "5", "--record", "nowhere.jsonl"], 1, "nowhere.jsonl"),
        (["--target-gmac", "1", "--sizes", "100"], 2, "100"),
        (["--target-gmac", "1", "--box-widths", "256"], 2, "128 wide"),
        (["--target-gmac", "1", "--keep", "1,x"], 2, "whole numbers"),
        (["--target-gmac", "1", "--threads", "2"], 2, "--threads is for time"),
        (["--recipe", "arm-fp99"], 2, "arm-fp32"),
        (["--target-gmac", "1", "--keep", "5000"], 2, "from 1 to 1000"),
        (["--target-gmac", "1", "--proposals", "99999"], 2, "from 1 to 5000"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    edge_seg: Callable[..., Any], made: Path, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    done = edge_seg("tune", made / "run", "--data", made / "data", "--out", "out", *words, "--json")
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert message in done.stderr
    assert set(json.loads(done.stdout)) == {"error"}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_other_things_and_other_classes_are_refused_before_anything_is_written(
    edge_seg: Callable[..., Any], made: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").touch()
    words = ["tune", made / "run", "--target-gmac", "1"]
    done = edge_seg(*words, "--data", made / "data", "--out", "mine")
    assert (done.returncode, [f.name for f in (tmp_path / "mine").iterdir()]) == (2, ["notes.txt"]), done.stderr
    shutil.copytree(made / "data", tmp_path / "others")
    for split in ("train", "val"):
        file = tmp_path / "others" / f"{split}.json"
        file.write_text(file.read_text().replace('"circle"', '"dog"'))
    done = edge_seg(*words, "--data", "others", "--out", "out")
    assert done.returncode == 1
    assert "aren't the model's" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("words", "billions"), [("5", 5), ("5G", 5), ("5e9", 5), ("0.5T", 500), ("50k", 5e-5)])
def test_operations_are_read_with_their_unit(words: str, billions: float) -> None:
    assert Mac().convert(words, None, None) == pytest.approx(billions)


def test_data_without_annotations_is_refused(edge_seg: Callable[..., Any], made: Path, tmp_path: Path) -> None:
    """Without accuracy the cheapest point would win, whatever it finds."""
    shutil.copytree(made / "data", tmp_path / "bare")
    file = tmp_path / "bare" / "val.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "annotations": []}))
    done = edge_seg("tune", made / "run", "--data", "bare", "--target-gmac", "1", "--out", "out")
    assert (done.returncode, (tmp_path / "out").exists()) == (1, False), done.stderr
    assert "val.json" in done.stderr
    assert "has an annotation" in done.stderr
