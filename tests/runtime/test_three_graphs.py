"""A bundle of three graphs does the steps of one with two."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_seg.bundle import Bundle, open_bundle
from edge_seg.errors import BundleError
from edge_seg.manifest import FEATURES, GraphSpec, TensorSpec
from edge_seg.runtime.engines import open_engine
from edge_seg.runtime.engines.three_graphs import in_two_steps
from edge_seg.runtime.roi_align import Pyramid
from edge_seg.runtime.segmenter import Segmenter

Arrays = dict[str, np.ndarray]


def f32(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name, shape, "float32")


MAPS = tuple(f32(f"p{level}", 1, 4, 64 >> level, 96 >> level) for level in range(2, 6))
THREE = {
    "trunk": GraphSpec({}, (f32("image", 1, 3, 64, 96),), (f32("rois", 12, 4), *MAPS)),
    "box_head": GraphSpec(
        {}, (f32("pooled", 12, 4, 7, 7), f32("rois", 12, 4)), (f32("boxes", 12, 2, 4), f32("scores", 12, 3))
    ),
    "mask_head": GraphSpec(
        {}, (f32("pooled", -1, 4, 14, 14), TensorSpec("channel", (-1,), "int32")), (f32("masks", -1, 28, 28),)
    ),
}


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Bundle:
    made = open_bundle(make_bundle())
    return dataclasses.replace(made, manifest=dataclasses.replace(made.manifest, graphs=THREE, canonical_size=32))


class Graphs:
    """Trunk and heads that hand on what they are given; ``seen`` are the graphs' inputs."""

    name = "fake"

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.maps = {t.name: rng.normal(size=t.shape).astype(np.float32) for t in MAPS}
        corner = rng.uniform(0, 40, (12, 2))
        self.rois = np.concatenate([corner, corner + 20], axis=1).astype(np.float32)
        self.seen: dict[str, Arrays] = {}

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        self.seen[graph] = inputs
        if graph == "trunk":
            return {"rois": self.rois, **self.maps}
        if graph == "box_head":
            boxes = np.repeat(inputs["rois"][:, None], 2, axis=1)
            return {"boxes": boxes, "scores": np.zeros((12, 3), np.float32)}
        return {"masks": np.ones((len(inputs["pooled"]), 28, 28), np.float32)}

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}

    def close(self) -> None:
        pass


def test_the_heads_get_what_lies_in_the_boxes(bundle: Bundle) -> None:
    graphs = Graphs()
    engine = in_two_steps(graphs, THREE, bundle.manifest)
    found = engine.run("detect", {"image": np.zeros((1, 3, 64, 96), np.float32)})
    assert set(found) == {"boxes", "scores", *FEATURES}
    pyramid = Pyramid([graphs.maps[name] for name in FEATURES], 32)
    np.testing.assert_array_equal(graphs.seen["box_head"]["pooled"], pyramid.pool(graphs.rois, 7))
    chosen = {"boxes": graphs.rois[3:5], "num": np.array([2], np.int32), "channel": np.array([1, 2], np.int32)}
    masks = engine.run("mask", {**{name: found[name] for name in FEATURES}, **chosen})
    assert masks["masks"].shape == (2, 28, 28)
    np.testing.assert_array_equal(graphs.seen["mask_head"]["pooled"], pyramid.pool(graphs.rois[3:5], 14))
    assert graphs.seen["mask_head"]["channel"].tolist() == [1, 2]


def test_masks_of_other_maps_than_the_last_images(bundle: Bundle) -> None:
    graphs = Graphs()
    engine = in_two_steps(graphs, THREE, bundle.manifest)
    found = engine.run("detect", {"image": np.zeros((1, 3, 64, 96), np.float32)})
    chosen = {"boxes": graphs.rois[:1], "num": np.array([1], np.int32), "channel": np.array([0], np.int32)}
    engine.run("mask", {**{name: 2 * found[name] for name in FEATURES}, **chosen})
    twice = graphs.seen["mask_head"]["pooled"]
    engine.run("mask", {**{name: found[name] for name in FEATURES}, **chosen})
    np.testing.assert_array_equal(twice, 2 * graphs.seen["mask_head"]["pooled"])


def test_two_graphs_are_left_alone(bundle: Bundle) -> None:
    graphs = Graphs()
    assert in_two_steps(graphs, {"detect": THREE["trunk"], "mask": THREE["mask_head"]}, bundle.manifest) is graphs


def test_a_bundle_runs_on_the_null_engine(bundle: Bundle) -> None:
    with Segmenter(bundle, engine="null", instances=3) as segmenter:
        found = segmenter(np.zeros((48, 64, 3), np.uint8))
    assert len(found) == 3
    assert all(mask.any() for mask in found.masks)


@pytest.mark.parametrize(
    ("graph", "side", "change"),
    [
        ("trunk", "outputs", lambda specs: specs[1:]),
        ("trunk", "outputs", lambda specs: [f32("rois", 11, 4), *specs[1:]]),
        ("trunk", "outputs", lambda specs: [*specs[:1], f32("p2", 1, 4, 8, 8), *specs[2:]]),
        ("box_head", "inputs", lambda specs: [f32("pooled", 12, 5, 7, 7), *specs[1:]]),
        ("box_head", "inputs", lambda specs: [f32("pooled", 12, 4, 7, 6), *specs[1:]]),
        ("box_head", "outputs", lambda specs: specs[:1]),
        ("mask_head", "inputs", lambda specs: [f32("pooled", -1, 4), *specs[1:]]),
        ("mask_head", "outputs", lambda specs: []),
    ],
)
def test_other_tensors_are_refused(bundle: Bundle, graph: str, side: str, change: Callable[[Any], Any]) -> None:
    sides: dict[str, Any] = {side: tuple(change(list(getattr(THREE[graph], side))))}
    changed = dataclasses.replace(THREE[graph], **sides)
    manifest = dataclasses.replace(bundle.manifest, graphs={**THREE, graph: changed})
    with pytest.raises(BundleError, match=f"the {side} of the graph '{graph}'"):
        open_engine(dataclasses.replace(bundle, manifest=manifest), "null")


@pytest.mark.parametrize("missing", ["box_head", "mask_head"])
def test_a_missing_head_is_refused(bundle: Bundle, missing: str) -> None:
    graphs = {name: spec for name, spec in THREE.items() if name != missing}
    with pytest.raises(BundleError, match=missing):
        open_engine(dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, graphs=graphs)), "null")


def test_three_graphs_without_the_canonical_size_are_refused(bundle: Bundle) -> None:
    manifest = dataclasses.replace(bundle.manifest, canonical_size=None)
    with pytest.raises(BundleError, match="canonical_size"):
        open_engine(dataclasses.replace(bundle, manifest=manifest), "null")
