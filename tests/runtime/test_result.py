"""What an Instances can do: drawn, outlined, cut out, written as COCO."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from edge_seg.errors import ImageError, UsageError
from edge_seg.runtime.overlay import draw
from edge_seg.runtime.result import Instances

HEIGHT, WIDTH = 60, 90


def ring() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:30, 20:50] = 1
    mask[15:25, 30:40] = 0
    return mask


def two_parts() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[40:50, 0:10] = mask[45:60, 80:90] = 1
    return mask


@pytest.fixture
def found() -> Instances:
    """A ring, an object of two parts that touches the edges, and one without a pixel."""
    masks = [ring(), two_parts(), np.zeros((HEIGHT, WIDTH), np.uint8)]
    return Instances(
        HEIGHT,
        WIDTH,
        np.array([[19.4, 10, 50.2, 30], [0, 40, 90, 60], [90, 60, 90, 60]], np.float32),
        np.array([0.9, 0.8, 0.7], np.float32),
        np.array([1, 0, 1]),
        [coco_mask.encode(np.asfortranarray(mask)) for mask in masks],
        ("circle", "star"),
        (3, 7),
    )


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def test_polygons_are_the_masks(found: Instances) -> None:
    outlines = found.polygons()
    assert [len(loops) for loops in outlines] == [2, 2, 0]
    for loops, expected in zip(outlines, (ring(), two_parts(), np.zeros((HEIGHT, WIDTH), np.uint8)), strict=True):
        # Corners lie between pixels: drawn at twice the size, no pixel's centre is on a line.
        twice = np.zeros((2 * HEIGHT + 1, 2 * WIDTH + 1), np.uint8)
        cv2.fillPoly(twice, [2 * loop for loop in loops], (1,))
        np.testing.assert_array_equal(twice[1::2, 1::2], expected)
    assert all(loop.dtype == np.int32 and loop.shape[1] == 2 for loops in outlines for loop in loops)
    assert sorted(cv2.contourArea(loop, oriented=True) for loop in outlines[0]) == [-100, 600], "a hole runs backwards"


def test_polygons_with_a_tolerance_have_fewer_points() -> None:
    round_one = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(round_one, (45, 30), 20, (1,), cv2.FILLED)
    found = Instances(HEIGHT, WIDTH, rles=[coco_mask.encode(np.asfortranarray(round_one))])
    ((exact,),), ((rough,),) = found.polygons(), found.polygons(tolerance=1.5)
    assert len(rough) < len(exact) / 3
    assert abs(cv2.contourArea(rough) / cv2.contourArea(exact) - 1) < 0.06
    with pytest.raises(UsageError, match="tolerance: -1"):
        found.polygons(-1)


def test_crops_hold_the_box_and_the_mask(found: Instances, image: np.ndarray) -> None:
    parts = found.crop(image)
    assert [part.shape for part in parts] == [(20, 32, 4), (20, 90, 4), (1, 1, 4)]
    np.testing.assert_array_equal(parts[0][:, :, :3], image[10:30, 19:51])
    np.testing.assert_array_equal(parts[0][:, :, 3], ring()[10:30, 19:51] * 255)
    assert not parts[2][:, :, 3].any()


def test_drawing_takes_the_names_that_are_known(found: Instances, image: np.ndarray, tmp_path: Path) -> None:
    np.testing.assert_array_equal(found.draw(image), draw(image, found, ("circle", "star")))
    assert not np.array_equal(found.draw(image, ("a", "b")), found.draw(image))
    cv2.imwrite(str(tmp_path / "image.png"), image)
    for same in (tmp_path / "image.png", str(tmp_path / "image.png"), Image.open(tmp_path / "image.png")):
        np.testing.assert_array_equal(found.draw(same), found.draw(image))


def test_the_image_must_be_the_one(found: Instances, image: np.ndarray) -> None:
    for work in (found.draw, found.crop):
        with pytest.raises(UsageError, match="an image of 30x90, expected 60x90"):
            work(image[:30])
        with pytest.raises(ImageError, match="uint8"):
            work(image.astype(float))


def test_coco_results(found: Instances) -> None:
    first, second, _ = found.to_coco(5)
    assert (first["image_id"], first["category_id"], second["category_id"]) == (5, 7, 3)
    assert first["bbox"] == pytest.approx([19.4, 10, 30.8, 20], abs=1e-5)
    np.testing.assert_array_equal(coco_mask.decode(first["segmentation"]), ring())
    assert found.to_coco(5, (1, 2))[0]["category_id"] == 2
    with pytest.raises(UsageError, match="1 numbers, but an instance has the class 1"):
        found.to_coco(5, (1,))
    assert Instances(4, 4).to_coco() == []
