"""Box and mask mAP by pycocotools, the same for a model in training, a run and a bundle."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_seg.data.coco import CocoDataset
from edge_seg.errors import DataError
from edge_seg.runtime.segmenter import Segmenter

_ALL_AREAS, _BEST_100 = 0, 2  # indices into pycocotools' area ranges and numbers of detections


@dataclass(frozen=True)
class Evaluation:
    """COCO's mAP (IoU 0.50 to 0.95, the best 100 detections of a picture), 0 to 1; None where there is nothing to find.

    ``box_ap50`` and ``mask_ap50`` are at IoU 0.50 alone. ``objects`` and ``detections`` are counted without crowds.
    """

    box_map: float | None
    mask_map: float | None
    box_ap50: float | None
    mask_ap50: float | None
    class_mask_map: dict[str, float | None]
    images: int
    objects: int
    detections: int


def evaluate(
    segmenter: Segmenter,
    dataset: CocoDataset,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Runs ``segmenter`` on the dataset's pictures (the first ``limit``) and compares with the annotations.

    Raises :class:`DataError` when the dataset's classes aren't the model's.
    """
    ids = category_ids(segmenter.classes, dataset)
    records = dataset.images if limit is None else dataset.images[:limit]
    results: list[dict[str, Any]] = []
    for done, record in enumerate(records):
        progress(done, len(records))
        results += segmenter(record.path).as_coco(record.id, ids)
    progress(len(records), len(records))
    truth = dataset.ground_truth(records)
    box, mask = (_precision(truth, results, kind) for kind in ("bbox", "segm"))
    return Evaluation(
        box_map=_mean(box),
        mask_map=_mean(mask),
        box_ap50=_mean(box[:1]),
        mask_ap50=_mean(mask[:1]),
        class_mask_map={name: _mean(mask[:, :, i]) for i, name in enumerate(dataset.classes)},
        images=len(records),
        objects=sum(not a.crowd for record in records for a in record.annotations),
        detections=len(results),
    )


def category_ids(classes: tuple[str, ...], dataset: CocoDataset) -> tuple[int, ...]:
    """The dataset's category id of each of the model's classes, matched by name; DataError when others are there."""
    if classes == dataset.classes:
        return dataset.category_ids
    ids = dict(zip(dataset.classes, dataset.category_ids, strict=True))
    if set(ids) != set(classes):
        raise DataError(
            f"{dataset.coco_json}: its classes ({_names(dataset.classes)}) aren't the model's ({_names(classes)})",
            remedy="evaluate on a dataset with the classes that the model was trained on",
        )
    return tuple(ids[name] for name in classes)


def _names(classes: tuple[str, ...]) -> str:
    return ", ".join(classes[:8]) + (f", … {len(classes)} in all" if len(classes) > 8 else "")


def _precision(truth: Any, results: list[dict[str, Any]], kind: str) -> np.ndarray[Any, Any]:
    """Precision at each IoU threshold, recall and class, float64[10, 101, C]; -1 where a class has no objects."""
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        found = truth.loadRes(results) if results else _nothing(truth)
        comparison = COCOeval(truth, found, kind)
        comparison.params.imgIds = sorted(truth.getImgIds())
        comparison.params.catIds = [category["id"] for category in truth.dataset["categories"]]
        comparison.evaluate()
        comparison.accumulate()
    return np.asarray(comparison.eval["precision"][:, :, :, _ALL_AREAS, _BEST_100])


def _mean(precision: np.ndarray[Any, Any]) -> float | None:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else None


def _nothing(truth: Any) -> Any:
    """No detections, in the form that pycocotools wants; its own loadRes fails on an empty list."""
    from pycocotools.coco import COCO

    found = COCO()
    found.dataset = {**truth.dataset, "annotations": []}
    found.createIndex()
    return found
