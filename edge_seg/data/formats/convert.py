"""Other tools' files → a data set in COCO form, and back."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_seg.data.classes import ClassEdits
from edge_seg.data.dataset import CocoDataset
from edge_seg.data.findings import ERROR, NOTE, Findings
from edge_seg.data.fix import UNDECIDED, UNUSABLE_IMAGES
from edge_seg.data.formats.build import Progress, Source, build
from edge_seg.data.layout import ARCHIVES
from edge_seg.data.split import counts_of, divide, shares
from edge_seg.data.write import write_dataset
from edge_seg.errors import DataError
from edge_seg.files import check_replaceable, scratch_dir


@dataclass(frozen=True)
class ImportOptions:
    """``val`` and ``test`` are shares; without ``val`` the source's own splits are kept where it has them.

    ``classes`` are the only ones allowed, in that order. ``exif`` and ``edits`` are as in ``ReadOptions``. With
    ``skip_invalid``, what can't be read is left out and logged instead of refused.
    """

    val: float | None = None
    test: float = 0.0
    seed: int = 0
    classes: Sequence[str] = ()
    exif: str = ""
    edits: ClassEdits | None = None
    skip_invalid: bool = False


DEFAULT_VAL = 0.2


def import_dataset(
    kind: str,
    place: Path,
    out: Path,
    options: ImportOptions,
    progress: Progress | None = None,
    findings: Findings | None = None,
) -> dict[str, Any]:
    """Writes what is at ``place``, of a kind in ``IMPORTS``, as a data set into the new folder ``out``.

    Returns what each split holds, with the classes; all that was found goes to ``findings``. Raises
    :class:`DataError` with all faults when some can't be taken, :class:`UsageError` when ``out`` exists and isn't an
    empty folder.
    """
    parts = shares(DEFAULT_VAL if options.val is None else options.val, options.test)
    if place.is_file() and place.suffix.lower() in ARCHIVES:
        raise DataError(f"{place}: an archive", remedy="unpack it, and give the folder")
    if not place.exists():
        raise DataError(f"{place}: no such folder or file", remedy="give what the annotation tool wrote")
    check_replaceable(out.resolve(), None)
    findings = Findings() if findings is None else findings
    reader = importlib.import_module(f"edge_seg.data.formats.{kind}")
    with scratch_dir(out) as store:
        drawn, order = reader.read(Source(place, store, findings, options.exif))
        dataset, own = build(
            drawn, findings, place=place, classes=options.classes, order=order, edits=options.edits, progress=progress
        )
        _decide(findings, options)
        if not dataset.classes:
            raise DataError(f"{place}: no file has a shape", remedy="annotate the images first")
        bad = {f.image for f in findings if f.kind in UNUSABLE_IMAGES}
        keep = [n for n, record in enumerate(dataset.images) if str(record.path) not in bad]
        whole = replace(dataset, images=tuple(dataset.images[n] for n in keep))
        if not any(record.annotations for record in whole.images):
            raise DataError(f"{place}: no object is left of it", remedy="mend what is named above, in the files")
        splits = _kept_splits(whole, [own[n] for n in keep]) if options.val is None and not options.test else {}
        if not splits and options.val is None and not options.test and any(own):
            held = ", ".join(f"{own.count(split)} {split or 'without a split'}" for split in dict.fromkeys(own))
            findings.add("split-anew", place, "", f"images: {held}")
        splits = splits or divide(whole, parts, options.seed)
        log = [f for f in findings if f.severity != NOTE] if options.skip_invalid else None
        write_dataset(out, splits, log=log, root=place if place.is_dir() else place.parent)
    return counts_of(splits)


def _decide(findings: Findings, options: ImportOptions) -> None:
    """Refuses faults; with ``skip_invalid`` only those that would leave a guess."""
    if not options.skip_invalid:
        try:
            findings.refuse()
        except DataError as problem:
            if not problem.remedy:
                problem.remedy = "mend them in the files, or give --skip-invalid to leave out what can't be read"
            raise
        return
    undecided = Findings()
    undecided.extend(f for f in findings if f.severity == ERROR and f.kind in UNDECIDED and f.kind != "file")
    undecided.refuse()


def _kept_splits(dataset: CocoDataset, splits: list[str]) -> dict[str, CocoDataset]:
    """The source's own splits, {} where it hasn't both train and val."""
    held = [split for split in ("train", "val", "test") if split in splits]
    if held[:2] != ["train", "val"] or "" in splits:
        return {}
    return {
        split: replace(
            dataset,
            images=tuple(record for record, own in zip(dataset.images, splits, strict=True) if own == split),
        )
        for split in held
    }
