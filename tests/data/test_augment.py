"""Every change of an image that training knows: it is seen, and the targets go with it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from edge_seg.data.coco import CocoDataset, load_split
from edge_seg.data.colors import Jitter
from edge_seg.data.loader import LoaderSettings, batches, make_batch
from edge_seg.data.synth import make
from edge_seg.errors import UsageError
from edge_seg.manifest import PreprocessSpec

SPEC = PreprocessSpec((96, 96), pad=-9.0)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> CocoDataset:
    folder = tmp_path_factory.mktemp("augment") / "set"
    make(folder, 9, 128, 7, 0.2)
    return load_split(folder, "train")


def batch(shapes: CocoDataset, step: int = 0, **options: Any) -> Any:
    return make_batch(shapes, LoaderSettings(SPEC, **{"batch_size": 2, "flip": 0.0, **options}), 3, step)


def test_turned_upside_down_with_its_targets(shapes: CocoDataset) -> None:
    plain, turned = batch(shapes), batch(shapes, vertical_flip=1.0)
    np.testing.assert_allclose(turned.images, plain.images[:, :, ::-1], atol=0.08)
    for before, after, outlines, kept in zip(plain.boxes, turned.boxes, plain.outlines, turned.outlines, strict=True):
        np.testing.assert_allclose(
            after, np.stack([before[:, 0], 96 - before[:, 3], before[:, 2], 96 - before[:, 1]], 1)
        )
        for box, one, other in zip(before, outlines, kept, strict=True):
            moved = (box[0], 96 - box[3], box[2], 96 - box[1])
            assert (one.inside(box, 28)[::-1] != other.inside(moved, 28)).mean() < 0.04


def test_light_and_colours_change_and_nothing_else(shapes: CocoDataset) -> None:
    plain, changed = batch(shapes), batch(shapes, color_jitter=0.5)
    assert np.abs(plain.images - changed.images).mean() > 0.05
    assert all(np.array_equal(a, b) for a, b in zip(plain.boxes, changed.boxes, strict=True))
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    same = Jitter(1.0, 1.0, 1.0, 0.0)(image)
    assert np.abs(same.astype(int) - image).max() <= 1
    grey = Jitter(1.0, 1.0, 0.0, 0.0)(image)
    assert int(np.ptp(grey, axis=2).max()) <= 1
    assert Jitter(0.5, 1.0, 1.0, 0.0)(image).mean() == pytest.approx(image.mean() / 2, rel=0.02)


@pytest.mark.parametrize("mode", [{}, {"short_sides": (64, 96), "long_side": 128}, {"scale_range": (0.99, 1.01)}])
def test_a_crop_shows_less_and_larger(shapes: CocoDataset, mode: dict[str, Any]) -> None:
    plain = [np.concatenate(batch(shapes, step, **mode).boxes) for step in range(6)]
    cropped = [np.concatenate(batch(shapes, step, crop=1.0, **mode).boxes) for step in range(6)]
    assert sum(map(len, cropped)) < sum(map(len, plain))

    def largest(found: list[Any]) -> float:
        return float(np.mean([np.sqrt((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])).max() for b in found if len(b)]))

    assert largest(cropped) > largest(plain)


@pytest.mark.parametrize("mode", [{}, {"short_sides": (64, 96), "long_side": 128}])
def test_an_expanded_image_lies_on_padding(shapes: CocoDataset, mode: dict[str, Any]) -> None:
    found = batch(shapes, expand=1.0, **mode)
    assert (found.images == SPEC.pad).all(axis=1).mean() > 0.2
    plain, wide = batch(shapes, **mode).boxes[0], found.boxes[0]
    assert len(plain) == len(wide)
    assert (wide[:, 2] - wide[:, 0] < plain[:, 2] - plain[:, 0]).all()


def test_a_mosaic_joins_four_images(shapes: CocoDataset) -> None:
    plain = sum(len(labels) for step in range(4) for labels in batch(shapes, step).labels)
    found = [batch(shapes, step, mosaic=1.0) for step in range(4)]
    assert sum(len(labels) for one in found for labels in one.labels) > 1.5 * plain


@pytest.mark.parametrize(
    "options",
    [{"crop": 1.0}, {"expand": 1.0}, {"mosaic": 1.0}, {"crop": 0.5, "expand": 0.5, "scale_range": (0.5, 2.0)}],
)
def test_boxes_and_masks_lie_on_what_is_shown(shapes: CocoDataset, options: dict[str, Any]) -> None:
    for step in range(4):
        found = batch(shapes, step, flip=0.5, vertical_flip=0.5, **options)
        for image, boxes, outlines, (height, width) in zip(
            found.images, found.boxes, found.outlines, found.sizes, strict=True
        ):
            shown = (image != SPEC.pad).any(axis=0)
            for box, outline in zip(boxes, outlines, strict=True):
                assert 0 <= box[0] < box[2] <= width
                assert 0 <= box[1] < box[3] <= height
                mask = outline.inside((0, 0, 96, 96), 96).astype(bool)
                assert mask.any()
                assert not (mask & ~shown).any()
                rows, columns = np.nonzero(mask)
                around = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                np.testing.assert_allclose(box, around, atol=2)


def test_processes_make_what_threads_make(shapes: CocoDataset) -> None:
    settings = LoaderSettings(SPEC, batch_size=2, scale_range=(0.7, 1.4), mosaic=0.5, color_jitter=0.3)
    threads = list(itertools.islice(batches(shapes, settings, 11, 2), 3))
    source = batches(shapes, LoaderSettings(**{**vars(settings), "processes": 2}), 11, 2)
    processes = list(itertools.islice(source, 3))
    source.close()
    for one, other in zip(threads, processes, strict=True):
        assert np.array_equal(one.images, other.images)
        assert one.image_ids == other.image_ids
        assert all(np.array_equal(a, b) for a, b in zip(one.boxes, other.boxes, strict=True))


def test_a_mosaic_of_unequal_windows_is_refused() -> None:
    with pytest.raises(UsageError, match="one size"):
        LoaderSettings(SPEC, mosaic=0.5, short_sides=(64,), long_side=96)
    with pytest.raises(UsageError, match="crop 2"):
        LoaderSettings(SPEC, crop=2)
