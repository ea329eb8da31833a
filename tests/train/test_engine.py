"""A model in training behind the runtime's Segmenter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_seg.errors import UsageError
from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from edge_seg.models.build import default_proposals, randomize
from edge_seg.runtime.segmenter import Segmenter
from edge_seg.train import device
from edge_seg.train.engine import DynamicEngine
from edge_seg.train.weights import build


@pytest.fixture(scope="module")
def engine() -> DynamicEngine:
    model = build("mask_rcnn_tiny_fpn", 3, False)
    randomize(model, 5)
    return DynamicEngine(model, (64, 96))


def test_graphs_have_the_shapes_of_a_bundle(engine: DynamicEngine) -> None:
    outputs = engine.run("detect", {"image": np.zeros((1, 3, 64, 96), np.float32)})
    count = default_proposals((64, 96))
    assert outputs["boxes"].shape == (count, 3, 4)
    assert outputs["scores"].shape == (count, 4)
    assert [outputs[f"p{level}"].shape[2:] for level in (2, 3, 4, 5)] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    boxes = {"boxes": np.array([[0, 0, 30, 30], [5, 5, 60, 40]], np.float32), "num": np.array([2], np.int32)}
    features = {name: outputs[name] for name in ("p2", "p3", "p4", "p5")}
    masks = engine.run("mask", {**features, **boxes, "channel": np.array([0, 4], np.int32)})["masks"]
    assert masks.shape == (2, 28, 28)
    assert masks.min() >= 0
    assert masks.max() <= 1


def test_a_segmenter_over_it_gives_the_same_twice(engine: DynamicEngine) -> None:
    segmenter = Segmenter.over(
        engine, PreprocessSpec((64, 96)), PostprocessSpec(), classes=("a", "b", "c"), instances=5
    )
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    first, second = segmenter(image), segmenter(image)
    assert len(first) == 5
    assert first.as_json() == second.as_json()


def test_gpu_without_gpu_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.paddle.device, "is_compiled_with_cuda", lambda: False)
    with pytest.raises(UsageError, match="without GPU support"):
        device.use("gpu")
    monkeypatch.setattr(device.paddle.device, "is_compiled_with_cuda", lambda: True)
    monkeypatch.setattr(device.paddle.device.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match="sees no GPU"):
        device.use("gpu")


def test_thread_count_of_the_user_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[int] = []
    monkeypatch.setattr(device.paddle.base.core, "set_num_threads", asked.append)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    device.use("cpu")
    assert asked == []
    device.use("cpu", threads=3)
    assert asked == [3]
