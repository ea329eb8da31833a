"""Pasting against a pixel-by-pixel drawing, codes against pycocotools."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from edge_seg.runtime import masks
from edge_seg.runtime.masks import decode, decode_inside, paste


def bilinear(probability: np.ndarray, box: np.ndarray, height: int, width: int) -> np.ndarray:
    """float64[h, w]: the map's value at each pixel centre, pixel by pixel; -1 outside the box."""
    side = len(probability)
    padded = np.pad(probability.astype(np.float64), 1)
    out = np.full((height, width), -1.0)
    x0, y0, x1, y1 = box.astype(np.float64)
    for y in range(height):
        for x in range(width):
            if x0 <= x + 0.5 < x1 and y0 <= y + 0.5 < y1:
                u, v = (x + 0.5 - x0) / (x1 - x0) * side - 0.5, (y + 0.5 - y0) / (y1 - y0) * side - 0.5
                j, i = int(np.floor(u)), int(np.floor(v))
                corners = padded[i + 1 : i + 3, j + 1 : j + 3]
                out[y, x] = np.array([1 - (v - i), v - i]) @ corners @ np.array([1 - (u - j), u - j])
    return out


def cases() -> list[tuple[np.ndarray, np.ndarray, int, int]]:
    rng = np.random.default_rng(1)
    made = []
    for number in range(60):
        height, width = (int(side) for side in rng.integers(1, 40, 2))
        side = (1, 4, 28)[number % 3]
        corners = np.sort(rng.uniform(-10, 50, (3, 2, 2)), axis=1)
        boxes = corners.reshape(3, 4).astype(np.float32)
        boxes[0] = [(-5, -5, width + 5, height + 5), (0, 0, width, height), boxes[0]][number % 3]
        maps = rng.random((3, side, side)).astype(np.float32)
        maps[1] = maps[1] > 0.1
        made.append((maps, boxes, height, width))
    return made


@pytest.mark.parametrize("case", cases())
def test_masks_are_the_bilinear_map_at_the_threshold(case: tuple[np.ndarray, np.ndarray, int, int]) -> None:
    maps, boxes, height, width = case
    found = decode(paste(maps, boxes, height, width, 0.5), height, width)
    for probability, box, mask in zip(maps, boxes, found, strict=True):
        value = bilinear(probability, box, height, width)
        clear = np.abs(value - 0.5) > 1e-4  # nearer to the threshold rounding decides
        np.testing.assert_array_equal(mask[clear], (value >= 0.5)[clear])


@pytest.mark.parametrize("case", cases())
def test_codes_are_the_bytes_of_pycocotools(case: tuple[np.ndarray, np.ndarray, int, int]) -> None:
    maps, boxes, height, width = case
    codes = paste(maps, boxes, height, width, 0.5)
    for code, mask in zip(codes, decode(codes, height, width), strict=True):
        assert code == coco_mask.encode(np.asfortranarray(mask, np.uint8))


def test_full_image_is_one_run() -> None:
    huge = np.array([[-1e4, -1e4, 1e4, 1e4]], np.float32)
    code = paste(np.ones((1, 28, 28), np.float32), huge, 6000, 8000, 0.5)[0]
    assert coco_mask.area(code) == 48_000_000
    assert code == coco_mask.encode(np.asfortranarray(np.ones((6000, 8000), np.uint8)))


@pytest.mark.parametrize(
    "box", [(3, 3, 3, 3), (5, 5, 2, 9), (20, 2, 30, 8), (-9, -9, -1, -1), (1e30, 0, 2e30, 5), (2.6, 2.6, 3.4, 3.4)]
)
def test_box_that_holds_no_pixel_has_an_empty_mask(box: tuple[float, ...]) -> None:
    code = paste(np.ones((1, 28, 28), np.float32), np.array([box], np.float32), 10, 12, 0.5)[0]
    assert code == coco_mask.encode(np.zeros((10, 12), np.uint8, order="F"))


def test_nothing_pasted_gives_nothing() -> None:
    assert paste(np.zeros((0, 1, 1), np.float32), np.zeros((0, 4), np.float32), 5, 7, 0.5) == []
    assert decode([], 5, 7).shape == (0, 5, 7)


def test_many_large_objects_are_pasted_in_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, boxes, height, width = cases()[2]
    whole = paste(maps, boxes, height, width, 0.5)
    monkeypatch.setattr(masks, "_COLUMNS", 1)
    assert paste(maps, boxes, height, width, 0.5) == whole


def drawn(number: int) -> np.ndarray:
    """uint8[h, w]: nothing, noise, blobs, or everything."""
    rng = np.random.default_rng(number)
    height, width = (int(side) for side in rng.integers(1, 40, 2))
    if number % 2:
        return (rng.random((height, width)) < (0.0, 0.02, 0.5, 0.98, 1.0)[number % 5]).astype(np.uint8)
    smooth = cv2.GaussianBlur(rng.random((height, width)), (0, 0), 2)
    return np.asarray(smooth > np.median(smooth), np.uint8)


def test_masks_are_decoded_as_pycocotools_does() -> None:
    for number in range(300):
        mask = drawn(number)
        code = coco_mask.encode(np.asfortranarray(mask))
        np.testing.assert_array_equal(decode([code, code], *mask.shape), [mask, mask])
        x, y, inside = decode_inside(code)
        assert [x, y, inside.shape[1], inside.shape[0]] == coco_mask.toBbox(code).tolist()
        assert inside.sum() == mask.sum()


def test_a_code_of_another_image_is_refused() -> None:
    code = coco_mask.encode(np.asfortranarray(np.ones((4, 5), np.uint8)))
    with pytest.raises(ValueError, match="run lengths of an image of 4x6"):
        decode_inside({**code, "size": [4, 6]})
