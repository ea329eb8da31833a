"""Batches: what is in them, and that a resumed training gets the same."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_seg.data.batch import Batch
from edge_seg.data.coco import CocoDataset, load_split
from edge_seg.data.loader import LoaderSettings, batches, make_batch, steps_per_epoch
from edge_seg.data.synth import make
from edge_seg.errors import DataError, UsageError
from edge_seg.manifest import PreprocessSpec
from edge_seg.runtime.image import read_image
from edge_seg.runtime.preprocess import preprocess

SPEC = PreprocessSpec((96, 96))


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> CocoDataset:
    folder = tmp_path_factory.mktemp("loader") / "set"
    make(folder, 9, 128, 7, 0.2)
    return load_split(folder, "train")


def fingerprint(batch: Batch) -> tuple[object, ...]:
    masks = [
        o.inside(b, 28)
        for found, boxes in zip(batch.outlines, batch.boxes, strict=True)
        for o, b in zip(found, boxes, strict=True)
    ]
    arrays: list[np.ndarray] = [batch.images, *batch.boxes, *masks, *batch.labels]
    return batch.image_ids, batch.sizes, [(array.shape, array.tobytes()) for array in arrays]


def same(a: Batch, b: Batch) -> bool:
    return fingerprint(a) == fingerprint(b)


def test_a_resumed_run_gets_the_batches_that_an_unbroken_one_gets(shapes: CocoDataset) -> None:
    settings = LoaderSettings(SPEC, batch_size=3, scale_range=(0.7, 1.4), workers=3)
    unbroken = list(itertools.islice(batches(shapes, settings, 11), 7))
    resumed = list(itertools.islice(batches(shapes, settings, 11, start_step=4), 3))
    assert all(same(a, b) for a, b in zip(unbroken[4:], resumed, strict=True))
    assert not same(unbroken[0], make_batch(shapes, settings, 12, 0))


def test_every_image_comes_once_an_epoch_in_another_order(shapes: CocoDataset) -> None:
    settings = LoaderSettings(SPEC, batch_size=3)
    count = len(shapes)
    assert steps_per_epoch(shapes, settings) == 3
    ids = [i for step in range(2 * count) for i in make_batch(shapes, settings, 0, step).image_ids]
    epochs = [ids[start : start + count] for start in range(0, 6 * count, count)]
    assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 3


def test_without_augmentation_training_sees_what_the_runtime_sees(shapes: CocoDataset) -> None:
    spec = PreprocessSpec((64, 160), color="BGR", mean=(0.5, 0.4, 0.3), pad=-1.0)
    batch = make_batch(shapes, LoaderSettings(spec, flip=0.0), 0, 0)
    record = next(record for record in shapes.images if record.id == batch.image_ids[0])
    expected, geometry = preprocess(read_image(record.path), spec)
    np.testing.assert_array_equal(batch.images, expected)
    assert batch.sizes == [(geometry.scaled_height, geometry.scaled_width)]


@pytest.mark.parametrize(
    "settings",
    [
        LoaderSettings(SPEC, batch_size=4),
        LoaderSettings(SPEC, batch_size=4, scale_range=(0.5, 2.0), flip=1.0),
        LoaderSettings(SPEC, batch_size=4, short_sides=(50, 70, 90), long_side=100),
    ],
    ids=["letterbox", "zoom", "short side"],
)
def test_targets_have_the_shapes_and_places_that_the_model_counts_on(
    shapes: CocoDataset, settings: LoaderSettings
) -> None:
    for step in range(4):
        batch = make_batch(shapes, settings, 3, step)
        count, channels, height, width = batch.images.shape
        assert (count, channels, height % 32, width % 32) == (4, 3, 0, 0)
        assert batch.images.dtype == np.float32
        for boxes, labels, outlines, (h, w) in zip(batch.boxes, batch.labels, batch.outlines, batch.sizes, strict=True):
            assert [str(array.dtype) for array in (boxes, labels)] == ["float32", "int64"]
            assert boxes.shape == (len(labels), 4)
            assert h <= height
            assert w <= width
            for (x0, y0, x1, y1), outline in zip(boxes, outlines, strict=True):
                assert 0 <= x0 < x1 <= w
                assert 0 <= y0 < y1 <= h
                side = max(height, width)
                x, y, columns, rows = cv2.boundingRect(outline.inside((0, 0, side, side), side)[:h, :w].copy())
                np.testing.assert_allclose([x0, y0, x1, y1], [x, y, x + columns, y + rows], atol=2)


def test_threads_end_when_the_iterator_is_closed(shapes: CocoDataset) -> None:
    def alive() -> int:
        return sum(thread.name.startswith("loader") for thread in threading.enumerate())

    source = batches(shapes, LoaderSettings(SPEC, workers=2), 0)
    next(source)
    assert alive() == 2
    source.close()
    end = time.monotonic() + 5
    while alive() and time.monotonic() < end:
        time.sleep(0.01)
    assert alive() == 0


def test_images_without_objects_are_trained_on(write: Callable[..., Path], coco: dict[str, Any]) -> None:
    dataset = load_split(write(coco), "train")
    batch = make_batch(dataset, LoaderSettings(SPEC, batch_size=2), 0, 0)
    assert sorted(batch.image_ids) == [1, 2]
    assert sorted(len(labels) for labels in batch.labels) == [0, 1]
    empty = batch.image_ids.index(2)
    assert batch.boxes[empty].shape == (0, 4)
    assert batch.outlines[empty] == []


@pytest.mark.parametrize("workers", [1, 3])
def test_what_goes_wrong_in_a_thread_reaches_the_user(
    write: Callable[..., Path], coco: dict[str, Any], workers: int
) -> None:
    root = write(coco)
    dataset = load_split(root, "train")
    (root / "images/2.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"2\.png"):
        list(itertools.islice(batches(dataset, LoaderSettings(SPEC, workers=workers), 0), 4))


def test_an_image_of_another_size_is_named_with_both(write: Callable[..., Path], coco: dict[str, Any]) -> None:
    root = write(coco)
    dataset = load_split(root, "train")
    cv2.imwrite(str(root / "images/1.png"), np.zeros((61, 80, 3), np.uint8))
    with pytest.raises(DataError, match=r"1\.png: 80 x 61 .* 80 x 60"):
        list(itertools.islice(batches(dataset, LoaderSettings(SPEC), 0), 4))


def test_an_image_that_exif_turns_is_explained(write: Callable[..., Path], coco: dict[str, Any]) -> None:
    coco["images"][0]["file_name"] = "1.jpg"
    root = write(coco)
    file = root / "images/1.jpg"
    tiff = b"II*\0\x08\0\0\0" + b"\x01\0" + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + b"\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    jpeg = file.read_bytes()
    file.write_bytes(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:])
    with pytest.raises(DataError) as caught:
        list(itertools.islice(batches(load_split(root, "train"), LoaderSettings(SPEC), 0), 4))
    assert "EXIF" in caught.value.remedy


@pytest.mark.parametrize(
    "values",
    [
        {"batch_size": 0},
        {"scale_range": (1.2, 0.8)},
        {"scale_range": (0.0, 1.0)},
        {"short_sides": (800,), "long_side": 600},
        {"flip": 1.5},
    ],
)
def test_settings_that_cannot_be_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        LoaderSettings(SPEC, **values)
