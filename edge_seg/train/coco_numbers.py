"""COCO's precision and recall, of which its 12 numbers are made.

faster-coco-eval computes what pycocotools does, to the last digit, in a seventh of the time; where it isn't installed
(it comes with the extra ``train``) pycocotools does it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IOU_50 = 0
"""The place of the threshold 0.50."""
ALL_AREAS, BEST_100 = 0, 2


@dataclass(frozen=True)
class Compared:
    """``precision`` float64[10, 101, C, 4, 3] by IoU threshold, recall, class, area range and number of detections.

    ``recall`` float64[10, C, 4, 3] by all but recall. -1 stands where there is nothing to find.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    def average_precision(self, iou: int | None = None, label: int | None = None) -> float | None:
        """The mean over all thresholds or the one at place ``iou``, all classes or ``label``, with 100 detections.

        None where there is nothing to find.
        """
        thresholds = slice(None) if iou is None else slice(iou, iou + 1)
        classes = slice(None) if label is None else slice(label, label + 1)
        found = self.precision[thresholds, :, classes, ALL_AREAS, BEST_100]
        known = found[found > -1]
        return float(known.mean()) if known.size else None


def compare(truth: Any, results: list[dict[str, Any]], kind: str) -> Compared:
    """Compares COCO results with ``truth``, a pycocotools COCO of which every image counts; ``kind``: bbox or segm."""
    if importlib.util.find_spec("faster_coco_eval") is not None:
        return _fast(truth, results, kind)
    return _plain(truth, results, kind)


def _fast(truth: Any, results: list[dict[str, Any]], kind: str) -> Compared:
    from faster_coco_eval import COCO, COCOeval_faster

    # It reports each of its steps, and importing paddle 3.3 lets such reports through to stderr.
    logging.getLogger("faster_coco_eval").setLevel(logging.WARNING)
    known = COCO(truth.dataset)
    comparison = COCOeval_faster(known, known.loadRes(results), kind)
    return _run(comparison, truth)


def _plain(truth: Any, results: list[dict[str, Any]], kind: str) -> Compared:
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        found = truth.loadRes(results) if results else _nothing(truth)
        return _run(COCOeval(truth, found, kind), truth)


def _run(comparison: Any, truth: Any) -> Compared:
    comparison.params.imgIds = sorted(truth.getImgIds())
    comparison.params.catIds = [category["id"] for category in truth.dataset["categories"]]
    comparison.evaluate()
    comparison.accumulate()
    return Compared(np.asarray(comparison.eval["precision"]), np.asarray(comparison.eval["recall"]))


def _nothing(truth: Any) -> Any:
    """No detections, in the form that pycocotools wants; its own loadRes fails on an empty list."""
    from pycocotools.coco import COCO

    found = COCO()
    found.dataset = {**truth.dataset, "annotations": []}
    found.createIndex()
    return found
