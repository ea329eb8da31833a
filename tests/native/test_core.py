"""The native core against the Python runtime, to the last bit (RoIAlign but for its sums): the same cases in both."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from edge_seg.runtime.masks import paste
from edge_seg.runtime.postprocess import select, to_image
from edge_seg.runtime.preprocess import Geometry, preprocess
from edge_seg.runtime.roi_align import Pyramid
from tests.native.probe import Probe

CASES = 200


def some_image(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Noise, a smooth image, or an extreme one."""
    kind = rng.integers(0, 4)
    if kind == 0:
        return np.full((height, width, 3), rng.choice([0, 255]), np.uint8)
    noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return noise if kind < 3 else np.asarray(cv2.blur(noise, (5, 5)), np.uint8)


def sides(rng: np.random.Generator, number: int) -> tuple[int, int, int, int]:
    """Image height and width, target height and width: shrinking, growing, halved exactly, tiny, long and thin."""
    h, w, to_h, to_w = (int(side) for side in rng.integers(1, 160, 4))
    special = [
        (2 * to_h, 2 * to_w, to_h, to_w),
        (2 * to_h, w, to_h, to_w),
        (h, w, 2 * h, 2 * w),
        (3 * to_h, 3 * to_w, to_h, to_w),
        (h, w, h, to_w),
        (1, 1, to_h, to_w),
        (1, w, to_h, to_w),
        (h, w, 1, 1),
        (4 * h, 5 * w, to_h, to_w),
    ]
    return special[number] if (number := number % 20) < len(special) else (h, w, to_h, to_w)


def test_resize_is_opencvs(probe: Probe) -> None:
    rng = np.random.default_rng(1)
    for number in range(CASES):
        height, width, to_height, to_width = sides(rng, number)
        image = some_image(rng, height, width)
        _, (found,) = probe("resize", image, width=width, height=height, to_width=to_width, to_height=to_height)
        expected = cv2.resize(image, (to_width, to_height), interpolation=cv2.INTER_LINEAR)
        assert found == expected.tobytes(), f"{image.shape} to {expected.shape}"


def test_preprocess(probe: Probe) -> None:
    rng = np.random.default_rng(2)
    for number in range(CASES):
        height, width, _, _ = sides(rng, number)
        size = (int(rng.integers(1, 5)) * 32, int(rng.integers(1, 5)) * 32)
        spec = PreprocessSpec(
            size,
            color=("RGB", "BGR")[number % 2],
            mean=tuple(rng.random(3).tolist()),
            std=tuple((rng.random(3) + 0.01).tolist()),
            pad=float(rng.normal()),
        )
        if number % 5 == 0:
            height, width = size
        if number % 40 == 1:
            height, width = height * 9, width * 17
        image = some_image(rng, height, width)
        answer, (found,) = probe(
            "preprocess",
            image,
            width=width,
            height=height,
            size=size,
            rgb=spec.color == "RGB",
            mean=spec.mean,
            std=spec.std,
            pad=spec.pad,
            threads=number % 4 + 1,
        )
        blob, geometry = preprocess(image, spec)
        assert (answer["scaled_width"], answer["scaled_height"]) == (geometry.scaled_width, geometry.scaled_height)
        assert found == blob.tobytes(), f"{image.shape} into {size}"


def scene(rng: np.random.Generator, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes [R, C, 4] and scores [R, C + 1]; every second scene is full of equal scores and touching boxes."""
    proposals, classes = int(rng.integers(1, 80)), int(rng.integers(1, 6))
    corner = rng.uniform(-20, 100, (proposals, classes, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(-2, 40, (proposals, classes, 2))], axis=2)
    scores = rng.random((proposals, classes + 1))
    if number % 2:
        boxes, scores = np.round(boxes / 4) * 4, np.round(scores * 8) / 8
    return boxes.astype(np.float32), scores.astype(np.float32)


def select_both(
    probe: Probe,
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    spec: PostprocessSpec,
    extent: tuple[float, float],
    instances: int | None,
    threads: int = 1,
) -> None:
    expected = select(boxes, scores, spec, extent=extent, instances=instances)
    _, found = probe(
        "select",
        boxes,
        scores,
        proposals=boxes.shape[0],
        classes=boxes.shape[1],
        score_threshold=spec.score_threshold,
        nms_iou=spec.nms_iou,
        keep=spec.keep,
        extent=extent,
        instances=instances,
        threads=threads,
    )
    assert np.frombuffer(found[2], np.int32).tolist() == expected.classes.tolist()
    assert found[1] == expected.scores.tobytes()
    assert found[0] == expected.boxes.tobytes()


def test_select_with_ties(probe: Probe) -> None:
    rng = np.random.default_rng(3)
    for number in range(CASES):
        boxes, scores = scene(rng, number)
        spec = PostprocessSpec(
            score_threshold=float(rng.choice([0.0, 0.125, 0.5, rng.random()])),
            nms_iou=float(rng.choice([0.0, 0.25, 0.5, 1.0, rng.random()])),
            keep=int(rng.integers(1, 120)),
        )
        count = boxes.shape[0] * boxes.shape[1]
        instances = int(rng.integers(0, count + 1)) if number % 3 == 0 else None
        select_both(probe, boxes, scores, spec, (float(rng.integers(1, 128)), float(rng.integers(1, 128))), instances)


def hard_scene(rng: np.random.Generator, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """All scores alike, scores a last bit from the threshold, coordinates of all magnitudes, boxes without area."""
    proposals, classes = int(rng.integers(1, 200)), int(rng.integers(1, 90))
    shape = (proposals, classes, 2)
    corner = rng.uniform(-20, 100, shape)
    boxes = np.concatenate([corner, corner + rng.uniform(-2, 40, shape)], axis=2)
    scores = rng.random((proposals, classes + 1))
    if number % 4 == 0:
        boxes, scores = np.round(boxes / 16) * 16, np.full_like(scores, 0.5)
    elif number % 4 == 1:
        scores = np.float32(0.05) + rng.integers(-2, 3, scores.shape) * 2.0**-28
    elif number % 4 == 2:
        boxes *= 10.0 ** rng.integers(-30, 36, boxes.shape)
    else:
        boxes[..., 2:] = boxes[..., :2] + rng.choice([0, 1e-7, 1, -0.0], shape)
        boxes *= rng.choice([1, -1, 0], boxes.shape)
    return boxes.astype(np.float32), scores.astype(np.float32)


def test_select_of_hard_scenes(probe: Probe) -> None:
    rng = np.random.default_rng(10)
    for number in range(CASES):
        boxes, scores = hard_scene(rng, number)
        spec = PostprocessSpec(nms_iou=float(rng.choice([0.0, 0.5, 1.0])), keep=int(rng.integers(1, 300)))
        instances = int(rng.integers(0, min(200, boxes.size // 4) + 1)) if number % 3 == 0 else None
        with np.errstate(over="ignore", invalid="ignore"):
            select_both(probe, boxes, scores, spec, (64.0, 90.0), instances, threads=number % 4 + 1)


def test_select_shared_between_threads(probe: Probe) -> None:
    """So many pairs that they are: above 16384."""
    rng = np.random.default_rng(11)
    boxes, scores = rng.random((900, 40, 4)).astype(np.float32), rng.random((900, 41)).astype(np.float32) ** 8
    boxes[..., 2:] += 1
    for threads in (1, 2, 3, 8):
        select_both(probe, boxes, np.round(scores * 64) / 64, PostprocessSpec(), (9.0, 9.0), None, threads)


def test_select_with_nothing_and_with_everything_alike(probe: Probe) -> None:
    boxes, scores = np.zeros((5, 2, 4), np.float32), np.zeros((5, 3), np.float32)
    for instances in (None, 0, 1, 10):
        select_both(probe, boxes, scores, PostprocessSpec(), (64.0, 64.0), instances)
    huge = np.array([-3e38, -3e38, 3e38, 3e38], np.float32)
    boxes[:], scores[:] = huge, 0.5
    with np.errstate(over="ignore", invalid="ignore"):
        select_both(probe, boxes, scores, PostprocessSpec(), (64.0, 64.0), None)


def test_boxes_in_the_image(probe: Probe) -> None:
    rng = np.random.default_rng(4)
    for _ in range(CASES):
        width, height, scaled_width, scaled_height = (int(side) for side in rng.integers(1, 3000, 4))
        geometry = Geometry(width, height, scaled_width, scaled_height)
        boxes = rng.uniform(-50, 700, (20, 4)).astype(np.float32)
        _, found = probe(
            "to_image",
            boxes,
            width=width,
            height=height,
            scaled_width=scaled_width,
            scaled_height=scaled_height,
        )
        assert found == [value.tobytes() for value in to_image(boxes, geometry)]


def masks(rng: np.random.Generator, number: int) -> dict[str, Any]:
    """Maps and boxes: smooth, noisy and two-valued maps; boxes inside, across the edges, around and beside."""
    count, side = int(rng.integers(1, 6)), (28, 28, 14, 4, 1)[number % 5]
    height, width = (int(limit) for limit in rng.integers(1, 200, 2))
    maps: NDArray[Any] = rng.random((count, side, side)).astype(np.float32)
    if number % 3 == 1:
        maps = cv2.blur(maps.transpose(1, 2, 0), (5, 5)).reshape(side, side, count).transpose(2, 0, 1)
    if number % 3 == 2:
        maps = np.round(maps)
    corners = np.sort(rng.uniform(-30, 230, (count, 2, 2)), axis=1).reshape(count, 4)
    if number % 4 == 1:
        corners = np.round(corners * 2) / 2  # pixel centres and edges, where rounding decides
    corners[0] = [(0, 0, width, height), (-1e6, -1e6, 1e6, 1e6), corners[0], corners[0], (5, 5, 5, 5)][number % 5]
    return {
        "probabilities": np.ascontiguousarray(maps, np.float32),
        "boxes": corners.astype(np.float32),
        "height": height,
        "width": width,
        "threshold": float(rng.choice([0.5, 0.3, 0.9])),
    }


def test_paste(probe: Probe) -> None:
    rng = np.random.default_rng(5)
    for number in range(CASES):
        case = masks(rng, number)
        expected = [rle["counts"].decode() for rle in paste(**case)]
        maps, boxes = case.pop("probabilities"), case.pop("boxes")
        answer, _ = probe("paste", maps, boxes, side=maps.shape[1], **case)
        assert answer["codes"] == expected


def test_paste_of_hard_boxes(probe: Probe) -> None:
    """Boxes of a pixel and less, turned inside out, of all magnitudes; maps of one value, or at the threshold."""
    rng = np.random.default_rng(12)
    for number in range(CASES):
        case = masks(rng, number)
        maps, boxes, count = case["probabilities"], case["boxes"], len(case["boxes"])
        if number % 5 == 0:
            boxes[:, 2:] = boxes[:, :2] + rng.choice([0, 0.25, 0.5, 1, 1e-3, 1e-6], (count, 2))
        elif number % 5 == 1:
            boxes = boxes[:, [2, 3, 0, 1]]
        elif number % 5 == 2:
            boxes *= 10.0 ** rng.integers(-6, 9, boxes.shape)
        elif number % 5 == 3:
            maps[:] = rng.choice([0, 1, case["threshold"]])
        else:
            maps[:] = np.round(maps * 4) / 4
            case["threshold"] = 0.25
        case |= {"boxes": np.ascontiguousarray(boxes, np.float32), "probabilities": maps}
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            expected = [rle["counts"].decode() for rle in paste(**case)]
        maps, boxes = case.pop("probabilities"), case.pop("boxes")
        assert probe("paste", maps, boxes, side=maps.shape[1], **case)[0]["codes"] == expected


def test_paste_into_a_large_image(probe: Probe) -> None:
    rng = np.random.default_rng(6)
    case = masks(rng, 0) | {"height": 6000, "width": 8000}
    case["boxes"] = np.array([[-10, -10, 8010, 6010], [100.3, 7.7, 7000.1, 5990.9]], np.float32)
    case["probabilities"] = rng.random((2, 28, 28)).astype(np.float32)
    expected = [rle["counts"].decode() for rle in paste(**case)]
    maps, boxes = case.pop("probabilities"), case.pop("boxes")
    assert probe("paste", maps, boxes, side=28, **case)[0]["codes"] == expected


def test_boxes_beyond_all_numbers_are_survived(probe: Probe) -> None:
    huge = np.array([[-3e38, -3e38, 3e38, 3e38], [-np.inf, -np.inf, np.inf, np.inf]], np.float32)
    maps = np.ones((2, 28, 28), np.float32)
    answer, _ = probe("paste", maps, huge, side=28, height=10, width=10, threshold=0.5)
    assert len(answer["codes"]) == 2


@pytest.mark.parametrize("seed", range(3))
def test_overlap_of_codes(probe: Probe, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(CASES // 3):
        height, width = (int(side) for side in rng.integers(1, 40, 2))
        share = rng.choice([0.0, 0.1, 0.5, 1.0], 2)
        pair = [coco_mask.encode(np.asfortranarray(rng.random((height, width)) < s, np.uint8)) for s in share]
        a, b = (rle["counts"].decode() for rle in pair)
        answer, _ = probe("overlap", a=a, b=b, size=height * width)
        assert answer["either"] == int(coco_mask.area(coco_mask.merge(pair)))
        assert answer["both"] == int(coco_mask.area(coco_mask.merge(pair, intersect=True)))


def boxes_of_all_sizes(rng: np.random.Generator, count: int, height: int, width: int) -> NDArray[np.float32]:
    """float32[count, 4] in and around the input; some lie on whole pixels, some have no area."""
    centre = rng.uniform(-20, [width + 20, height + 20], (count, 2))
    size = np.exp(rng.uniform(-1, np.log(2 * max(height, width)), (count, 2)))
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    boxes[::3] = np.round(boxes[::3])
    boxes[1::5] = boxes[1::5].clip(0, [width, height, width, height])
    return np.ascontiguousarray(boxes, np.float32)


@pytest.mark.parametrize("resolution", [7, 14])
def test_features_at_boxes(probe: Probe, resolution: int) -> None:
    rng = np.random.default_rng([13, resolution])
    for number in range(12):
        height, width = (int(side) * 32 for side in rng.integers(1, 8, 2))
        channels, canonical_size = (1, 6, 40)[number % 3], int(rng.choice([32, 112, 224]))
        maps = [rng.normal(size=(1, channels, height >> n, width >> n)).astype(np.float32) for n in range(2, 6)]
        boxes = boxes_of_all_sizes(rng, 40, height, width)
        _, (found,) = probe(
            "pool",
            *maps,
            boxes,
            channels=channels,
            height=height,
            width=width,
            canonical_size=canonical_size,
            resolution=resolution,
            threads=number % 4 + 1,
        )
        expected = Pyramid(maps, canonical_size).pool(boxes, resolution)
        # The weights are the same; the products are summed up in another order, rounded once or twice.
        np.testing.assert_allclose(np.frombuffer(found, np.float32).reshape(expected.shape), expected, atol=1e-5)
