"""NMS and top-k against the documented rule, taken literally."""

from __future__ import annotations

import numpy as np
import pytest

from edge_seg.errors import UsageError
from edge_seg.manifest import PostprocessSpec
from edge_seg.runtime.postprocess import select, to_image
from edge_seg.runtime.preprocess import letterbox

SPEC = PostprocessSpec(score_threshold=0.3, nms_iou=0.5, keep=5)


def network(pairs: list[tuple[tuple[float, ...], tuple[float, ...]]]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [R, C, 4] (one box for all classes) and scores [R, C + 1] from (box, class scores) pairs."""
    scores = np.array([s for _, s in pairs], np.float32)
    boxes = np.repeat(np.array([b for b, _ in pairs], np.float32)[:, None], scores.shape[1], axis=1)
    return boxes, np.concatenate([scores, 1 - scores.sum(1, keepdims=True)], axis=1)


def literal(boxes: np.ndarray, scores: np.ndarray, spec: PostprocessSpec) -> list[tuple[int, int]]:
    """The documented rule, one pair at a time, as (proposal, class)."""
    proposals, classes = scores.shape[0], scores.shape[1] - 1
    f = np.float32
    pairs = [
        (r, c)
        for r in range(proposals)
        for c in range(classes)
        if scores[r, c] > f(spec.score_threshold) and (boxes[r, c, :2] < boxes[r, c, 2:]).all()
    ]
    pairs.sort(key=lambda rc: (-scores[rc], rc))
    kept: list[tuple[int, int]] = []
    for r, c in pairs:
        b = boxes[r, c]
        for r2, c2 in kept:
            a = boxes[r2, c2]
            w = max(f(0), min(a[2], b[2]) - max(a[0], b[0]))
            h = max(f(0), min(a[3], b[3]) - max(a[1], b[1]))
            areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
            if c == c2 and w * h > f(spec.nms_iou) * (areas - w * h):
                break
        else:
            kept.append((r, c))
    return kept[: spec.keep]


@pytest.mark.parametrize("seed", range(12))
def test_random_scenes_follow_the_documented_rule(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 20, (60, 3, 2))
    boxes = np.concatenate([corner, corner + rng.integers(0, 12, (60, 3, 2))], axis=2).astype(np.float32)
    scores = (rng.integers(0, 10, (60, 4)) / 10).astype(np.float32)  # many ties
    spec = PostprocessSpec(score_threshold=0.2, nms_iou=0.3, keep=40)
    found = select(boxes, scores, spec)
    expected = literal(boxes, scores, spec)
    np.testing.assert_array_equal(found.classes, [c for _, c in expected])
    np.testing.assert_array_equal(found.scores, [scores[rc] for rc in expected])
    np.testing.assert_array_equal(found.boxes, [boxes[rc] for rc in expected])


def test_overlap_of_another_class_does_not_count() -> None:
    boxes, scores = network([((0, 0, 10, 10), (0.5, 0.45)), ((0, 0, 10, 11), (0.4, 0.0))])
    found = select(boxes, scores, SPEC)
    assert found.classes.tolist() == [0, 1]
    assert found.scores.tolist() == np.array([0.5, 0.45], np.float32).tolist()


def test_equal_scores_go_by_proposal_then_class() -> None:
    boxes, scores = network([((0, 0, 1, 1), (0.4, 0.4)), ((5, 0, 6, 1), (0.4, 0.4))])
    found = select(boxes, scores, SPEC)
    assert found.boxes[:, 0].tolist() == [0, 0, 5, 5]
    assert found.classes.tolist() == [0, 1, 0, 1]


def test_keeps_the_best_of_more_than_top_k() -> None:
    boxes, scores = network([((i * 2, 0, i * 2 + 1, 1), (0.4 + i / 100,)) for i in range(20)])
    found = select(boxes, scores, SPEC)
    assert found.boxes[:, 0].tolist() == [38, 36, 34, 32, 30]


def test_nothing_above_the_threshold_gives_empty_arrays_of_the_right_shape() -> None:
    boxes, scores = network([((0, 0, 5, 5), (0.1, 0.2))])
    found = select(boxes, scores, SPEC)
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)
    kinds = [str(array.dtype) for array in (found.boxes, found.scores, found.classes)]
    assert kinds == ["float32", "float32", "int64"]


def test_boxes_without_area_or_beside_the_image_are_no_candidates() -> None:
    pairs = [((5, 5, 5, 9), (0.9,)), ((6, 9, 7, 8), (0.9,)), ((30, 0, 40, 9), (0.9,)), ((-5, 0, 0, 9), (0.9,))]
    boxes, scores = network([*pairs, ((0, 0, 31, 9), (0.5,))])
    assert select(boxes, scores, SPEC, extent=(20, 30)).boxes.tolist() == [[0, 0, 31, 9]]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_instances_gives_exactly_so_many(count: int) -> None:
    # 0 beats 1 by NMS; 2 is alone; 3 and 4 are below the threshold
    pairs = [((0, 0, 9, 9), (0.9,)), ((0, 0, 9, 8), (0.8,)), ((20, 0, 29, 9), (0.4,))]
    boxes, scores = network([*pairs, ((40, 0, 49, 9), (0.1,)), ((50, 0, 50, 0), (0.2,))])
    found = select(boxes, scores, SPEC, instances=count)
    expected = np.array([0.9, 0.4, 0.8, 0.2, 0.1], np.float32)[:count]
    assert found.scores.tolist() == expected.tolist()


def test_instances_beyond_all_pairs_is_refused() -> None:
    boxes, scores = network([((0, 0, 9, 9), (0.9,))])
    with pytest.raises(UsageError, match="only 1"):
        select(boxes, scores, SPEC, instances=2)


def test_boxes_go_back_to_the_image_and_are_clipped_to_it() -> None:
    geometry = letterbox(640, 320, (320, 320))
    whole, clipped = to_image(np.array([[-5, 10, 400, 200]], np.float32), geometry)
    assert whole.tolist() == [[-10, 20, 800, 400]]
    assert clipped.tolist() == [[0, 20, 640, 320]]
