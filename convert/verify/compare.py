"""Two stages' traces of one image, tensor by tensor in the order of the way: how far they differ, and where.

Shapes: R proposals, C classes, N instances, h, w the image's sides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.export.ties import NO_TIES, Ties, pair_proposals
from convert.verify.trace import Trace
from edge_seg.manifest import FEATURES
from edge_seg.runtime.parity import Tolerance, confident, confident_of, mask_difference, match, only
from edge_seg.runtime.result import Instances
from edge_seg.verification import Difference
from edge_seg.words import counted

# Proposals that may be others: where two scores differ in their last bits, the order of proposals, and which is the
# last to be taken, hangs on rounding.
STRAYS, STRAY_SHARE = 2, 0.01
# Instances of an image with ties that may be others, and proposals, for each that a shake changes.
TIED, TIED_PROPOSALS = 0.5, 2


def difference_of(
    tensor: str, differences: NDArray[np.floating[Any]], unit: str, limit: float | None, note: str = ""
) -> Difference:
    """The difference of absolute ``differences``; none of them is no difference. NaN is out of any limit."""
    worst = float(differences.max(initial=0.0))
    mean = float(differences.mean()) if differences.size else 0.0
    return Difference(tensor, worst, mean, unit, limit, limit is None or worst <= limit, note)


def compare(
    expected: Trace, found: Trace, limit: Tolerance, scale: float, *, exact: bool = True, ties: Ties = NO_TIES
) -> list[Difference]:
    """All differences of one image; ``scale`` is image pixels to a pixel of the input, at least 1.

    Unless ``exact`` (a precision that changes every value), features and proposals are told, not judged; where no
    instance is sure enough to be judged, the features are, as in a conversion. With ``ties``, which proposals or
    instances there are hangs on rounding: those are judged that both sides have.
    """
    steady = not ties.detections
    inner = limit if exact else None
    sure = confident(expected.instances, found.instances, limit.least_score)
    expected, found = (_only(trace, keep) for trace, keep in zip((expected, found), sure, strict=True))
    pairs = _pairs(expected.instances, found.instances, limit, scale, steady)
    *kept, masks = _instances(expected.instances, found.instances, pairs, limit, scale, steady)
    unsure = limit.least_score > 0 and not max(len(expected.instances), len(found.instances))
    if unsure:
        kept[0] = kept[0].noted(f"none scores {limit.least_score:g} or more")
    if not expected.detect:  # one graph: what is inside isn't seen
        return [*kept, masks, second_run(found.repeats)]
    return [
        *_features(expected, found, limit if unsure else inner),
        *_proposals(expected, found, inner, ties.proposals),
        *kept,
        _mask_values(expected, found, pairs, inner),
        masks,
        second_run(found.repeats),
    ]


def _only(trace: Trace, keep: NDArray[np.bool_]) -> Trace:
    masks = trace.masks[keep] if len(trace.masks) else trace.masks  # one graph shows none of its instances'
    return dataclasses.replace(trace, instances=only(trace.instances, keep), masks=masks)


def second_run(repeats: bool | None) -> Difference:
    """Whether a second run gave the same bytes; None where that isn't known."""
    note = {True: "the same bytes", False: "gave another result than the first", None: "not told"}[repeats]
    return Difference("second run", ok=repeats is not False, note=note)


def merge(images: Iterable[list[Difference]]) -> list[Difference]:
    """One difference a tensor from those of several images: the worst one, with the mean over all."""
    columns = list(zip(*images, strict=True))
    return [_merged(list(column)) for column in columns]


def _merged(column: list[Difference]) -> Difference:
    def badness(number: int) -> tuple[bool, float]:
        item = column[number]
        worst = 0.0 if item.worst is None else item.worst
        return not item.ok, np.inf if np.isnan(worst) else worst

    number = max(range(len(column)), key=badness)
    means = [item.mean for item in column if item.mean is not None]
    mean = float(np.mean(means)) if means else None
    return dataclasses.replace(column[number], mean=mean, image=number)


def _features(expected: Trace, found: Trace, limit: Tolerance | None) -> list[Difference]:
    return [
        other or _feature(name, expected.detect[name], found.detect[name], limit)
        for name in FEATURES
        for other in [_other_shape(name, expected, found)]
    ]


def _feature(
    name: str, expected: NDArray[np.float32], found: NDArray[np.float32], limit: Tolerance | None
) -> Difference:
    largest = max(1e-9, float(np.abs(expected).max()))
    return difference_of(name, np.abs(expected - found) / largest, "of its range", limit.feature if limit else None)


def _other_shape(name: str, expected: Trace, found: Trace) -> Difference | None:
    shapes = expected.detect[name].shape, found.detect[name].shape
    if shapes[0] == shapes[1]:
        return None
    return Difference({"boxes": "proposals"}.get(name, name), ok=False, note=f"shape {shapes[1]}, expected {shapes[0]}")


def _proposals(expected: Trace, found: Trace, limit: Tolerance | None, tied: int) -> list[Difference]:
    other = _other_shape("boxes", expected, found)
    if other:
        return [other, Difference("scores")]
    columns = pair_proposals(expected.detect["boxes"], found.detect["boxes"])
    apart = np.abs(expected.detect["boxes"] - found.detect["boxes"][columns]).max(axis=(1, 2))
    same = len(apart) - max(STRAYS, int(STRAY_SHARE * len(apart)), TIED_PROPOSALS * tied)
    near = np.argsort(apart, kind="stable")[: max(1, same)]
    # Of dummies, boxes without area that stand where fewer were found, the host drops whatever the head makes.
    real = near[expected.detect["boxes"][near].any(axis=(1, 2))]
    box_px = limit.box_px if limit else None
    strays = int((apart > box_px).sum()) if box_px else 0
    scores = np.abs(expected.detect["scores"] - found.detect["scores"][columns]).max(axis=1)
    note = f"{strays} of {len(apart)} are others" if strays else ""
    if strays and tied:
        note += f", {tied} after the least change of the image"
    return [
        difference_of("proposals", apart[near], "px", box_px, note),
        difference_of("scores", scores[real], "", limit.score if limit else None),
    ]


def compare_instances(
    expected: Instances, found: Instances, limit: Tolerance, scale: float, *, steady: bool = True
) -> list[Difference]:
    """The differences of what is reported of an image: instances, kept boxes, kept scores, masks."""
    expected, found = confident_of(expected, found, limit.least_score)
    pairs = _pairs(expected, found, limit, scale, steady)
    return _instances(expected, found, pairs, limit, scale, steady)


Pairs = list[tuple[int, int]]


def _pairs(expected: Instances, found: Instances, limit: Tolerance, scale: float, steady: bool) -> Pairs:
    """Matched instances; unless ``steady`` only such as are the same within the limits, the others being of ties."""
    return [
        (row, column)
        for row, column in match(expected, found)
        if steady
        or (
            np.abs(expected.boxes[row] - found.boxes[column]).max() <= limit.box_px * scale
            and abs(expected.scores[row] - found.scores[column]) <= limit.score
        )
    ]


def _instances(
    expected: Instances, found: Instances, pairs: Pairs, limit: Tolerance, scale: float, steady: bool
) -> list[Difference]:
    rows, columns = (np.array([pair[side] for pair in pairs], np.intp) for side in (0, 1))
    total = max(len(expected), len(found))
    missed = np.array([round(1 - len(pairs) / total, 9) if total else 0.0])
    note = f"{len(pairs)} matched of {len(expected)} expected and {len(found)} found"
    if not steady and missed[0]:
        note += "; the others hang on ties that rounding decides"
    boxes = np.abs(expected.boxes[rows] - found.boxes[columns]).max(axis=1, initial=0.0)
    scores = np.abs(expected.scores[rows] - found.scores[columns])
    return [
        difference_of("instances", missed, "not matched", round(1 - limit.matched, 9) if steady else TIED, note),
        difference_of("kept boxes", boxes, "px", limit.box_px * scale),
        difference_of("kept scores", scores, "", limit.score),
        _masks(expected, found, pairs, limit),
    ]


def _mask_values(expected: Trace, found: Trace, pairs: Pairs, limit: Tolerance | None) -> Difference:
    if expected.masks.shape[1:] != found.masks.shape[1:] and pairs:
        return Difference("mask values", ok=False, note=f"shape {found.masks.shape}, expected {expected.masks.shape}")
    apart = [np.abs(expected.masks[row] - found.masks[column]).max() for row, column in pairs]
    return difference_of("mask values", np.array(apart), "", limit.feature if limit else None)


def _masks(expected: Instances, found: Instances, pairs: Pairs, limit: Tolerance) -> Difference:
    """How much of each pair's masks isn't common to both; a few pixels at the threshold are rounding."""
    both = [mask_difference(expected.rles[row], found.rles[column]) for row, column in pairs]
    lost = np.array([1 - iou if pixels > limit.mask_pixels else 0.0 for iou, pixels in both])
    pixels = max((pixels for _, pixels in both), default=0)
    judged = difference_of("masks", lost, "of the union", round(1 - limit.mask_iou, 9))
    whole = np.array([1 - iou for iou, _ in both])
    note = f"at most {counted(pixels, 'pixel')} may differ" if pixels else ""
    told = difference_of("masks", whole, "of the union", judged.limit, note)
    return dataclasses.replace(told, ok=judged.ok)
