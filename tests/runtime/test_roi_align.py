"""RoIAlign in the runtime against paddle's, which the graphs were trained with."""

from __future__ import annotations

import os

import numpy as np
import pytest

from edge_seg.runtime.roi_align import Pyramid, levels

SEED = int(os.environ.get("EDGE_SEG_TEST_SEED", "0"))
SIDE = 320
EDGES = np.array(
    [
        [-50, -50, 400, 400],
        [0, 0, 112, 112],
        [0, 0, 224, 224],
        [10, 10, 66, 66],
        [300, 300, 330, 330],
        [400, 400, 450, 450],
        [-60, -60, -20, -20],
        [5, 5, 5.2, 300],
        [0, 319, 320, 320],
    ],
    np.float32,
)


def pyramid(channels: int = 6) -> list[np.ndarray]:
    rng = np.random.default_rng(SEED)
    return [rng.normal(size=(1, channels, SIDE // 2**n, (SIDE - 64) // 2**n)).astype(np.float32) for n in range(2, 6)]


def boxes() -> np.ndarray:
    rng = np.random.default_rng(SEED + 1)
    centre, size = rng.uniform(0, SIDE, (200, 2)), np.exp(rng.uniform(np.log(1), np.log(500), (200, 2)))
    drawn = np.concatenate([centre - size / 2, centre + size / 2], axis=1).clip(0, SIDE)
    return np.concatenate([EDGES, drawn]).astype(np.float32)


@pytest.mark.parametrize("resolution", [7, 14])
@pytest.mark.parametrize("canonical_size", [224, 112])
def test_features_are_those_of_paddles_operators(resolution: int, canonical_size: int) -> None:
    paddle = pytest.importorskip("paddle")
    from edge_seg.models.roi_align import pool

    maps, rois = pyramid(), boxes()
    tensors = [paddle.to_tensor(x) for x in maps]
    count = paddle.full([1], len(rois), "int32")
    expected = pool(
        tensors, paddle.to_tensor(rois), count, resolution=resolution, canonical_size=canonical_size
    ).numpy()
    found = Pyramid(maps, canonical_size).pool(rois, resolution)
    # Where a sample lies is rounded to 4e-6 pixels; between two of them the map may fall by 8.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_boxes_without_area_and_no_boxes_give_zeros() -> None:
    empty = np.array([[0, 0, 0, 0], [50, 50, 50, 90], [60, 60, 40, 40]], np.float32)
    assert not Pyramid(pyramid(), 224).pool(empty, 7).any()
    assert Pyramid(pyramid(), 224).pool(empty[:0], 7).shape == (0, 6, 7, 7)


def test_a_box_is_read_from_the_level_of_its_size() -> None:
    sides = np.array([0, 8, 111, 112, 223, 224, 447, 448, 4000], np.float32)
    square = np.stack([sides * 0, sides * 0, sides, sides], axis=1)
    assert levels(square, 224).tolist() == [2, 2, 2, 3, 3, 4, 4, 5, 5]
    assert levels(square, 112).tolist() == [2, 2, 3, 4, 4, 5, 5, 5, 5]
