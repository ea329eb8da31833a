"""Between graphs of convolutions alone, the runtime decides."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_seg.bundle import Bundle, open_bundle, write_manifest
from edge_seg.errors import BundleError
from edge_seg.manifest import CONVOLUTION_GRAPHS, FEATURES, GraphSpec, ProposalSpec, TensorSpec
from edge_seg.runtime.engines import open_engine
from edge_seg.runtime.engines.three_graphs import in_two_steps
from edge_seg.runtime.exact import sigmoid, softmax
from edge_seg.runtime.proposals import Proposer
from edge_seg.runtime.roi_align import Pyramid
from edge_seg.runtime.segmenter import Segmenter

Arrays = dict[str, np.ndarray]


def f32(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name, shape, "float32")


RULES = ProposalSpec((8.0, 16.0, 32.0, 64.0, 128.0), 100, 0.7, (10.0, 10.0, 5.0, 5.0))
MAPS = (*(f32(f"p{level}", 1, 4, 64 >> level, 96 >> level) for level in range(2, 6)), f32("p6", 1, 4, 1, 2))
GRAPHS = {
    "trunk": GraphSpec({}, (f32("image", 1, 3, 64, 96),), MAPS),
    "rpn": GraphSpec({}, (f32("map", 1, 4, -1, -1),), (f32("logits", 1, 3, -1, -1), f32("deltas", 1, 12, -1, -1))),
    "box_head": GraphSpec({}, (f32("pooled", -1, 4, 7, 7),), (f32("logits", -1, 3), f32("deltas", -1, 8))),
    "mask_head": GraphSpec({}, (f32("pooled", -1, 4, 14, 14),), (f32("logits", -1, 2, 28, 28),)),
}


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Bundle:
    made = open_bundle(make_bundle())
    changes: dict[str, Any] = {"graphs": GRAPHS, "canonical_size": 32, "rpn": RULES}
    return dataclasses.replace(made, manifest=dataclasses.replace(made.manifest, **changes))


class Graphs:
    """Maps and logits of noise; ``seen`` are the inputs of each graph, of `rpn` one a level."""

    name = "fake"

    def __init__(self, lift: float = 0.0) -> None:
        rng = np.random.default_rng(0)
        self.maps = {t.name: rng.normal(size=t.shape).astype(np.float32) for t in MAPS}
        self.lift = lift
        self.seen: dict[str, list[Arrays]] = {name: [] for name in CONVOLUTION_GRAPHS}

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        self.seen[graph].append(inputs)
        if graph == "trunk":
            return dict(self.maps)
        (given,) = inputs.values()
        rng = np.random.default_rng(given.size)
        batch, sides = len(given), given.shape[2:]
        of_graph: dict[str, dict[str, tuple[int, ...]]] = {
            "rpn": {"logits": (1, 3, *sides), "deltas": (1, 12, *sides)},
            "box_head": {"logits": (batch, 3), "deltas": (batch, 8)},
            "mask_head": {"logits": (batch, 2, 28, 28)},
        }
        shapes = of_graph[graph]
        made = {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
        if graph == "rpn":
            made["deltas"][0, 2::4] -= self.lift
        return made

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}

    def close(self) -> None:
        pass


IMAGE = {"image": np.zeros((1, 3, 64, 96), np.float32)}


def test_what_lies_between_the_graphs(bundle: Bundle) -> None:
    graphs = Graphs()
    engine = in_two_steps(graphs, GRAPHS, bundle.manifest)
    found = engine.run("detect", IMAGE)
    assert set(found) == {"boxes", "scores", *FEATURES}
    levels = [Graphs().run("rpn", inputs) for inputs in graphs.seen["rpn"]]
    assert [inputs["map"].shape for inputs in graphs.seen["rpn"]] == [spec.shape for spec in MAPS]
    proposer = Proposer(RULES, (64, 96), 12)
    rois = proposer.propose([x["logits"] for x in levels], [x["deltas"] for x in levels])
    pyramid = Pyramid([graphs.maps[name] for name in FEATURES], 32)
    (given,) = graphs.seen["box_head"]
    np.testing.assert_array_equal(given["pooled"], pyramid.pool(rois, 7))
    head = Graphs().run("box_head", given)
    np.testing.assert_array_equal(found["boxes"], proposer.decode(rois, head["deltas"]))
    np.testing.assert_array_equal(found["scores"], softmax(head["logits"]))

    chosen = {"boxes": rois[2:4], "num": np.array([2], np.int32), "channel": np.array([1, 2], np.int32)}
    masks = engine.run("mask", {**{name: found[name] for name in FEATURES}, **chosen})["masks"]
    (given,) = graphs.seen["mask_head"]
    np.testing.assert_array_equal(given["pooled"], pyramid.pool(rois[2:4], 14))
    logits = Graphs().run("mask_head", given)["logits"]
    np.testing.assert_array_equal(masks, sigmoid(np.stack([logits[0, 1], logits[1, 0]])))


def test_where_proposals_are_missing_the_head_sees_one_box_without_area_for_all(bundle: Bundle) -> None:
    graphs = Graphs(lift=60)  # widths of nothing: one box without area for each of five levels is left
    found = in_two_steps(graphs, GRAPHS, bundle.manifest).run("detect", IMAGE)
    assert len(graphs.seen["box_head"][0]["pooled"]) == 6
    assert found["boxes"].shape == (12, 2, 4)
    assert not found["boxes"].any()
    np.testing.assert_array_equal(found["scores"][5:], np.repeat(found["scores"][5:6], 7, axis=0))


def test_a_bundle_runs_on_the_null_engine(bundle: Bundle) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    with Segmenter(bundle, engine="null", instances=3) as segmenter:
        found = segmenter(image)
        assert len(found) == 3
        assert all(mask.any() for mask in found.masks)
        segmenter.instances = None
        assert len(segmenter(image)) == 0


@pytest.mark.parametrize(
    ("graph", "side", "change"),
    [
        ("trunk", "outputs", lambda specs: specs[:-1]),
        ("trunk", "outputs", lambda specs: [*specs[:-1], f32("p6", 1, 4, 2, 2)]),
        ("rpn", "inputs", lambda specs: [f32("map", 1, 5, -1, -1)]),
        ("rpn", "outputs", lambda specs: [f32("logits", 1, 4, -1, -1), specs[1]]),
        ("rpn", "outputs", lambda specs: [f32("logits", 1, 3, 8, 8), specs[1]]),
        ("box_head", "inputs", lambda specs: [f32("pooled", -1, 4, 7, 6)]),
        ("box_head", "outputs", lambda specs: [specs[0], f32("deltas", -1, 4)]),
        ("mask_head", "outputs", lambda specs: [f32("logits", -1, 3, 28, 28)]),
    ],
)
def test_other_tensors_are_refused(bundle: Bundle, graph: str, side: str, change: Callable[[Any], Any]) -> None:
    sides: dict[str, Any] = {side: tuple(change(list(getattr(GRAPHS[graph], side))))}
    changed = dataclasses.replace(GRAPHS[graph], **sides)
    manifest = dataclasses.replace(bundle.manifest, graphs={**GRAPHS, graph: changed})
    with pytest.raises(BundleError, match=f"the {side} of the graph '{graph}'"):
        open_engine(dataclasses.replace(bundle, manifest=manifest), "null")


@pytest.mark.parametrize("key", ["canonical_size", "rpn"])
def test_rules_that_are_missing_are_refused(bundle: Bundle, key: str) -> None:
    changes: dict[str, Any] = {key: None}
    manifest = dataclasses.replace(bundle.manifest, **changes)
    with pytest.raises(BundleError, match=f"no {key}"):
        open_engine(dataclasses.replace(bundle, manifest=manifest), "null")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"anchor_sizes": (8.0,) * 4}, "anchor_sizes"),
        ({"anchor_sizes": (8.0, 16.0, 32.0, 64.0, 0.0)}, "anchor_sizes"),
        ({"before_nms": 0}, "before_nms"),
        ({"nms_iou": 1.5}, "nms_iou"),
        ({"box_weights": (10.0, 10.0, 5.0, 0.0)}, "box_weights"),
    ],
)
def test_rules_out_of_their_range_are_refused(make_bundle: Any, change: dict[str, Any], field: str) -> None:
    folder = make_bundle()
    manifest = dataclasses.replace(open_bundle(folder).manifest, rpn=dataclasses.replace(RULES, **change))
    write_manifest(folder, manifest)
    with pytest.raises(BundleError, match=f"rpn.{field}"):
        open_bundle(folder)
