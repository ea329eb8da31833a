"""Looks at every picture and every outline of a dataset before hours of training do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from edge_seg.data.coco import Annotation, CocoDataset, ImageRecord, decode, load_splits
from edge_seg.data.transforms import open_picture
from edge_seg.errors import DataError

LEAST_OVERLAP = 0.5
"""Least IoU of the annotated box and the box around the outline; below it one of them belongs to something else."""


@dataclass
class Report:
    """``splits``: figures per split. ``problems`` stop a training; ``warnings`` are likely mistakes of annotation."""

    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check(folder: Path, progress: Callable[[int, int], None] | None = None) -> Report:
    """Checks both splits of the dataset in ``folder``; ``progress(done, pictures)`` is called after each picture.

    Raises :class:`DataError` for what is wrong with the COCO files; what is wrong with pictures comes in the report.
    """
    report = Report()
    train, val = load_splits(folder)
    total, done = len(train) + len(val), 0
    for name, split in (("train", train), ("val", val)):
        report.splits[name] = _figures(split)
        with ThreadPoolExecutor() as pool:
            for problems, warnings in pool.map(lambda record: _check_picture(split, record), split.images):  # noqa: B023
                report.problems += problems
                report.warnings += warnings
                done += 1
                if progress is not None:
                    progress(done, total)
    shared = {record.path for record in train.images} & {record.path for record in val.images}
    if shared:
        report.warnings.append(
            f"{val.coco_json}: {len(shared)} pictures are in both splits, {min(shared).name} first: "
            "the accuracy on them says nothing about new pictures"
        )
    return report


def _figures(split: CocoDataset) -> dict[str, Any]:
    annotations = [a for record in split.images for a in record.annotations]
    counts = Counter(split.classes[a.label] for a in annotations if not a.crowd)
    return {
        "images": len(split),
        "empty_images": sum(not record.annotations for record in split.images),
        "instances": sum(counts.values()),
        "crowds": sum(a.crowd for a in annotations),
        "instances_per_class": {name: counts[name] for name in split.classes},
        "smallest": min(([r.width, r.height] for r in split.images), key=lambda size: size[0] * size[1]),
        "largest": max(([r.width, r.height] for r in split.images), key=lambda size: size[0] * size[1]),
    }


def _check_picture(split: CocoDataset, record: ImageRecord) -> tuple[list[str], list[str]]:
    """Problems and warnings of one picture."""
    try:
        open_picture(record)
    except DataError as problem:
        return [str(problem)], []
    found = [(a, _doubt(a, record)) for a in record.annotations if not a.crowd]
    where = f"{split.coco_json}: {record.path.name}"
    return [], [f"{where}: annotation {a.id} ({split.classes[a.label]}): {doubt}" for a, doubt in found if doubt]


def _doubt(annotation: Annotation, record: ImageRecord) -> str:
    """What is odd about an annotation, "" if nothing is."""
    x0, y0, x1, y1 = annotation.box
    if x1 - x0 <= 0 or y1 - y0 <= 0:
        return "its box has no area; it isn't trained on"
    x, y, width, height = cv2.boundingRect(decode(annotation.segmentation, record.height, record.width))
    if width == 0:
        return "its outline covers no pixel; it isn't trained on"
    shared = max(0.0, min(x1, x + width) - max(x0, x)) * max(0.0, min(y1, y + height) - max(y0, y))
    overlap = shared / ((x1 - x0) * (y1 - y0) + width * height - shared)
    if overlap < LEAST_OVERLAP:
        outline = [x, y, x + width, y + height]
        return f"its box {[round(v, 1) for v in annotation.box]} isn't where its outline is, {outline}"
    return ""
