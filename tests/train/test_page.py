"""The page of a training, looked at in a browser: with an evaluation, before the first one, and with nothing found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from edge_seg.data import synth
from edge_seg.data.coco import CocoDataset, load_split
from edge_seg.data.outline import decode
from edge_seg.errors import RunError
from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from edge_seg.train.breakdown import break_down
from edge_seg.train.page import make_page, read_metrics
from edge_seg.train.run import RunConfig, TrainSettings
from tests.pages.browser import Browser

CONFIG = RunConfig(
    model="mask_rcnn_tiny_fpn",
    classes=synth.CLASSES,
    category_ids=(1, 2, 3),
    preprocess=PreprocessSpec((96, 128)),
    postprocess=PostprocessSpec(),
    settings=TrainSettings(epochs=4, batch=2, lr=0.005, warmup_steps=10, decay_epochs=(2.5, 3.5), seed=1),
    data="shapes <b>",
    data_sha256="0" * 64,
)
METRICS = [
    {"kind": "train", "step": step, "epoch": step / 60, "lr": 0.005, "loss": 2 / step, "mask": 1 / step, "box_cls": 0.1}
    for step in range(20, 260, 20)
] + [
    {"kind": "eval", "step": 120, "epoch": 2, "box_map": 0.6, "mask_map": 0.7, "mask_ap50": 0.9},
    {"kind": "eval", "step": 240, "epoch": 4, "box_map": 0.7, "mask_map": None, "mask_ap50": 0.95},
]


def detections(data: CocoDataset) -> list[dict[str, Any]]:
    """What a fair model finds: shifted masks, some of another class, some not at all."""
    generator = np.random.default_rng(5)
    found = []
    for record in data.images:
        for a in record.annotations:
            if generator.random() < 0.1:
                continue
            mask = np.roll(decode(a.segmentation, record.height, record.width), int(generator.integers(0, 5)), axis=1)
            rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            label = a.label if generator.random() < 0.9 else (a.label + 1) % 3
            found.append(
                {
                    "image_id": record.id,
                    "category_id": data.category_ids[label],
                    "bbox": list(map(float, coco_mask.toBbox(rle))),
                    "score": float(generator.uniform(0.3, 1)),
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                }
            )
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> CocoDataset:
    folder = tmp_path_factory.mktemp("data")
    synth.make(folder, images=20, size=128, seed=7, val_fraction=0.5)
    return load_split(folder, "val")


def test_a_training(data: CocoDataset, browser: Browser, tmp_path: Path) -> None:
    results = detections(data)
    told = break_down(data, data.images, results)
    page = make_page(
        "Training of run", told, data, data.images, results,
        metrics=METRICS, config=CONFIG, command="edge-seg train mask_rcnn_tiny_fpn", versions={"paddlepaddle": "2.6.2"},
    )  # fmt: skip
    page.write(tmp_path / "page.html")

    seen = browser.look(tmp_path / "page.html", tmp_path / "screenshots")[0]

    assert told.mask.ap is not None
    assert f"Mask mAP {100 * told.mask.ap:.1f} %" in seen.answer
    assert list(seen.sections) == [
        "training", "accuracy", "classes", "errors", "the-worst-images", "examples", "settings",
    ]  # fmt: skip
    assert "2 evaluations" in seen.sections["training"]
    assert "no such object" in seen.sections["accuracy"]
    for one in told.classes:
        assert f"{one.objects}\t{one.detections}" in seen.sections["classes"]
    assert "8 of 10 images shown" in seen.sections["examples"]
    assert "shapes <b>" in seen.sections["settings"]


def test_before_the_first_evaluation(browser: Browser, tmp_path: Path) -> None:
    make_page("Training of run", None, None, metrics=METRICS[:1], config=CONFIG).write(tmp_path / "page.html")

    seen = browser.look(tmp_path / "page.html", tmp_path / "screenshots")[0]

    assert "Not evaluated yet" in seen.answer
    assert "There was no evaluation yet." in seen.sections["training"]


def test_nothing_found(data: CocoDataset, browser: Browser, tmp_path: Path) -> None:
    make_page("Evaluation", break_down(data, data.images, []), data, data.images).write(tmp_path / "page.html")

    seen = browser.look(tmp_path / "page.html", tmp_path / "screenshots")[0]

    assert "Mask mAP 0.0 %" in seen.answer
    assert "missed" in seen.sections["errors"]


def test_metrics_of_a_killed_training_are_read(tmp_path: Path) -> None:
    lines = [json.dumps(line) for line in METRICS[:3]]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, '{"kind": "tra']))

    assert read_metrics(tmp_path) == METRICS[:3]
    assert read_metrics(tmp_path / "none") == []


@pytest.mark.parametrize("line", ['{"kind": "tra', "7", '{"step": "x"}'])
def test_an_edited_line_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(f"{json.dumps(METRICS[0])}\n{line}\n{json.dumps(METRICS[1])}\n")

    with pytest.raises(RunError, match=r"metrics\.jsonl, line 2"):
        read_metrics(tmp_path)


@pytest.mark.slow
def test_eval_writes_a_page_and_the_same_numbers(
    edge_seg: Callable[..., Any], data: CocoDataset, browser: Browser, tmp_path: Path
) -> None:
    folder = data.coco_json.parent
    words = ["--size", "96", "--batch", "2", "--epochs", "1", "--max-steps", "2"]
    trained = edge_seg("train", "mask_rcnn_tiny_fpn", "--data", folder, "--out", "run", *words)
    assert trained.returncode == 0, trained.stderr
    done = edge_seg("eval", "run", "--data", folder, "--html", "eval.html", "--json", "--limit", "3")
    assert done.returncode == 0, done.stderr

    value = json.loads(done.stdout)
    for name in ("run/report.html", "eval.html"):
        seen = browser.look(tmp_path / name, tmp_path / "screenshots")[0]
        assert "Mask mAP" in seen.answer
    assert value["coco"]["mask"]["ap"] == value["mask_map"]
    assert value["coco"]["box"]["ap50"] == value["box_ap50"]
    assert f"Mask mAP {100 * value['mask_map']:.1f} % on 3 images" in seen.answer
