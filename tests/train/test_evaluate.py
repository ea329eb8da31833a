"""mAP of known answers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from edge_seg.data.coco import CocoDataset, decode, load_split
from edge_seg.errors import DataError
from edge_seg.runtime.result import Instances
from edge_seg.train.evaluate import evaluate


class Oracle:
    """A segmenter that gives the annotations themselves; ``classes`` are the names that it knows."""

    def __init__(self, dataset: CocoDataset, classes: tuple[str, ...] | None = None, answers: bool = True) -> None:
        self.classes = classes or dataset.classes
        self.dataset, self.answers = dataset, answers

    def __call__(self, path: Path) -> Instances:
        record = next(r for r in self.dataset.images if r.path == path)
        if not self.answers:
            return Instances(record.height, record.width)
        objects = record.annotations
        masks = [decode(a.segmentation, record.height, record.width) for a in objects]
        return Instances(
            record.height,
            record.width,
            np.array([a.box for a in objects], np.float32).reshape(-1, 4),
            np.full(len(objects), 0.9, np.float32),
            np.array([self.classes.index(self.dataset.classes[a.label]) for a in objects], np.int64),
            [coco_mask.encode(np.asfortranarray(mask)) for mask in masks],
        )


@pytest.fixture(scope="module")
def dataset(data: Path) -> CocoDataset:
    return load_split(data, "train")


def run(segmenter: Any, dataset: CocoDataset, **options: Any) -> Any:
    return evaluate(segmenter, dataset, **options)


def test_the_annotations_themselves_score_one(dataset: CocoDataset, capfd: pytest.CaptureFixture[str]) -> None:
    found = run(Oracle(dataset), dataset)
    assert found.mask_map == pytest.approx(1)
    assert found.box_map == pytest.approx(1)
    assert (found.images, found.objects) == (8, found.detections)
    assert all(value == pytest.approx(1) for value in found.class_mask_map.values() if value is not None)
    assert capfd.readouterr().out == ""  # pycocotools prints tables


def test_classes_are_matched_by_name_not_by_place(dataset: CocoDataset) -> None:
    assert run(Oracle(dataset, classes=dataset.classes[::-1]), dataset).mask_map == pytest.approx(1)


def test_finding_nothing_scores_zero(dataset: CocoDataset) -> None:
    found = run(Oracle(dataset, answers=False), dataset)
    assert (found.box_map, found.mask_map, found.detections) == (0.0, 0.0, 0)


def test_without_objects_there_is_no_score(dataset: CocoDataset) -> None:
    bare = tuple(dataclasses.replace(record, annotations=()) for record in dataset.images)
    for answers in (True, False):
        found = run(Oracle(dataset, answers=answers), dataclasses.replace(dataset, images=bare))
        assert (found.box_map, found.mask_map, found.objects) == (None, None, 0)


def test_limit_looks_at_the_first_images_only(dataset: CocoDataset) -> None:
    seen: list[tuple[int, int]] = []
    found = run(Oracle(dataset), dataset, limit=3, progress=lambda done, total: seen.append((done, total)))
    assert found.images == 3
    assert found.mask_map == pytest.approx(1)
    assert seen[-1] == (3, 3)


def test_other_classes_are_refused_by_name(dataset: CocoDataset) -> None:
    with pytest.raises(DataError, match=r"circle, triangle, star.*cat, dog"):
        run(Oracle(dataset, classes=("cat", "dog")), dataset)
