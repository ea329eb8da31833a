"""Looks at every image and every outline of a data set before hours of training do."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_seg.data.coco import ReadOptions, align, read_file
from edge_seg.data.dataset import CocoDataset, ImageRecord
from edge_seg.data.findings import ERROR, WARNING, Finding, Findings
from edge_seg.data.header import read_header
from edge_seg.data.layout import OPTIONAL_SPLITS, SPLITS, SplitFile, blocked, find_all, find_single, missing
from edge_seg.data.left import Left, count_left, fitted, judge
from edge_seg.data.locate import files_below
from edge_seg.errors import ImageError
from edge_seg.runtime.image import SUFFIXES, read_image
from edge_seg.words import counted

DEFAULT_SIZE = (320, 320)
SAME_FAULT = {"image-size": "image-size", "exif-size": "image-size", "image-unreadable": "image-unreadable"}
"""Kinds of findings that come of reading annotations, and the kind that opening the image gives for the same fault."""
THINNED = 4
"""Of the pixels every so many rows and columns are compared first; only images equal in these are compared whole."""
FULL_RANGE_BITS = 14
"""A 16-bit image whose values need fewer bits is nearly black once the upper 8 are taken."""


@dataclass(frozen=True)
class SplitReport:
    """A split as it was read, and what is left of it to train on; distributions are for figures and pages.

    ``sizes``: objects by the square root of their box's area in pixels of the network's input, key 2^n: from there up
    to twice as much. ``aspect_ratios``: images by width / height, rounded to one digit.
    """

    dataset: CocoDataset
    left: Left
    layout: str

    @property
    def instances_per_class(self) -> dict[str, int]:
        names = self.dataset.classes
        counts = Counter(names[a.label] for record in self.dataset.images for a in record.annotations if not a.crowd)
        return {name: counts[name] for name in names}

    @property
    def sizes(self) -> dict[int, int]:
        octaves = Counter(max(-1, math.floor(math.log2(max(side, 1e-9)))) for side in self.left.sides)
        return {octave: octaves[octave] for octave in sorted(octaves)}

    @property
    def aspect_ratios(self) -> dict[str, int]:
        ratios = Counter(f"{record.width / record.height:.1f}" for record in self.dataset.images)
        return {ratio: ratios[ratio] for ratio in sorted(ratios, key=float)}

    def as_json(self) -> dict[str, Any]:
        dataset = self.dataset
        annotations = [a for record in dataset.images for a in record.annotations]
        sides = [[record.width, record.height] for record in dataset.images]
        per_class = self.instances_per_class
        return {
            "file": str(dataset.coco_json),
            "layout": self.layout,
            "images": len(dataset),
            "empty_images": sum(not record.annotations for record in dataset.images),
            "instances": sum(per_class.values()),
            "crowds": sum(a.crowd for a in annotations),
            "instances_per_class": per_class,
            **self.left.as_json(),
            "smallest": min(sides, key=lambda size: size[0] * size[1], default=None),
            "largest": max(sides, key=lambda size: size[0] * size[1], default=None),
            "shorter_side_octaves": {str(octave): count for octave, count in self.sizes.items()},
            "aspect_ratios": self.aspect_ratios,
        }


@dataclass
class Report:
    """What a check found: everything that ``--json`` and the page show."""

    folder: Path
    size: tuple[int, int]
    splits: dict[str, SplitReport] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)

    @property
    def ok(self) -> bool:
        """Whether a training on it would begin."""
        return not self.findings.of(ERROR)

    @property
    def problems(self) -> list[str]:
        """What stops a training, one line each."""
        return [str(finding) for finding in self.findings.of(ERROR)]

    @property
    def warnings(self) -> list[str]:
        """What was mended, left out or is likely a mistake, one line each."""
        return [str(finding) for finding in self.findings.of(WARNING)]

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "size": list(self.size),
            "splits": {name: split.as_json() for name, split in self.splits.items()},
            "problems": self.problems,
            "warnings": self.warnings,
            "findings": [finding.as_json() for finding in self.findings],
        }


def read_splits(
    folder: Path, findings: Findings, options: ReadOptions, *, strict_edits: bool = True, whole: bool = True
) -> dict[str, tuple[CocoDataset, str]]:
    """Every split of the data set at ``folder`` that can be read, with its layout's name; faults go to ``findings``.

    One COCO file that isn't divided comes as "all". ``whole``: a set without train or val is a fault.
    ``strict_edits``: so is an edit of a class that isn't there. Raises :class:`DataError` when there is no data set.
    """
    places: dict[str, SplitFile] = {}
    if folder.is_dir():
        for split in (*SPLITS, *OPTIONAL_SPLITS):
            found = find_all(folder, split)
            if found:
                places[split] = found[0]
            for other in found[1:]:
                findings.add("layouts", found[0].file, "", f"{split} may also be {other.file} ({other.layout})")
    if not any(split in places for split in SPLITS):
        single = find_single(folder)
        if single is None:
            raise missing(folder, "train")
        places = {"all": single}
    read: dict[str, tuple[CocoDataset, str]] = {}
    for split, place in places.items():
        root = folder if folder.is_dir() else place.file.parent
        dataset = read_file(place.file, place.folders, findings, root=root, options=options)
        if dataset is not None:
            if split != "train" and "train" in read:
                dataset = align(read["train"][0], dataset, findings)
            read[split] = dataset, place.layout
    if whole and "all" in places:
        findings.add("not-split", places["all"].file, "", "one file")
    elif whole:
        for split in SPLITS:
            if split not in places:
                problem = blocked(folder, split)
                kind = "not-split" if problem is None else "file"
                findings.add(kind, "", "", (problem or missing(folder, split)).message)
    if strict_edits:
        options.edits.check({name for dataset, _ in read.values() for name in dataset.classes})
    return read


def check(
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    size: tuple[int, int] = DEFAULT_SIZE,
    options: ReadOptions | None = None,
) -> Report:
    """Checks all splits of the data set at ``folder``; ``progress(done, images)`` is called after each image.

    ``size`` is the network's (H, W). Raises :class:`DataError` when there is no data set; all that is wrong with it
    comes in the report.
    """
    report = Report(folder, size)
    findings = report.findings
    read = read_splits(folder, findings, options or ReadOptions())
    total = sum(len(dataset) for dataset, _ in read.values())
    done = 0
    thinned: dict[bytes, list[tuple[str, ImageRecord]]] = {}
    if folder.is_dir() and not any(map(_hides_names, findings)):
        _find_unlisted(folder, read, findings)
    known = {(f.file, f.image, SAME_FAULT[f.kind]) for f in findings if f.kind in SAME_FAULT}
    with ThreadPoolExecutor() as pool:
        for split, (dataset, layout) in read.items():
            report.splits[split] = SplitReport(dataset, count_left(dataset, fitted(size)), layout)
            for record, looked in zip(dataset.images, pool.map(look, dataset.images), strict=True):
                for kind, text in looked.notes:
                    if (str(dataset.coco_json), str(record.path), kind) not in known:
                        findings.add(kind, dataset.coco_json, record.path.name, text, str(record.path))
                if looked.digest is not None:
                    thinned.setdefault(looked.digest, []).append((split, record))
                done += 1
                if progress is not None:
                    progress(done, total)
    _find_same_images(read, thinned, findings)
    for split, checked in report.splits.items():
        as_train = "train" if split == "all" else split
        judge(as_train, checked.dataset, checked.left, f"{size[0]}x{size[1]}", findings)
    return report


@dataclass(frozen=True)
class Looked:
    """What decoding an image told: findings (kind, text), and a digest of some of its pixels."""

    notes: tuple[tuple[str, str], ...] = ()
    digest: bytes | None = None


def look(record: ImageRecord) -> Looked:
    """Decodes an image and says what is wrong with it."""
    try:
        image = read_image(record.path)
    except ImageError as problem:
        header = read_header(record.path)
        if header is not None and not header.readable:
            return Looked((("image-unreadable", f"{record.path}: {header.format}, which isn't read here"),))
        return Looked((("image-unreadable", problem.message),))
    notes = []
    header = read_header(record.path)
    if header is not None and header.several:
        notes.append(("frames", header.format))
    if header is not None and header.alpha and (share := _transparent(record.path)):
        notes.append(("alpha", f"{share:.1%} of its pixels"))
    height, width = image.shape[:2]
    if (width, height) != (record.width, record.height):
        text = f"{width} x {height} pixels, its annotations say {record.width} x {record.height}"
        notes.append(("image-size", text))
    if int(image.max(initial=0)) < 1 << (FULL_RANGE_BITS - 8) and (bits := _bits_used(record.path)):
        notes.append(("depth", f"its values go up to {(1 << bits) - 1} of 65535 ({counted(bits, 'bit')})"))
    return Looked(tuple(notes), _digest(image[::THINNED, ::THINNED], image.shape))


def _transparent(path: Path) -> float:
    """The share of pixels that aren't opaque."""
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.ndim != 3 or raw.shape[2] != 4:
        return 0.0
    opaque = 255 if raw.dtype == np.uint8 else 65535
    return float((raw[:, :, 3] < opaque).mean())


def _bits_used(path: Path) -> int:
    """Of a 16-bit image with small values only, how many bits these need; 0 for any other."""
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.dtype != np.uint16:
        return 0
    bits = int(raw.max(initial=0)).bit_length()
    return bits if 0 < bits < FULL_RANGE_BITS else 0


def _digest(pixels: NDArray[np.uint8], shape: tuple[int, ...]) -> bytes:
    return hashlib.blake2b(pixels.tobytes() + repr(shape).encode(), digest_size=16).digest()


def _hides_names(finding: Finding) -> bool:
    """Whether after it nobody knows which images are listed."""
    return finding.kind in ("file", "panoptic", "not-split") or (
        finding.kind == "entry" and finding.subject.startswith("image")
    )


def _find_unlisted(root: Path, read: dict[str, tuple[CocoDataset, str]], findings: Findings) -> None:
    """Image files that lie there and take no part."""
    listed = {str(record.path) for dataset, _ in read.values() for record in dataset.images}
    listed |= {finding.image for finding in findings}
    for file in files_below(root):
        if file.suffix.lower() in SUFFIXES and str(file) not in listed and file.is_file():
            findings.add("image-unlisted", "", "", str(file), str(file))


def _find_same_images(
    read: dict[str, tuple[CocoDataset, str]],
    thinned: dict[bytes, list[tuple[str, ImageRecord]]],
    findings: Findings,
) -> None:
    """Images of the same pixels, within a split and across splits."""
    for candidates in thinned.values():
        if len(candidates) == 1:
            continue
        same: dict[bytes, list[tuple[str, ImageRecord]]] = {}
        for split, record in candidates:
            image = read_image(record.path)
            same.setdefault(_digest(image, image.shape), []).append((split, record))
        for group in same.values():
            if len(group) == 1:
                continue
            (first, one), rest = group[0], group[1:]
            for split, record in rest:
                kind = "same-pixels" if split == first else "both-splits"
                text = f"{record.path} ({split}) and {one.path} ({first}) have the same pixels"
                if record.path == one.path:
                    text = f"{record.path} is in {first} and {split}"
                findings.add(kind, read[split][0].coco_json, record.path.name, text, str(record.path))
