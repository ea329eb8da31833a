"""Every layer and all five losses are PaddleDetection's: golden files made by its own classes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_seg.data.batch import Batch
from edge_seg.data.mask_target import Polygons

pytest.importorskip("paddle", reason="needs the extra 'train'")

from edge_seg.models.build import build_model, randomize
from edge_seg.models.mask_rcnn import best_of_levels
from edge_seg.models.rpn import propose
from edge_seg.paddle_env import paddle

from .golden_case import ALL, CLASSES, LOSSES, MODELS, SEED, SHOWN, SIZE, make_case, summary

FOLDER = Path(__file__).parent / "golden"


@pytest.fixture(scope="module", params=MODELS)
def both(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A model with the golden weights, and what PaddleDetection's gave."""
    model = build_model(request.param, CLASSES)
    randomize(model, SEED)
    model.freeze(5)
    model.train()
    return model, np.load(FOLDER / f"{request.param}.npz")


def compare(name: str, value: Any, golden: Any, tolerance: float) -> None:
    for part, found in summary(name, np.array(value)).items():
        scale = max(1e-6, float(np.abs(golden[part]).max()))
        np.testing.assert_allclose(found, golden[part], atol=tolerance * scale, rtol=0, err_msg=part)


def test_all_maps_and_logits(both: tuple[Any, Any]) -> None:
    model, golden = both
    with paddle.no_grad():
        maps = model.backbone(paddle.to_tensor(make_case().images))
        pyramid = model.neck(maps)
        logits, deltas = model.rpn_head(pyramid)
    for name, found in (("backbone", maps), ("neck", pyramid), ("rpn_logits", logits), ("rpn_deltas", deltas)):
        for i, value in enumerate(found):
            compare(f"{name}{i}", value, golden, 1e-5)


def test_as_many_proposals_inside_the_images(both: tuple[Any, Any]) -> None:
    model, golden = both
    with paddle.no_grad():
        logits, deltas = model.rpn_head(model.features(paddle.to_tensor(make_case().images)))
        anchors = [paddle.to_tensor(a) for a in model.anchors(SIZE)]
        sizes = paddle.to_tensor(np.array(SHOWN, np.float32))
        levels = propose(logits, deltas, anchors, sizes, before=2000, after=1000)
    counts = [len(boxes) for boxes in best_of_levels(levels, 1000)]
    # Boxes at the very threshold of the suppression may fall to either side on another machine.
    np.testing.assert_allclose(counts, golden["proposals.values"], atol=2)


def test_the_five_losses(both: tuple[Any, Any]) -> None:
    model, golden = both
    case = make_case()
    model.settings = dataclasses.replace(model.settings, rpn_samples=ALL, box_samples=ALL)
    outlines = [[Polygons((polygon,)) for polygon in found] for found in case.polygons]
    batch = Batch(case.images, case.boxes, case.labels, outlines, list(SHOWN), [1, 2])  # type: ignore[arg-type]
    with paddle.no_grad():
        losses = model.loss(batch, [np.random.default_rng(0)] * 2)
    for name in LOSSES:
        assert float(losses[name]) == pytest.approx(float(golden[f"{name}.values"][0]), rel=1e-4), name
