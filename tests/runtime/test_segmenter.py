"""The whole way from image to instances, over an engine whose answer is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_seg import Segmenter
from edge_seg.errors import BundleError, EngineError, ImageError, UsageError
from edge_seg.manifest import PostprocessSpec, PreprocessSpec

PRE, POST = PreprocessSpec((64, 96)), PostprocessSpec(keep=8)


def over(engine: Any, **options: Any) -> Segmenter:
    return Segmenter.over(engine, PRE, POST, classes=("circle", "star"), **options)


def test_boxes_masks_and_classes_are_those_of_the_image(fake_engine: Any) -> None:
    found = over(fake_engine(2))(np.zeros((128, 192, 3), np.uint8))  # twice the input's size
    assert found.boxes.tolist() == [[0, 8, 12, 40], [16, 8, 28, 40]]
    assert found.classes.tolist() == [0, 1]
    assert found.masks.shape == (2, 128, 192)
    box = np.zeros((128, 192), bool)
    box[8:40, 0:12] = True
    # A mask of all ones falls off within the last half cell of 28, which is less than a pixel here
    assert (found.masks[0] ^ box).sum() <= box.sum() * 0.05
    assert not (found.masks[0] & ~box).any()


def test_mask_graph_gets_the_boxes_their_number_and_channels(fake_engine: Any) -> None:
    engine = fake_engine(3)
    over(engine)(np.zeros((64, 96, 3), np.uint8))
    given = engine.inputs["mask"]
    assert given["boxes"].tolist() == [[0, 4, 6, 20], [8, 4, 14, 20], [16, 4, 22, 20]]
    assert given["num"].tolist() == [3]
    assert given["channel"].tolist() == [0, 3, 4]  # n * 2 classes + class
    assert [given[name].dtype for name in ("boxes", "num", "channel")] == [np.float32, np.int32, np.int32]
    assert sorted(given) == ["boxes", "channel", "num", "p2", "p3", "p4", "p5"]


def test_nothing_found_has_the_right_shapes_and_skips_the_mask_graph(fake_engine: Any) -> None:
    engine = fake_engine(0)
    found, ns = over(engine).timed(np.zeros((30, 50, 3), np.uint8))
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)
    assert found.masks.shape == (0, 30, 50)
    assert (found.scores.dtype, found.classes.dtype) == (np.dtype(np.float32), np.dtype(np.int64))
    assert found.as_json() == []
    assert "mask" not in engine.inputs
    assert list(ns) == ["pre", "detect", "nms", "mask", "post"]


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (8, 8), (12, 8)])
def test_one_and_more_than_top_k(fake_engine: Any, count: int, expected: int) -> None:
    found = over(fake_engine(count))(np.zeros((64, 96, 3), np.uint8))
    assert len(found) == expected
    assert (np.diff(found.scores) <= 0).all()


def test_score_threshold_can_be_set(fake_engine: Any) -> None:
    assert over(fake_engine(5), score=0.85)(np.zeros((64, 96, 3), np.uint8)).scores.min() > 0.85


@pytest.mark.parametrize("count", [0, 1, 5, 8])
def test_instances_sets_the_number(fake_engine: Any, count: int) -> None:
    assert len(over(fake_engine(2), instances=count)(np.zeros((64, 96, 3), np.uint8))) == count


def test_same_image_twice_gives_the_same_bytes(fake_engine: Any, photo: np.ndarray) -> None:
    segmenter = over(fake_engine(6))
    assert segmenter(photo).as_json() == segmenter(photo).as_json()


def test_image_from_a_file(fake_engine: Any, photo: np.ndarray, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    segmenter = over(fake_engine(3))
    assert segmenter(tmp_path / "photo.png").as_json() == segmenter(str(tmp_path / "photo.png")).as_json()
    with pytest.raises(ImageError, match="no such image file"):
        segmenter("missing.png")


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 900, 3), (900, 1, 3), (60, 80)])
def test_odd_shapes(fake_engine: Any, shape: tuple[int, ...]) -> None:
    found = over(fake_engine(1), instances=1)(np.zeros(shape, np.uint8))
    assert (found.height, found.width) == shape[:2]
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [shape[1], shape[0]] * 2).all()


def test_very_large_image(fake_engine: Any) -> None:
    found = over(fake_engine(3))(np.zeros((6000, 8000, 3), np.uint8))
    assert len(found) == 3
    assert found.rles[0]["size"] == [6000, 8000]


def test_coco_results(fake_engine: Any) -> None:
    (result,) = over(fake_engine(1))(np.zeros((64, 96, 3), np.uint8)).to_coco(5, (3, 7))
    assert result["image_id"] == 5
    assert result["category_id"] == 3
    assert result["bbox"] == [0, 4, 6, 16]
    assert isinstance(result["segmentation"]["counts"], str)


@pytest.mark.parametrize(
    "options", [{"score": 1.5}, {"score": -0.1}, {"score": float("nan")}, {"instances": -1}, {"instances": 9}]
)
def test_options_out_of_range(fake_engine: Any, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        over(fake_engine(1), **options)


def test_an_engine_that_loses_masks_is_noticed(fake_engine: Any) -> None:
    def lose(graph: str, outputs: dict[str, np.ndarray]) -> None:
        if graph == "mask":
            outputs["masks"] = outputs["masks"][1:]

    with pytest.raises(EngineError, match="2 masks for 3 boxes"):
        over(fake_engine(3, lose))(np.zeros((64, 96, 3), np.uint8))


def test_null_engine_runs_any_bundle(make_bundle: Callable[..., Path]) -> None:
    bundle = make_bundle(target="arm", engine_version="9")
    with Segmenter(bundle, engine="null", instances=5) as segmenter:
        found = segmenter(np.zeros((640, 960, 3), np.uint8))
        assert len(found) == 5
        assert found.masks.any(axis=(1, 2)).all()
        assert segmenter.classes == ("circle", "star")
    assert len(Segmenter(bundle, engine="null")(np.zeros((9, 9, 3), np.uint8))) == 0


def test_missing_bundle() -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        Segmenter("nowhere")


def test_threads_that_no_device_has(make_bundle: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="threads: 100000"):
        Segmenter(make_bundle(), engine="null", threads=100_000)
