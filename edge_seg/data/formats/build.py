"""From shapes as an annotation tool holds them to a data set: what all importers have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.data.check import SAME_FAULT, look
from edge_seg.data.classes import ClassEdits
from edge_seg.data.dataset import Annotation, CocoDataset, ImageRecord
from edge_seg.data.findings import Findings
from edge_seg.data.frame import Evidence, Frame, find_frame
from edge_seg.data.layout import ALIASES
from edge_seg.data.locate import files_below
from edge_seg.data.outline import Fault, Notes, box_of, cut_polygons, decode, encode, read_outline
from edge_seg.errors import DataError, UsageError
from edge_seg.runtime.image import SUFFIXES
from edge_seg.words import counted

Polygon = list[float]
Mask = NDArray[np.uint8]
Part = Polygon | Mask
"""A polygon [x, y, …], or a mask uint8[height, width] of the image as it was annotated."""
Progress = Callable[[int, int], None]
ELLIPSE_POINTS = 128


@dataclass(frozen=True)
class Shape:
    """One object as drawn: its class, its parts, and the holes cut out of them; ``subject`` names it in findings."""

    label: str
    parts: list[Part]
    subject: str
    holes: list[Part] = field(default_factory=list)


@dataclass
class Drawn:
    """An image and its shapes. ``file`` is the annotation file; ``split`` is "" where the source has none."""

    file: Path
    path: Path
    frame: Frame
    split: str = ""
    shapes: list[Shape] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Of the image as it was annotated."""
        return self.frame.drawn_width

    @property
    def height(self) -> int:
        """Of the image as it was annotated."""
        return self.frame.drawn_height


@dataclass
class Source:
    """What an importer gets: the folder or file, and where to report.

    ``store`` takes images that exist inside annotation files only; ``exif`` is as in ``ReadOptions``.
    """

    place: Path
    store: Path
    findings: Findings
    exif: str = ""

    @property
    def root(self) -> Path:
        return self.place if self.place.is_dir() else self.place.parent

    def frame(self, file: Path, path: Path, width: Any, height: Any, subject: str = "") -> Frame | None:
        """The image's frame; what is odd about it becomes findings. None when it has no size."""
        notes: Notes = []
        try:
            frame = find_frame(path, width, height, self.exif, notes)
        except Fault as fault:
            self.findings.add(fault.kind, file, subject, fault.text, str(path))
            return None
        for kind, text in notes:
            self.findings.add(kind, file, subject or path.name, text, str(path))
        return frame

    def relative_frame(self, file: Path, path: Path, subject: str = "", *, upright: bool = False) -> Frame | None:
        """The frame of an image whose outlines are given as parts of its size, so that none is stated.

        ``upright`` says that the tool is known to show images upright.
        """
        notes: Notes = []
        try:
            frame = find_frame(path, None, None, "apply" if upright else self.exif, notes)
        except Fault as fault:
            self.findings.add(fault.kind, file, subject, fault.text, str(path))
            return None
        for kind, text in notes:
            if kind != "size-read":
                self.findings.add(kind, file, subject or path.name, text, str(path))
        return frame


def split_name(name: str) -> str:
    """The split that a folder or file list of this name holds, "" if none."""
    return next((split for split, names in ALIASES.items() if name.casefold() in names), "")


def build(
    drawn: Sequence[Drawn],
    findings: Findings,
    *,
    place: Path,
    classes: Sequence[str] = (),
    order: Sequence[str] = (),
    edits: ClassEdits | None = None,
    progress: Progress | None = None,
) -> tuple[CocoDataset, list[str]]:
    """One data set of all images, and each image's split; faults go to ``findings``, and what has them isn't in it.

    ``classes`` are the only ones allowed, in that order; without them it is the source's own ``order``, then the
    labels that occur, sorted. Every image is opened.
    """
    if len(set(classes)) < len(classes):
        raise UsageError(f"--classes {','.join(classes)}: a class is named twice", remedy="name each class once")
    edits = edits or ClassEdits()
    numbers = {name: n for n, name in enumerate(order)}
    renamed: dict[str, str | None] = {}
    for name in [*order, *sorted({shape.label for one in drawn for shape in one.shapes} - set(order))]:
        renamed[name] = edits.name(numbers.get(name, "-"), name)
    edits.check(renamed)
    names = tuple(classes) or tuple(dict.fromkeys(name for name in renamed.values() if name is not None))
    similar: dict[str, list[str]] = {}
    for name in names:
        similar.setdefault("".join(name.split()).casefold(), []).append(name)
    for group in similar.values():
        if len(group) > 1:
            findings.add("category-similar", place, "labels", ", ".join(map(repr, group)))
    records: list[ImageRecord] = []
    splits: list[str] = []
    evidence = Evidence()
    for one in drawn:
        flat = [part for shape in one.shapes for part in shape.parts if isinstance(part, list)]
        if flat:
            evidence.add(one.frame, *box_of(flat)[2:])
    if evidence.text:
        findings.add("exif-evidence", place, "", evidence.text)
    drawn = _merged(drawn, findings)
    bare = [ImageRecord(0, one.path, one.frame.width, one.frame.height, ()) for one in drawn]
    known_bad = {(finding.image, SAME_FAULT[finding.kind]) for finding in findings if finding.kind in SAME_FAULT}
    with ThreadPoolExecutor() as pool:
        for done, (one, looked) in enumerate(zip(drawn, pool.map(look, bare), strict=True), 1):
            known = {kind for kind, _ in looked.notes}
            for kind, text in looked.notes:
                if (str(one.path), kind) not in known_bad:
                    findings.add(kind, one.file, one.path.name, text, str(one.path))
            objects = _objects(one, renamed, names, findings)
            if "image-unreadable" not in known:
                records.append(ImageRecord(len(records) + 1, one.path, one.frame.width, one.frame.height, objects))
                splits.append(one.split)
            if progress is not None:
                progress(done, len(drawn))
    return CocoDataset(place, tuple(records), names, tuple(range(1, len(names) + 1))), splits


def _merged(drawn: Sequence[Drawn], findings: Findings) -> list[Drawn]:
    """One entry for each image: of several the shapes are put together."""
    by_image: dict[Path, Drawn] = {}
    for one in drawn:
        first = by_image.setdefault(one.path.resolve(), one)
        if first is one:
            continue
        if first.frame != one.frame:
            text = f"{first.path.name} and {one.path.name} are one file, of different sizes"
            findings.add("image-twice-differs", one.file, "", text, str(one.path))
            continue
        if first.split != one.split:
            text = f"{one.path} is in {first.split or 'no split'} and {one.split or 'no split'}: the first was taken"
            findings.add("both-splits", one.file, "", text, str(one.path))
        counts = f"{len(first.shapes)}, {len(one.shapes)}"
        text = f"one image with entries of {counts} objects: in each the others would be background"
        findings.add("image-twice", one.file, one.path.name, text, str(one.path))
        first.shapes += one.shapes
    return list(by_image.values())


def _objects(
    one: Drawn, renamed: dict[str, str | None], names: tuple[str, ...], findings: Findings
) -> tuple[Annotation, ...]:
    objects: list[Annotation] = []
    for shape in one.shapes:
        if one.frame.stored is not None and any(not isinstance(part, list) for part in shape.parts):
            continue  # how the image is to be turned has to be decided first, which is told already
        label = renamed[shape.label]
        if label is None:
            findings.add("dropped", one.file, shape.subject, f"its class is dropped, {shape.label!r}", str(one.path))
            continue
        if label not in names:
            text = f"label: expected one of {', '.join(names)}, found {label!r}"
            findings.add("label-unknown", one.file, shape.subject, text, str(one.path))
            continue
        notes: Notes = []
        try:
            segmentation = _segmentation(shape, one.height, one.width, notes)
            outline = read_outline(segmentation, one.width, one.height, notes)
        except Fault as fault:
            findings.add(fault.kind, one.file, shape.subject, fault.text, str(one.path))
            continue
        for kind, text in notes:
            findings.add(kind, one.file, shape.subject, text, str(one.path))
        outline, box = one.frame.turn(outline, outline.box)
        number = names.index(label)
        before = next((a for a in objects if a.label == number and a.segmentation == outline.segmentation), None)
        if before is not None:
            findings.add("same-object", one.file, shape.subject, f"equals object {before.id}", str(one.path))
            continue
        objects.append(Annotation(len(objects) + 1, number, box, outline.area, False, outline.segmentation))
    return tuple(objects)


def _segmentation(shape: Shape, height: int, width: int, notes: Notes) -> Any:
    """The parts as COCO writes them: polygons where all are and nothing is cut out, run lengths otherwise."""
    polygons = [part for part in shape.parts if isinstance(part, list)]
    if len(polygons) == len(shape.parts) and not shape.holes:
        return polygons
    mask = np.zeros((height, width), np.uint8)
    for part in shape.parts:
        mask |= _drawn(part, height, width, notes)
    for hole in shape.holes:
        mask[_drawn(hole, height, width, notes) > 0] = 0
    if not mask.any():
        raise Fault("no-pixels", "its mask holds no pixel inside the image")
    return encode(mask)


def _drawn(part: Part, height: int, width: int, notes: Notes) -> Mask:
    if isinstance(part, list):
        return decode(cut_polygons([part], width, height, notes), height, width)
    return part


def paste(drawn: NDArray[Any], x: int, y: int, width: int, height: int, notes: Notes) -> Mask:
    """A mask [h, w] of any numbers at (x, y) of an image, as uint8[height, width] of 0 and 1; what is outside is cut.

    Raises :class:`Fault` when nothing of it is inside.
    """
    mask = np.zeros((height, width), np.uint8)
    rows = slice(max(0, y), max(0, min(height, y + drawn.shape[0])))
    columns = slice(max(0, x), max(0, min(width, x + drawn.shape[1])))
    inside = drawn[max(0, -y) : max(0, rows.stop - y), max(0, -x) : max(0, columns.stop - x)]
    if rows.stop <= rows.start or columns.stop <= columns.start or not inside.any():
        if not drawn.any():
            raise Fault("no-pixels", "its mask holds no pixel")
        found = [x, y, *drawn.shape[::-1]]
        raise Fault("outline-outside", f"expected a mask inside the image, {width} x {height}, found {found}")
    mask[rows, columns] = inside > 0
    if (lost := int(np.count_nonzero(drawn)) - int(np.count_nonzero(mask))) > 0:
        notes.append(("outline-cut", f"{counted(lost, 'pixel')} of a mask of {drawn.shape[1]} x {drawn.shape[0]}"))
    return mask


def ellipse(x: float, y: float, across: float, down: float, degrees: float = 0.0) -> Polygon:
    """A polygon for the ellipse around (x, y) with these half axes, turned clockwise about (x, y)."""
    angles = np.arange(ELLIPSE_POINTS) * (2 * np.pi / ELLIPSE_POINTS)
    return turned(np.stack([across * np.cos(angles), down * np.sin(angles)], axis=1), x, y, degrees)


def turned(points: NDArray[Any], x: float, y: float, degrees: float) -> Polygon:
    """Points float[N, 2] about (0, 0), turned clockwise (y runs downwards) and moved to (x, y), as a polygon."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    moved = points @ np.array([[cos, sin], [-sin, cos]]) + (x, y)
    return [float(value) for value in moved.reshape(-1)]


def refuse_empty(place: Path, drawn: Sequence[Drawn], what: str) -> None:
    """Raises :class:`DataError` when nothing was found to import."""
    if not drawn:
        raise DataError(f"{place}: holds no {what}", remedy="give the folder or file that the tool wrote")


def note_unannotated(folder: Path, images: Iterable[Path], source: Source, files: Sequence[Path] = ()) -> None:
    """Adds the image files below ``folder`` that are none of ``images``, and have the name of none of ``files``."""
    used = {image.resolve() for image in images}
    stems = {file.with_suffix("") for file in files}
    for file in files_below(folder):
        if file.suffix.lower() in SUFFIXES and file.resolve() not in used and file.with_suffix("") not in stems:
            source.findings.add("image-unannotated", "", "", str(file), str(file))
