"""Comparing two results for one image."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_seg.runtime.masks import paste
from edge_seg.runtime.parity import compare
from edge_seg.runtime.result import Instances


@pytest.fixture
def found() -> Instances:
    boxes = np.array([[2, 2, 12, 12], [20, 5, 40, 25], [3, 3, 13, 13]], np.float32)
    codes = paste(np.ones((3, 28, 28), np.float32), boxes, 30, 50, 0.5)
    return Instances(30, 50, boxes, np.array([0.9, 0.8, 0.7], np.float32), np.array([0, 1, 1]), codes)


def part(found: Instances, *rows: int) -> Instances:
    index = list(rows)
    codes = [found.rles[row] for row in rows]
    return Instances(30, 50, found.boxes[index], found.scores[index], found.classes[index], codes)


def test_equal_results(found: Instances) -> None:
    parity = compare(found, found)
    assert (parity.matched, parity.share) == (3, 1.0)
    assert (parity.box_px, parity.score, parity.mask_iou, parity.mask_pixels) == (0, 0, 1, 0)


def test_order_does_not_matter_but_class_does(found: Instances) -> None:
    assert compare(found, part(found, 2, 0, 1)).share == 1.0
    other = dataclasses.replace(found, classes=np.array([0, 1, 0]))
    assert compare(found, other).matched == 2


def test_what_is_missing_or_too_much_counts(found: Instances) -> None:
    assert compare(found, part(found, 0, 1)).share == pytest.approx(2 / 3)
    assert compare(part(found, 0), found).share == pytest.approx(1 / 3)
    assert compare(found, part(found)).share == 0
    assert compare(part(found), part(found)).share == 1


def test_worst_differences(found: Instances) -> None:
    boxes = found.boxes + np.array([[0, 0, 0, 0], [0, 0, 0.5, 0], [0, 0, 0, 0]], np.float32)
    scores = found.scores - np.array([0, 0, 0.1], np.float32)
    codes = [*found.rles[:2], paste(np.ones((1, 28, 28), np.float32), found.boxes[2:] + 1, 30, 50, 0.5)[0]]
    parity = compare(found, Instances(30, 50, boxes, scores, found.classes, codes))
    assert parity.box_px == 0.5
    assert parity.score == pytest.approx(0.1)
    assert 0.5 < parity.mask_iou < 0.9
    assert parity.mask_pixels > 10


def test_json_there_and_back(found: Instances) -> None:
    again = Instances.from_json(found.as_json(), 30, 50)
    assert again.as_json() == found.as_json()
    assert (again.boxes.dtype, again.classes.dtype) == (np.dtype(np.float32), np.dtype(np.int64))
    np.testing.assert_array_equal(again.masks, found.masks)
    assert len(Instances.from_json([], 30, 50)) == 0
