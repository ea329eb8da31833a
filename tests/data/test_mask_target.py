"""Mask targets: as exact as the annotation, whatever the scale of the input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from edge_seg.data.mask_target import Axis, Bitmap, Outline, Polygons

SIDE = 28
WHOLE = Axis(1.0, 0.0)


def circle(x: float, y: float, radius: float, points: int = 360) -> list[float]:
    angles = np.arange(points) * (2 * np.pi / points)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1).reshape(-1).tolist()


def exact(x: float, y: float, radius: float, box: tuple[float, ...]) -> Any:
    """Which of the box's 28 x 28 cells have their middle in the circle."""
    middles = (np.arange(SIDE) + 0.5) / SIDE
    columns = box[0] + middles * (box[2] - box[0])
    rows = box[1] + middles * (box[3] - box[1])
    return (columns[None, :] - x) ** 2 + (rows[:, None] - y) ** 2 <= radius**2


def iou(a: Any, b: Any) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("radius", [4, 6, 8, 12, 16, 32])
def test_a_circle_keeps_its_outline_at_every_size(radius: float) -> None:
    """0.989 is what PaddleDetection's rule reaches; from masks at the input's size it was 0.854 to 0.984."""
    rng = np.random.default_rng(0)
    found = []
    for x, y in rng.uniform(40, 50, (20, 2)):
        box = (x - radius, y - radius, x + radius, y + radius)
        outline = Polygons.placed([circle(x, y, radius)], WHOLE, WHOLE)
        found.append(iou(outline.inside(box, SIDE).astype(bool), exact(x, y, radius, box)))
    assert np.mean(found) > 0.975


@pytest.mark.parametrize("radius", [4, 6, 8, 12, 16, 32])
def test_run_lengths_are_read_at_the_images_own_size(radius: float) -> None:
    """The image is six times as large as the input: its mask knows what the input's pixels can't."""
    scale = 1 / 6
    rng = np.random.default_rng(0)
    found = []
    for x, y in rng.uniform(40, 50, (5, 2)):
        box = (x - radius, y - radius, x + radius, y + radius)
        rle = coco_mask.frPyObjects([circle(x / scale, y / scale, radius / scale)], 600, 600)
        outline = Bitmap.placed(coco_mask.decode(coco_mask.merge(rle)), Axis(scale, 0), Axis(scale, 0))
        found.append(iou(outline.inside(box, SIDE).astype(bool), exact(x, y, radius, box)))
    assert np.mean(found) > 0.975


@pytest.mark.parametrize("x", [WHOLE, Axis(-0.5, 60.0), Axis(2.0, -20.0)])
@pytest.mark.parametrize("y", [WHOLE, Axis(-1.0, 90.0), Axis(0.3, 8.0)])
def test_both_forms_agree_wherever_they_are_placed(x: Axis, y: Axis) -> None:
    """A rectangle on whole pixels is the same as polygon and as mask."""
    mask = np.zeros((80, 100), np.uint8)
    mask[20:60, 30:70] = 1
    polygon: Outline = Polygons.placed([[30, 20, 70, 20, 70, 60, 30, 60]], x, y)
    bitmap: Outline = Bitmap.placed(mask, x, y)
    (x0, x1), (y0, y1) = np.sort(x.there(np.array([10.0, 90.0]))), np.sort(y.there(np.array([0.0, 80.0])))
    box = (x0, y0, x1, y1)
    np.testing.assert_array_equal(bitmap.inside(box, 40), polygon.inside(box, 40))
    assert bitmap.inside(box, 40).sum() == 20 * 20


def test_what_lies_elsewhere_is_empty() -> None:
    mask = np.zeros((50, 50), np.uint8)
    assert not Bitmap.placed(mask, WHOLE, WHOLE).inside((0, 0, 50, 50), SIDE).any()
    mask[10:20, 10:20] = 1
    assert not Bitmap.placed(mask, WHOLE, WHOLE).inside((30, 30, 50, 50), SIDE).any()
    assert Bitmap.placed(mask, WHOLE, WHOLE).inside((12, 12, 14, 14), SIDE).all()
    assert not Polygons.placed([circle(10, 10, 5)], WHOLE, WHOLE).inside((30, 30, 50, 50), SIDE).any()


def test_parts_and_the_inside_of_a_box_without_area() -> None:
    parts = Polygons.placed([circle(10, 10, 5), circle(30, 10, 5)], WHOLE, WHOLE)
    drawn = parts.inside((0, 0, 40, 20), 40)
    assert drawn[:, :20].sum() == pytest.approx(drawn[:, 20:].sum(), rel=0.05)
    assert parts.inside((10, 10, 10, 10), SIDE).shape == (SIDE, SIDE)
