"""The breakdown of an evaluation: COCO's own numbers, and one planted error of each kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from edge_seg.data.dataset import Annotation, CocoDataset, ImageRecord
from edge_seg.train.breakdown import ERRORS, _ap50, _match_all, break_down

SIDE = 200


def rle_of(x: float, y: float, size: float) -> dict[str, Any]:
    mask = np.zeros((SIDE, SIDE), np.uint8, order="F")
    mask[int(y) : int(y + size), int(x) : int(x + size)] = 1
    rle: dict[str, Any] = coco_mask.encode(mask)
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def square(number: int, label: int, x: float, y: float, size: float = 40, crowd: bool = False) -> Annotation:
    outline = rle_of(x, y, size) if crowd else [[x, y, x + size, y, x + size, y + size, x, y + size]]
    return Annotation(number, label, (x, y, x + size, y + size), size * size, crowd, outline)


def found(image: int, label: int, x: float, y: float, score: float, size: float = 40) -> dict[str, Any]:
    """A detection of class ``label``; category ids are 10 and 20."""
    return {
        "image_id": image,
        "category_id": (label + 1) * 10,
        "bbox": [x, y, size, size],
        "score": score,
        "segmentation": rle_of(x, y, size),
    }


def dataset(*images: tuple[Annotation, ...]) -> CocoDataset:
    records = tuple(ImageRecord(n, Path(f"{n}.png"), SIDE, SIDE, held) for n, held in enumerate(images, 1))
    return CocoDataset(Path("val.json"), records, ("disc", "star"), (10, 20))


TWO = (square(1, 0, 0, 0), square(2, 1, 100, 100))


def test_all_right() -> None:
    data = dataset(TWO)
    told = break_down(data, data.images, [found(1, 0, 0, 0, 0.9), found(1, 1, 100, 100, 0.8)])

    assert told.mask.ap == pytest.approx(1)
    assert told.box.ap50 == pytest.approx(1)
    assert told.mask.ap_large is None
    assert told.confusion.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert set(told.costs.values()) == {0.0}
    assert [(one.right, one.wrong, one.missed) for one in told.images] == [(2, 0, 0)]
    assert [c.mask.ap for c in told.classes] == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("kind", "results", "gain"),
    [
        ("class", [found(1, 0, 0, 0, 0.9), found(1, 0, 100, 100, 0.8)], 0.5),
        ("outline", [found(1, 0, 0, 0, 0.9), found(1, 1, 120, 120, 0.8)], 0.5),
        ("class and outline", [found(1, 0, 120, 120, 0.95), found(1, 0, 0, 0, 0.9), found(1, 1, 100, 100, 0.8)], 0.25),
        ("duplicate", [found(1, 0, 0, 0, 0.9), found(1, 0, 1, 1, 0.8), found(1, 1, 100, 100, 0.8)], 0.0),
        ("background", [found(1, 0, 0, 150, 0.95), found(1, 0, 0, 0, 0.9), found(1, 1, 100, 100, 0.8)], 0.25),
        ("missed", [found(1, 0, 0, 0, 0.9)], 0.5),
    ],
)
def test_one_error_of_each_kind(kind: str, results: list[dict[str, Any]], gain: float) -> None:
    data = dataset(TWO)
    told = break_down(data, data.images, results)

    assert told.counts == {**dict.fromkeys(ERRORS, 0), kind: 1}
    assert told.costs[kind] == pytest.approx(gain)


def test_confusion_counts_pairs_misses_and_nothings() -> None:
    data = dataset(TWO)
    results = [found(1, 1, 0, 0, 0.9), found(1, 1, 0, 150, 0.8), found(1, 0, 60, 0, 0.1)]

    told = break_down(data, data.images, results)

    assert told.confusion.tolist() == [[0, 1, 0], [0, 0, 1], [0, 1, 0]]
    assert [(one.right, one.wrong, one.missed) for one in told.images] == [(0, 2, 1)]


def test_detections_within_a_crowd_of_their_class_are_no_errors() -> None:
    data = dataset((square(1, 0, 0, 0), square(2, 0, 80, 80, 120, crowd=True)))
    results = [found(1, 0, 0, 0, 0.9), found(1, 0, 90, 90, 0.95), found(1, 0, 140, 140, 0.95)]

    told = break_down(data, data.images, results)

    assert told.mask.ap50 == pytest.approx(1)
    assert sum(told.counts.values()) == 0
    assert told.classes[0].objects == 1


@pytest.mark.parametrize("seed", range(8))
def test_own_ap50_is_coco_s(seed: int) -> None:
    """What errors cost is measured with an AP of our own: it must be pycocotools'."""
    generator = np.random.default_rng(seed)
    images, results = [], []
    for image in range(1, 7):
        held = []
        for place in range(int(generator.integers(0, 6))):
            x, y = map(int, generator.integers(0, 150, 2))
            held.append(square(image * 10 + place, int(generator.integers(2)), x, y, crowd=place == 4))
        images.append(tuple(held))
        for one in held:
            for _ in range(int(generator.integers(0, 3))):
                left, top = (max(0, v + int(generator.integers(-12, 13))) for v in one.box[:2])
                label = one.label if generator.random() < 0.8 else 1 - one.label
                results.append(found(image, label, left, top, float(generator.random())))
    data = dataset(*images)

    judged, _ = _match_all(data, data.images, results)
    points = [(label, score, right) for one in judged for label, score, right, _ in one.points]
    told = break_down(data, data.images, results)

    assert _ap50(points, [one.objects for one in told.classes]) == pytest.approx(told.mask.ap50, abs=1e-9)
    assert all(cost >= 0 for cost in told.costs.values())


def test_nothing_found_and_nothing_there() -> None:
    data = dataset(TWO)
    told = break_down(data, data.images, [])
    empty = dataset(())

    assert told.mask.ap == 0
    assert told.counts["missed"] == 2
    assert told.costs["missed"] == 0.0  # without a detection there is no precision to win
    assert break_down(empty, empty.images, []).mask.ap is None
    assert break_down(empty, empty.images, [found(1, 0, 0, 0, 0.9)]).counts["background"] == 1


def test_images_without_annotations_and_other_orders_of_ids() -> None:
    data = dataset((), TWO)
    other = replace(data, category_ids=(20, 10))
    results = [found(2, 0, 0, 0, 0.9)]

    assert break_down(data, data.images, results).confusion[0, 0] == 1
    assert break_down(other, other.images, results).confusion[0, 1] == 1


def test_classes_that_the_data_does_not_list_are_not_judged() -> None:
    data = dataset(TWO)
    told = break_down(data, data.images, [found(1, 0, 0, 0, 0.9), found(1, 6, 100, 100, 0.8)])

    assert told.unlisted == 1
    assert told.counts["missed"] == 1
    assert sum(told.counts.values()) == 1


def test_json_has_all_twelve_numbers() -> None:
    data = dataset(TWO)
    value = break_down(data, data.images, [found(1, 0, 0, 0, 0.9)]).as_json()

    assert len(value["mask"]) == len(value["box"]) == 12
    assert value["classes"][1]["mask"]["ap"] == 0
    assert value["errors"]["missed"]["count"] == 1
