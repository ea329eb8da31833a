"""A clean copy of a data set's annotations: what can be mended is, what can't is left out, and a log says which."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_seg.data.check import Report
from edge_seg.data.dataset import CocoDataset
from edge_seg.data.findings import ERROR, KINDS, NOTE
from edge_seg.data.layout import SPLITS
from edge_seg.data.write import Progress, write_dataset
from edge_seg.errors import DataError

UNUSABLE_IMAGES = ("image-unreadable", "image-size", "exif-size")
"""Errors that leave an image out, with all that is in it."""
UNDECIDED = ("exif-size", "category-names", "duplicate-id", "image-twice-differs", "file", "key-twice")
"""Errors that only a person can decide: a copy would be a guess."""
_AS_IT_WAS = """
same-pixels both-splits depth few category-empty category-similar crowd vanish val-empty exif-unclear nothing-left
not-split frames alpha layouts outline-inside outline-corner
"""
NOT_CHANGED = frozenset(_AS_IT_WAS.split())
"""What the copy holds as it was."""


def write_fixed(report: Report, out: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Writes a clean copy of what ``report`` was made of into the new folder ``out``, with ``changes.jsonl``.

    Returns how many images and objects each split holds, and the number
    of changes. Raises :class:`DataError` for faults that nobody but the user can decide.
    """
    undecided = [f for f in report.findings if f.kind in UNDECIDED and f.severity == ERROR]
    if undecided:
        kind = KINDS[undecided[0].kind]
        raise DataError(
            f"{undecided[0]}: this has to be decided before a copy can be written ({len(undecided)} of its kind)",
            remedy=kind.remedy,
        )
    splits = {}
    for split, checked in report.splits.items():
        file = str(checked.dataset.coco_json)
        bad = {f.image for f in report.findings if f.file == file and f.kind in UNUSABLE_IMAGES}
        splits[split] = _without(checked.dataset, bad)
    for split in ("all",) if "all" in splits else SPLITS:
        if split not in splits or not splits[split].images:
            raise DataError(
                f"{report.folder}: no image of {split} is left for a copy", remedy="mend what is named above, by hand"
            )
    log = [f for f in report.findings if (f.kind not in NOT_CHANGED and f.severity != NOTE) or f.kind == "dropped"]
    write_dataset(out, splits, log=log, root=report.folder if report.folder.is_dir() else None, progress=progress)
    return {
        "out": str(out),
        **{
            split: {"images": len(dataset), "instances": sum(len(r.annotations) for r in dataset.images)}
            for split, dataset in splits.items()
        },
        "changes": len(log),
    }


def _without(dataset: CocoDataset, bad: set[str]) -> CocoDataset:
    return replace(dataset, images=tuple(record for record in dataset.images if str(record.path) not in bad))


REMAINING = ("nothing-left", "not-split")
"""Errors that a copy still has."""


def is_ready(report: Report) -> bool:
    """Whether a training on the copy would begin."""
    return not any(finding.kind in REMAINING for finding in report.findings)
