"""Why a model's mAP is what it is: COCO's twelve numbers, each class, what it is taken for, and which errors cost most.

``results`` are COCO results as :meth:`edge_seg.runtime.result.Instances.to_coco` makes them.
Shapes: T IoU thresholds, R recalls, C classes; D detections and G objects of an image.
"""

from __future__ import annotations

import contextlib
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.data.coco import CocoDataset, ImageRecord
from edge_seg.train.coco_numbers import compare

POSITIVE, BACKGROUND = 0.5, 0.1
"""IoU from which a detection is of an object, and below which it has nothing to do with one (TIDE's thresholds)."""
SURE = 0.5
"""Score from which a detection counts in the confusion matrix and among an image's errors."""
_MOST_DETECTIONS = 100
_KINDS = ("class", "outline", "class and outline", "duplicate", "background", "missed")
ERRORS = {
    "class": "right outline, wrong class",
    "outline": "right class, outline too far off (IoU under 0.5)",
    "class and outline": "wrong class, outline too far off",
    "duplicate": "an object that a better detection found already",
    "background": "nothing is there (IoU under 0.1)",
    "missed": "an object that nothing was found for",
}
"""TIDE's kinds of errors (Bolya et al., ECCV 2020), and what each means."""


@dataclass(frozen=True)
class Scores:
    """COCO's twelve numbers, 0 to 1, of boxes or masks; None where there is nothing to find.

    ``ap`` is over IoU 0.50 to 0.95; ``small`` is under 32², ``large`` from 96² pixels of the image on. ``ar`` is the
    recall with at most so many detections an image.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar1: float | None
    ar10: float | None
    ar100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None


@dataclass(frozen=True)
class ClassScores:
    """One class. ``precision`` float64[R]: of masks at IoU 0.50, for recalls 0, 0.01 … 1; empty without objects."""

    name: str
    objects: int
    detections: int
    box: Scores
    mask: Scores
    precision: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True)
class ImageErrors:
    """An image's detections from score :data:`SURE` on: ``right``, ``wrong``, and objects that they ``missed``."""

    image_id: int
    right: int
    wrong: int
    missed: int

    @property
    def errors(self) -> int:
        """All that is wrong."""
        return self.wrong + self.missed


@dataclass(frozen=True)
class Breakdown:
    """``confusion`` int64[C + 1, C + 1]: rows are true classes, columns found ones, the last of each being nothing.

    ``costs`` is, for each kind of :data:`ERRORS`, what mask AP50 would gain if there were none; ``counts`` how many.
    ``unlisted`` detections are of classes that the data doesn't list.
    """

    box: Scores
    mask: Scores
    classes: tuple[ClassScores, ...]
    confusion: NDArray[np.int64]
    costs: dict[str, float]
    counts: dict[str, int]
    images: tuple[ImageErrors, ...]
    unlisted: int = 0

    def as_json(self) -> dict[str, Any]:
        """All as plain values, without the curves."""
        return {
            "box": asdict(self.box),
            "mask": asdict(self.mask),
            "classes": [
                {"name": c.name, "objects": c.objects, "detections": c.detections, "box": asdict(c.box),
                 "mask": asdict(c.mask)}
                for c in self.classes
            ],
            "confusion": self.confusion.tolist(),
            "unlisted": self.unlisted,
            "errors": {kind: {"ap50": self.costs[kind], "count": self.counts[kind]} for kind in self.costs},
        }  # fmt: skip


def break_down(dataset: CocoDataset, records: Sequence[ImageRecord], results: Sequence[dict[str, Any]]) -> Breakdown:
    """The breakdown of ``results`` on ``records``, images of ``dataset``.

    Detections of classes that the data doesn't list are neither right nor wrong, as COCO has it.
    """
    listed = set(dataset.category_ids)
    unlisted = sum(one["category_id"] not in listed for one in results)
    results = [one for one in results if one["category_id"] in listed]
    box, box_classes, _ = _coco(dataset, records, results, "bbox")
    mask, mask_classes, curves = _coco(dataset, records, results, "segm")
    found, matches = _match_all(dataset, records, results)
    labels = {number: label for label, number in enumerate(dataset.category_ids)}
    labelled = [a.label for record in records for a in record.annotations if not a.crowd]
    objects = [labelled.count(label) for label in labels.values()]
    detections = [sum(labels[one["category_id"]] == label for one in results) for label in labels.values()]
    return Breakdown(
        box=box,
        mask=mask,
        classes=tuple(
            ClassScores(name, objects[i], detections[i], box_classes[i], mask_classes[i], curves[i])
            for i, name in enumerate(dataset.classes)
        ),
        confusion=_confusion(len(dataset.classes), matches),
        costs=_costs(found, objects),
        counts={kind: sum(one.errors[kind] for one in found) for kind in _KINDS},
        images=tuple(_image_errors(match) for match in matches),
        unlisted=unlisted,
    )


def _coco(
    dataset: CocoDataset, records: Sequence[ImageRecord], results: Sequence[dict[str, Any]], kind: str
) -> tuple[Scores, list[Scores], list[NDArray[np.float64]]]:
    with contextlib.redirect_stdout(io.StringIO()):
        compared = compare(dataset.ground_truth(records), [dict(one) for one in results], kind)
    precision, recall = compared.precision, compared.recall
    each = [_scores(precision[:, :, i : i + 1], recall[:, i : i + 1]) for i in range(len(dataset.classes))]
    curves = [precision[0, :, i, 0, 2] for i in range(len(dataset.classes))]
    return _scores(precision, recall), each, [curve if (curve > -1).all() else np.zeros(0) for curve in curves]


def _scores(precision: NDArray[Any], recall: NDArray[Any]) -> Scores:
    """From precision [T, R, C, areas, detections] and recall [T, C, areas, detections]."""
    return Scores(
        ap=_mean(precision[:, :, :, 0, 2]),
        ap50=_mean(precision[0, :, :, 0, 2]),
        ap75=_mean(precision[5, :, :, 0, 2]),
        ap_small=_mean(precision[:, :, :, 1, 2]),
        ap_medium=_mean(precision[:, :, :, 2, 2]),
        ap_large=_mean(precision[:, :, :, 3, 2]),
        ar1=_mean(recall[:, :, 0, 0]),
        ar10=_mean(recall[:, :, 0, 1]),
        ar100=_mean(recall[:, :, 0, 2]),
        ar_small=_mean(recall[:, :, 1, 2]),
        ar_medium=_mean(recall[:, :, 2, 2]),
        ar_large=_mean(recall[:, :, 3, 2]),
    )


def _mean(values: NDArray[Any]) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


@dataclass(frozen=True)
class _Match:
    """An image: masks' IoU [D, G] and labels, best detection first; ``ignored`` [D]: within a crowd of their class."""

    image_id: int
    iou: NDArray[np.float64]
    scores: NDArray[np.float64]
    found: NDArray[np.int64]
    true: NDArray[np.int64]
    ignored: NDArray[np.bool_]


@dataclass(frozen=True)
class _Judged:
    """An image's detections by COCO's rule at IoU 0.50, and what each error would become if it were mended.

    ``points``: (class, score, right, kind of error or ""). ``mended``: (class, score) of errors of a kind that turn
    right; ``missed``: class of each object that nothing was found for.
    """

    points: list[tuple[int, float, bool, str]]
    mended: dict[str, list[tuple[int, float]]]
    missed: list[int]
    errors: dict[str, int]


def _match_all(
    dataset: CocoDataset, records: Sequence[ImageRecord], results: Sequence[dict[str, Any]]
) -> tuple[list[_Judged], list[_Match]]:
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for one in results:
        by_image[one["image_id"]].append(one)
    matches = [_match(dataset, record, by_image[record.id]) for record in records]
    return [_judge(match) for match in matches], matches


def _match(dataset: CocoDataset, record: ImageRecord, results: list[dict[str, Any]]) -> _Match:
    from pycocotools import mask as coco_mask

    from edge_seg.data.outline import as_rle

    best = sorted(results, key=lambda one: -one["score"])[:_MOST_DETECTIONS]
    rles = [_bytes(one["segmentation"]) for one in best]
    true = [a for a in record.annotations if not a.crowd]
    crowds = [a for a in record.annotations if a.crowd]
    shapes = [as_rle(a.segmentation, record.height, record.width) for a in (*true, *crowds)]
    flags = [0] * len(true) + [1] * len(crowds)
    iou = np.zeros((len(best), len(shapes)))
    if best and shapes:
        iou = np.asarray(coco_mask.iou(rles, shapes, flags), np.float64)
    labels = {number: label for label, number in enumerate(dataset.category_ids)}
    found = np.array([labels[one["category_id"]] for one in best], np.int64)
    same = found[:, None] == np.array([a.label for a in crowds], np.int64)[None]
    return _Match(
        record.id,
        iou[:, : len(true)],
        np.array([one["score"] for one in best], np.float64),
        found,
        np.array([a.label for a in true], np.int64),
        ((iou[:, len(true) :] >= POSITIVE) & same).any(axis=1),
    )


def _bytes(rle: dict[str, Any]) -> dict[str, Any]:
    counts = rle["counts"]
    return {"size": rle["size"], "counts": counts.encode() if isinstance(counts, str) else counts}


def _judge(match: _Match) -> _Judged:
    """TIDE's rules, in its order: outline, class, duplicate, background, both."""
    used = np.zeros(len(match.true), bool)
    right = np.zeros(len(match.found), bool)
    for place, label in enumerate(match.found):
        row = np.where((match.true == label) & ~used, match.iou[place], -1.0)
        if row.size and row.max() >= POSITIVE:
            used[row.argmax()] = right[place] = True
    judged = _Judged([], {kind: [] for kind in _KINDS}, [], dict.fromkeys(_KINDS, 0))
    mendable = used.copy()
    for place, (label, score) in enumerate(zip(match.found.tolist(), match.scores.tolist(), strict=True)):
        if right[place]:
            judged.points.append((label, score, True, ""))
            continue
        if match.ignored[place]:
            continue
        kind, column = _kind(match, place, used)
        judged.points.append((label, score, False, kind))
        judged.errors[kind] += 1
        # One object is given to its best detection alone; the others go, as duplicates would.
        if kind in ("outline", "class") and not mendable[column]:
            mendable[column] = True
            judged.mended[kind].append((int(match.true[column]), score))
    judged.missed.extend(match.true[~mendable].tolist())
    judged.errors["missed"] = len(judged.missed)
    return judged


def _kind(match: _Match, place: int, used: NDArray[np.bool_]) -> tuple[str, int]:
    """The kind of error of a wrong detection, and the object that it is about."""
    row, same = match.iou[place], match.true == match.found[place]
    if not row.size:
        return "background", -1
    own, others = np.where(same, row, -1.0), np.where(same, -1.0, row)
    if BACKGROUND <= own.max() < POSITIVE:
        return "outline", int(own.argmax())
    if others.max() >= POSITIVE:
        return "class", int(others.argmax())
    if np.where(used, own, -1.0).max() >= POSITIVE:
        return "duplicate", int(own.argmax())
    if row.max() < BACKGROUND:
        return "background", -1
    return "class and outline", int(row.argmax())


def _costs(found: Sequence[_Judged], objects: Sequence[int]) -> dict[str, float]:
    """What AP50 gains when one kind of error is mended and nothing else."""
    points = [point for image in found for point in image.points]
    base = _ap50([(label, score, right) for label, score, right, _ in points], objects)
    costs = {}
    for kind in _KINDS:
        kept = [(label, score, right) for label, score, right, error in points if error != kind]
        kept += [(label, score, True) for image in found for label, score in image.mended[kind]]
        wanted = list(objects)
        if kind == "missed":
            for label in (label for image in found for label in image.missed):
                wanted[label] -= 1
        costs[kind] = max(0.0, _ap50(kept, wanted) - base)
    return costs


def _ap50(points: Sequence[tuple[int, float, bool]], objects: Sequence[int]) -> float:
    """COCO's AP at one IoU: precision at 101 recalls, the mean over classes that have objects."""
    values = []
    for label, count in enumerate(objects):
        if count <= 0:
            continue
        own = sorted((point for point in points if point[0] == label), key=lambda point: -point[1])
        hits = np.cumsum([right for _, _, right in own], dtype=np.float64)
        recall = hits / count
        precision = hits / np.arange(1, len(own) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
        values.append(float(np.append(precision, 0.0)[np.minimum(places, len(own))].mean()))
    return float(np.mean(values)) if values else 0.0


def _pairs(match: _Match) -> Iterator[tuple[int | None, int | None]]:
    """(object, detection) whatever their classes, best detection first, each once; None where one has no other."""
    sure = np.flatnonzero(match.scores >= SURE)
    free = np.ones(len(match.true), bool)
    for place in sure.tolist():
        row = np.where(free, match.iou[place], -1.0)
        if row.size and row.max() >= POSITIVE:
            free[row.argmax()] = False
            yield int(row.argmax()), place
        elif not match.ignored[place]:
            yield None, place
    for column in np.flatnonzero(free).tolist():
        yield column, None


def _confusion(classes: int, matches: Sequence[_Match]) -> NDArray[np.int64]:
    counts = np.zeros((classes + 1, classes + 1), np.int64)
    for match in matches:
        for column, place in _pairs(match):
            true = classes if column is None else match.true[column]
            found = classes if place is None else match.found[place]
            counts[true, found] += 1
    return counts


def _image_errors(match: _Match) -> ImageErrors:
    right = wrong = missed = 0
    for column, place in _pairs(match):
        if place is None:
            missed += 1
        elif column is not None and match.true[column] == match.found[place]:
            right += 1
        else:
            wrong += 1
    return ImageErrors(match.image_id, right, wrong, missed)
