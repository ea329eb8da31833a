"""COCO's 12 numbers: pycocotools' own, by whichever library computes them."""

from __future__ import annotations

import contextlib
import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.cocoeval import COCOeval

from edge_seg.data.dataset import Annotation, CocoDataset, ImageRecord
from edge_seg.train import coco_numbers
from edge_seg.train.coco_numbers import IOU_50, Compared, compare

SIDE = 240


def encoded(x: float, y: float, radius: float) -> dict[str, Any]:
    angles = np.arange(24) * (2 * np.pi / 24)
    polygon = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1).reshape(-1).tolist()
    rle = coco_mask.merge(coco_mask.frPyObjects([polygon], SIDE, SIDE))
    return {"size": [SIDE, SIDE], "counts": rle["counts"].decode()}


def made(images: int, seed: int) -> tuple[CocoDataset, list[dict[str, Any]]]:
    """Circles of all sizes, some of them crowds, and detections near them and elsewhere; class 2 never occurs."""
    rng = np.random.default_rng(seed)
    records, results = [], []
    for n in range(1, images + 1):
        objects = []
        for m in range(int(rng.integers(0, 7))):
            x, y = rng.uniform(60, 180, 2)
            radius = float(np.exp(rng.uniform(np.log(5), np.log(60))))
            box = (x - radius, y - radius, x + radius, y + radius)
            area, crowd = np.pi * radius**2, bool(rng.random() < 0.1)
            objects.append(Annotation(m, int(rng.integers(2)), box, area, crowd, encoded(x, y, radius)))
            for _ in range(int(rng.integers(0, 4))):
                dx, dy = rng.normal(0, radius / 6, 2)
                results.append(
                    {
                        "image_id": n,
                        "category_id": int(rng.choice([3, 5, 9])),
                        "bbox": [box[0] + dx, box[1] + dy, 2 * radius, 2 * radius],
                        "score": round(float(rng.random()), 2),
                        "segmentation": encoded(x + dx, y + dy, radius),
                    }
                )
        records.append(ImageRecord(n, Path(f"{n}.png"), SIDE, SIDE, tuple(objects)))
    return CocoDataset(Path("val.json"), tuple(records), ("a", "b", "c"), (3, 5, 9)), results


def of_pycocotools(truth: Any, results: list[dict[str, Any]], kind: str) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        comparison = COCOeval(truth, truth.loadRes(results), kind)
        comparison.evaluate()
        comparison.accumulate()
        comparison.summarize()
    return [float(value) for value in comparison.stats]


def twelve(compared: Compared) -> list[float]:
    """COCO's 12 numbers, in pycocotools' order."""
    precision, recall = compared.precision, compared.recall
    parts = [precision[..., 0, 2], precision[0, ..., 0, 2], precision[5, ..., 0, 2]]
    parts += [precision[..., area, 2] for area in (1, 2, 3)]
    parts += [recall[..., 0, most] for most in (0, 1, 2)] + [recall[..., area, 2] for area in (1, 2, 3)]
    return [float(part[part > -1].mean()) for part in parts]


@pytest.mark.parametrize("way", ["fast", "plain"])
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_the_same_12_numbers_as_pycocotools(monkeypatch: pytest.MonkeyPatch, kind: str, way: str) -> None:
    if way == "fast":
        pytest.importorskip("faster_coco_eval", reason="faster-coco-eval isn't installed")
    else:
        monkeypatch.setattr(coco_numbers.importlib.util, "find_spec", lambda name: None)
    dataset, results = made(60, 0)
    truth = dataset.ground_truth()
    compared = compare(truth, results, kind)
    found = twelve(compared)
    assert compared.average_precision() == pytest.approx(found[0])
    assert compared.average_precision(IOU_50) == pytest.approx(found[1])
    np.testing.assert_allclose(found, of_pycocotools(truth, results, kind), rtol=0, atol=1e-12)
    assert 0.02 < found[0] < 0.9


@pytest.mark.parametrize("way", ["fast", "plain"])
def test_nothing_found_and_nothing_there(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    if way == "plain":
        monkeypatch.setattr(coco_numbers.importlib.util, "find_spec", lambda name: None)
    dataset, results = made(20, 1)
    assert compare(dataset.ground_truth(), [], "segm").average_precision() == 0
    empty = CocoDataset(
        dataset.coco_json,
        tuple(ImageRecord(r.id, r.path, SIDE, SIDE, ()) for r in dataset.images),
        dataset.classes,
        dataset.category_ids,
    )
    for some in ([], results):
        assert compare(empty.ground_truth(), some, "bbox").average_precision() is None


def test_it_computes_in_silence_where_reports_are_let_through(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    data, results = made(2, 4)
    compare(data.ground_truth(data.images), results, "bbox")
    assert not caplog.records
    assert capsys.readouterr() == ("", "")
