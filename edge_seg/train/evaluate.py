"""Box and mask mAP, the same for a model in training, a run and a bundle."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_seg.data.coco import CocoDataset
from edge_seg.errors import DataError
from edge_seg.runtime.segmenter import Segmenter
from edge_seg.train.coco_numbers import IOU_50, compare


@dataclass(frozen=True)
class Evaluation:
    """COCO's mAP (IoU 0.50 to 0.95, the best 100 detections of an image), 0 to 1; None where there is nothing to find.

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
    results: list[dict[str, Any]] | None = None,
) -> Evaluation:
    """Runs ``segmenter`` on the dataset's images (the first ``limit``) and compares with the annotations.

    ``results``, when given, gets what was found, as COCO results. Raises :class:`DataError` when the dataset's classes
    aren't the model's.
    """
    ids = category_ids(segmenter.classes, dataset)
    records = dataset.images if limit is None else dataset.images[:limit]
    results = [] if results is None else results
    for done, record in enumerate(records):
        progress(done, len(records))
        results += segmenter(record.path).to_coco(record.id, ids)
    progress(len(records), len(records))
    truth = dataset.ground_truth(records)
    box, mask = (compare(truth, results, kind) for kind in ("bbox", "segm"))
    return Evaluation(
        box_map=box.average_precision(),
        mask_map=mask.average_precision(),
        box_ap50=box.average_precision(IOU_50),
        mask_ap50=mask.average_precision(IOU_50),
        class_mask_map={name: mask.average_precision(label=i) for i, name in enumerate(dataset.classes)},
        images=len(records),
        objects=sum(not a.crowd for record in records for a in record.annotations),
        detections=len(results),
    )


def category_ids(classes: tuple[str, ...], dataset: CocoDataset) -> tuple[int, ...]:
    """The dataset's category id of each of the model's classes, matched by name; DataError when it has others.

    Classes that a dataset doesn't list (validation files may list only those that occur) get ids that it doesn't use.
    """
    if classes == dataset.classes:
        return dataset.category_ids
    ids = dict(zip(dataset.classes, dataset.category_ids, strict=True))
    if not set(ids) <= set(classes):
        raise DataError(
            f"{dataset.coco_json}: its classes ({_names(dataset.classes)}) aren't the model's ({_names(classes)})",
            remedy="evaluate on a dataset with the classes that the model was trained on",
        )
    unused = itertools.count(max(ids.values()) + 1)
    return tuple(ids[name] if name in ids else next(unused) for name in classes)


def _names(classes: tuple[str, ...]) -> str:
    return ", ".join(classes[:8]) + (f", … {len(classes)} in all" if len(classes) > 8 else "")
