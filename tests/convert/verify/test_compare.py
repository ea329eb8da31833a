"""The stages's own copies of the rules, and what it takes for a difference."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from convert.check.tolerance import FP32
from convert.export.ties import NO_TIES, Ties
from convert.verify import reference
from convert.verify.compare import compare, compare_instances, merge
from convert.verify.reference import choose
from convert.verify.trace import Trace
from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from edge_seg.runtime import preprocess
from edge_seg.runtime.postprocess import select
from edge_seg.runtime.result import Instances


@pytest.mark.parametrize("size", [(32, 32), (64, 160), (320, 192)])
def test_the_runtimes_pixels_are_within_the_rules_limits(size: tuple[int, int]) -> None:
    spec = PreprocessSpec(size)
    rng = np.random.default_rng(0)
    noise = {f"{h} x {w}": rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((1, 1), (77, 30), (500, 301))}
    for name, image in {**reference.charts(size), **noise}.items():
        judged = reference.judge(image, preprocess.preprocess(image, spec)[0], spec)
        assert judged.ok, f"{name}: {judged.worst} {judged.bias}"


def test_a_mean_is_found_even_on_one_flat_colour() -> None:
    spec = PreprocessSpec((32, 32))
    image = np.full((32, 32, 3), 77, np.uint8)
    shifted = dataclasses.replace(spec, mean=(0.485, 0.456, 0.406 + 1 / 255))
    assert reference.judge(image, preprocess.preprocess(image, spec)[0], spec).ok
    assert not reference.judge(image, preprocess.preprocess(image, shifted)[0], spec).ok


def test_the_plain_choice_is_the_runtimes() -> None:
    rng = np.random.default_rng(1)
    corners = rng.integers(-8, 60, (40, 3, 2, 2)).astype(np.float32)
    boxes = np.concatenate([corners.min(axis=2), corners.max(axis=2)], axis=2)
    scores = (rng.integers(0, 6, (40, 4)) / 6).astype(np.float32)  # with many ties
    for spec in (PostprocessSpec(nms_iou=0.3), PostprocessSpec(score_threshold=0.4, nms_iou=0.5, keep=7)):
        rule = choose(boxes, scores, spec, (48, 50), spec.score_threshold)
        kept = select(boxes, scores, spec, extent=(48, 50))
        assert [label for _, label in rule] == kept.classes.tolist()
        assert [boxes[pair].tolist() for pair in rule] == kept.boxes.tolist()


def traced(order: list[int] | None = None, **changes: Any) -> Trace:
    """Ten proposals of one class, in ``order``; one instance."""
    order = order or list(range(10))
    rng = np.random.default_rng(2)
    features = {f"p{level}": rng.normal(size=(1, 2, 4, 4)).astype(np.float32) for level in range(2, 6)}
    boxes = np.arange(40, dtype=np.float32).reshape(10, 1, 4)[order]
    scores = rng.uniform(size=(10, 2)).astype(np.float32)[order]
    mask = np.zeros((1, 28, 28), np.float32)
    rle = {"size": [8, 8], "counts": b"02n0O0"}
    one = Instances(8, 8, np.array([[0, 0, 4, 4]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), [rle])
    return dataclasses.replace(Trace({**features, "boxes": boxes, "scores": scores}, mask, one, True), **changes)


def test_proposals_in_another_order_are_no_difference() -> None:
    differences = compare(traced(), traced([1, 0, 2, 4, 3, 5, 6, 9, 8, 7]), FP32, 1.0)
    assert all(item.ok for item in differences)
    assert all(not item.worst for item in differences)


def test_what_a_head_makes_of_dummies_is_no_difference() -> None:
    """They stand where fewer proposals were found than asked for, and are dropped."""
    one, other = traced(), traced()
    for trace in (one, other):
        trace.detect["boxes"][4:] = 0
    other.detect["scores"][4:] = 0.5
    assert all(item.ok for item in compare(one, other, FP32, 1.0))
    other.detect["scores"][3] = 0.5
    assert [item.tensor for item in compare(one, other, FP32, 1.0) if not item.ok] == ["scores"]


def test_proposals_that_hang_on_ties_are_told_not_judged() -> None:
    other = traced()
    other.detect["boxes"][6:] += 1
    other.detect["scores"][6:] = 0.5
    for ties, faults in ((NO_TIES, ["proposals", "scores"]), (Ties(proposals=2), [])):
        differences = compare(traced(), other, FP32, 1.0, ties=ties)
        assert [item.tensor for item in differences if not item.ok] == faults
    assert "4 of 10 are others, 2 after the least change" in differences[4].note


def test_what_isnt_a_number_is_out_of_tolerance() -> None:
    spoilt = traced()
    spoilt.detect["p3"][0, 0, 0, 0] = np.nan
    merged = merge([compare(traced(), traced(), FP32, 1.0), compare(traced(), spoilt, FP32, 1.0)])
    assert [(item.tensor, item.image) for item in merged if not item.ok] == [("p3", 1)]


def test_a_tensor_of_another_shape_is_told_as_such() -> None:
    other = traced()
    other.detect["p5"] = other.detect["p5"][:, :, :2]
    fault = next(item for item in compare(traced(), other, FP32, 1.0) if not item.ok)
    assert (fault.tensor, fault.note) == ("p5", "shape (1, 2, 2, 4), expected (1, 2, 4, 4)")


def test_a_second_run_that_differs() -> None:
    faults = [item.tensor for item in compare(traced(), traced(repeats=False), FP32, 1.0) if not item.ok]
    assert faults == ["second run"]


def test_instances_that_hang_on_ties_are_told_not_judged() -> None:
    one = traced().instances
    boxes = np.array([[0, 0, 4, 4], [4, 4, 8, 8]], np.float32)
    two = Instances(8, 8, boxes, np.ones(2, np.float32), np.zeros(2, np.int64), one.rles * 2)
    other = dataclasses.replace(
        two, boxes=boxes + np.array([[0], [0.5]], np.float32)
    )  # of the second, NMS kept a rival
    strict, lenient = (compare_instances(two, other, FP32, 1.0, steady=steady) for steady in (True, False))
    assert [item.tensor for item in strict if not item.ok] == ["kept boxes"]
    assert all(item.ok for item in lenient)
    assert "ties" in lenient[0].note
    none_left = compare_instances(two, dataclasses.replace(two, boxes=boxes + 1), FP32, 1.0, steady=False)
    assert not none_left[0].ok
