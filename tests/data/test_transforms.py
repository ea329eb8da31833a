"""Image, boxes and masks stay together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from edge_seg.data.coco import Annotation, ImageRecord
from edge_seg.data.transforms import Placement, letterbox, put_image, put_targets, scale_mask, short_side
from edge_seg.manifest import PreprocessSpec

HEIGHT, WIDTH = 120, 160
PLAIN = PreprocessSpec((96, 96), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def circle(x: float, y: float, radius: float) -> list[float]:
    angles = np.arange(90) * (2 * np.pi / 90)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1).reshape(-1).tolist()


def record(*segmentations: Any, boxes: list[tuple[float, ...]] | None = None, crowd: bool = False) -> ImageRecord:
    annotations = []
    for number, segmentation in enumerate(segmentations):
        polygon = np.array(segmentation[0]).reshape(-1, 2)
        box = boxes[number] if boxes else (*polygon.min(axis=0), *polygon.max(axis=0))
        annotations.append(Annotation(number, number, box, 1.0, crowd, segmentation))  # type: ignore[arg-type]
    return ImageRecord(1, Path("x.png"), WIDTH, HEIGHT, tuple(annotations))


def as_run_lengths(polygons: list[list[float]]) -> dict[str, Any]:
    """The mask of polygons, drawn 8 times finer and averaged: what a careful annotator's bitmap looks like."""
    fine = np.zeros((HEIGHT * 8, WIDTH * 8), np.uint8)
    cv2.fillPoly(fine, [np.round(np.array(p).reshape(-1, 2) * 8 - 0.5).astype(np.int32) for p in polygons], (1,))
    mask = fine.reshape(HEIGHT, 8, WIDTH, 8).mean(axis=(1, 3)) >= 0.5
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode()}


def center(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0)[::-1] + 0.5


@pytest.mark.parametrize("form", ["polygons", "run lengths"])
@pytest.mark.parametrize("scale", [0.37, 0.5, 1.0, 1.7])
def test_a_scaled_mask_has_its_place_and_area(form: str, scale: float) -> None:
    polygons = [circle(70.3, 55.8, 30)]
    segmentation = polygons if form == "polygons" else as_run_lengths(polygons)
    height, width = round(HEIGHT * scale), round(WIDTH * scale)
    scaled = scale_mask(Annotation(1, 0, (0, 0, 1, 1), 1.0, False, segmentation), record(), height, width)
    factors = np.array([width / WIDTH, height / HEIGHT])
    # A nearest-neighbour resize would be off by up to half a pixel of the image.
    np.testing.assert_allclose(center(scaled), factors * (70.3, 55.8), atol=0.15)
    assert abs(scaled.sum() / (np.pi * 30**2 * factors.prod()) - 1) < 0.02
    assert set(np.unique(scaled)) == {0, 1}


def test_image_box_and_mask_are_mirrored_and_moved_together() -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    cv2.rectangle(image, (20, 30), (59, 49), (255, 255, 255), -1)
    source = record([[20, 30, 60, 30, 60, 50, 20, 50]])
    for placement in (
        Placement(WIDTH, HEIGHT),
        Placement(WIDTH, HEIGHT, mirrored=True, left=-64),
        Placement(80, 60, mirrored=True, left=9, top=21),
        Placement(WIDTH, HEIGHT, left=-15, top=-11),
        Placement(WIDTH, HEIGHT, mirrored=True, left=-60, top=-24),
    ):
        out = np.zeros((3, 96, 96), np.float32)
        size = put_image(image, placement, PLAIN, out)
        targets = put_targets(source, placement, 96, 96)
        mask = targets.outlines[0].inside((0, 0, 96, 96), 96)
        np.testing.assert_array_equal(mask, out[0] > 0.5)
        x, y, width, height = cv2.boundingRect(mask)
        np.testing.assert_array_equal(targets.boxes[0], [x, y, x + width, y + height])
        assert size == (
            min(96, placement.top + placement.scaled_height),
            min(96, placement.left + placement.scaled_width),
        )


def test_an_uncut_object_keeps_the_annotated_box_to_the_fraction() -> None:
    source = record([circle(60.25, 60.5, 20)], boxes=[(40.25, 40.5, 80.25, 80.5)])
    targets = put_targets(source, Placement(WIDTH // 2, HEIGHT // 2), 96, 96)
    np.testing.assert_allclose(targets.boxes[0], np.array([40.25, 40.5, 80.25, 80.5]) / 2, atol=1e-4)


def test_what_the_window_cuts_gets_the_box_of_what_is_left() -> None:
    # A long diagonal band: cutting the box alone would leave it far too tall.
    source = record([[0, 0, 10, 0, 100, 90, 90, 90]])
    targets = put_targets(source, Placement(WIDTH, HEIGHT, left=-50), 96, 96)
    x, y, width, height = cv2.boundingRect(targets.outlines[0].inside((0, 0, 96, 96), 96))
    np.testing.assert_array_equal(targets.boxes[0], [x, y, x + width, y + height])
    assert y >= 39


def test_crowds_slivers_and_boxes_without_area_are_no_targets() -> None:
    inside, outside = [circle(40, 40, 20)], [circle(150, 110, 8)]
    assert len(put_targets(record(inside, crowd=True), Placement(WIDTH, HEIGHT), 96, 96).labels) == 0
    assert put_targets(record(outside, inside), Placement(WIDTH, HEIGHT), 96, 96).labels.tolist() == [1]
    sliver = Placement(WIDTH, HEIGHT, left=-55)
    assert len(put_targets(record(inside), sliver, 96, 96).labels) == 0
    flat = record(inside, boxes=[(20, 20, 20, 60)])
    assert put_targets(flat, Placement(WIDTH, HEIGHT), 96, 96).outlines == []
    line = record([[20, 20, 60, 60, 40, 40]])
    assert len(put_targets(line, Placement(WIDTH, HEIGHT), 96, 96).labels) == 0


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(640, 480, (800, 1067)), (480, 640, (1067, 800)), (1920, 1080, (750, 1333)), (3000, 100, (44, 1333))],
)
def test_short_side_rule(width: int, height: int, expected: tuple[int, int]) -> None:
    assert short_side(ImageRecord(1, Path("x"), width, height, ()), 800, 1333) == expected


def test_letterbox_zooms_about_the_runtime_rule() -> None:
    source = ImageRecord(1, Path("x"), 640, 480, ())
    assert letterbox(source, (320, 320)) == (240, 320)
    assert letterbox(source, (320, 320), 0.5) == (120, 160)
    assert letterbox(source, (320, 320), 0.0001) == (1, 1)
