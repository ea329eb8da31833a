"""Preprocessing against its rule in float64."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_seg.manifest import PreprocessSpec
from edge_seg.runtime.preprocess import letterbox, normalize, preprocess


def some_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_values_are_exactly_the_float64_rule_rounded_once() -> None:
    spec = PreprocessSpec((32, 64), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
    image = some_image(32, 64)
    blob, _ = preprocess(image, spec)
    rgb = image[:, :, ::-1].transpose(2, 0, 1).astype(np.float64)
    mean, std = np.array(spec.mean)[:, None, None], np.array(spec.std)[:, None, None]
    np.testing.assert_array_equal(blob[0], ((rgb / 255.0 - mean) / std).astype(np.float32))
    assert blob.dtype == np.float32


def test_bgr_models_get_bgr() -> None:
    image = some_image(32, 32)
    rgb, _ = preprocess(image, PreprocessSpec((32, 32), mean=(0, 0, 0), std=(1, 1, 1)))
    bgr, _ = preprocess(image, PreprocessSpec((32, 32), color="BGR", mean=(0, 0, 0), std=(1, 1, 1)))
    np.testing.assert_array_equal(bgr[0], rgb[0, ::-1])


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1, 1), (7, 2000), (2000, 7), (333, 97), (96, 64)])
def test_image_lies_at_the_upper_left_and_the_rest_is_padding(width: int, height: int) -> None:
    spec = PreprocessSpec((64, 96), pad=-7.5)
    image = some_image(height, width)
    blob, geometry = preprocess(image, spec)
    w, h = geometry.scaled_width, geometry.scaled_height
    assert blob.shape == (1, 3, 64, 96)
    assert 1 <= h <= 64
    assert 1 <= w <= 96
    assert h == 64 or w == 96
    assert (blob[0, :, h:] == -7.5).all()
    assert (blob[0, :, :, w:] == -7.5).all()
    scaled = np.empty((3, h, w), np.float32)
    normalize(cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR).astype(np.uint8), spec, scaled)
    np.testing.assert_array_equal(blob[0, :, :h, :w], scaled)


def test_sides_are_rounded_half_up() -> None:
    # 0.5 * 5 = 2.5 → 3, where banker's rounding would give 2
    geometry = letterbox(64, 5, (32, 32))
    assert (geometry.scaled_width, geometry.scaled_height) == (32, 3)
    assert geometry.scale_x == 0.5
    assert geometry.scale_y == 3 / 5


def test_same_image_twice_gives_the_same_bytes() -> None:
    spec = PreprocessSpec((64, 64))
    image = some_image(120, 77)
    assert preprocess(image, spec)[0].tobytes() == preprocess(image, spec)[0].tobytes()
