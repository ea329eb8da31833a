"""CVAT's own XML, "CVAT for images 1.1": polygons, masks, rectangles and ellipses.

Shapes of one image with the same label and ``group_id`` are parts of one object, as in CVAT's COCO export.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from edge_seg import limits
from edge_seg.data.formats.build import (
    Drawn,
    Part,
    Shape,
    Source,
    ellipse,
    note_unannotated,
    paste,
    refuse_empty,
    split_name,
    turned,
)
from edge_seg.data.locate import ImageFinder, files_below
from edge_seg.data.outline import Fault, Notes, shown
from edge_seg.errors import DataError
from edge_seg.files import read_limited

WITHOUT_AREA = frozenset({"polyline", "points", "skeleton"})
KNOWN = frozenset({"polygon", "mask", "box", "ellipse"})
_ENTITIES = re.compile(rb"<!(DOCTYPE|ENTITY)", re.IGNORECASE)


def read(source: Source) -> tuple[list[Drawn], list[str]]:
    """All images of the XML file, and the task's labels in their order."""
    file = _find(source.place)
    root = _parse(file)
    if root.tag != "annotations":
        raise DataError(f"{file}: not CVAT's XML: expected <annotations>, found <{root.tag}>")
    if root.find("track") is not None:
        raise DataError(
            f"{file}: holds tracks, that is CVAT for video", remedy='export the task as "CVAT for images 1.1"'
        )
    labels = [str(name.text) for name in root.iterfind(".//labels/label/name") if name.text]
    folder = file.parent
    finder = ImageFinder([folder / "images", folder], folder)
    drawn = []
    for entry in root.iterfind("image"):
        name = entry.get("name", "")
        subject = f"image {entry.get('id', '?')} ({name})"
        try:
            located = finder.find(name)
        except Fault as fault:
            source.findings.add(fault.kind, file, subject, fault.text, name)
            continue
        if not located.exact:
            source.findings.add("image-elsewhere", file, subject, f"found as {located.path}", str(located.path))
        frame = source.frame(file, located.path, entry.get("width"), entry.get("height"), subject)
        if frame is None:
            continue
        subset = entry.get("subset", "")
        one = Drawn(file, located.path, frame, split_name(subset))
        one.shapes = _shapes(entry, subject, one, source)
        drawn.append(one)
    note_unannotated(folder, [one.path for one in drawn], source)
    if not any(f.severity == "error" for f in source.findings):
        refuse_empty(source.place, drawn, "images")
    return drawn, list(dict.fromkeys(labels))


def _find(place: Path) -> Path:
    if place.is_file():
        return place
    files = sorted(file for file in files_below(place) if file.suffix.lower() == ".xml")
    if len(files) != 1:
        found = f"{len(files)} XML files" if files else "no XML file"
        raise DataError(f"{place}: {found}; expected one, annotations.xml", remedy="give the file itself")
    return files[0]


def _parse(file: Path) -> ElementTree.Element:
    content = read_limited(file, DataError, limits.DATASET_JSON_BYTES)
    # CVAT writes none; entities can blow a small file up to any size, or read other files.
    if _ENTITIES.search(content):
        raise DataError(
            f"{file}: holds a document type or entities, which CVAT doesn't write", remedy="export it again"
        )
    try:
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as problem:
        raise DataError(f"{file}: not XML: {problem}", remedy="export it again") from None


def _shapes(entry: ElementTree.Element, subject: str, image: Drawn, source: Source) -> list[Shape]:
    shapes: list[Shape] = []
    grouped: dict[tuple[str, str], Shape] = {}
    for number, shape in enumerate(entry):
        if shape.tag == "tag":  # of the image as a whole
            continue
        label = shape.get("label", "")
        where = f"{subject}: {shape.tag} {number} ({label})"
        notes: Notes = []
        try:
            part = _part(shape, label, image, notes)
        except Fault as fault:
            source.findings.add(fault.kind, image.file, where, fault.text, str(image.path))
            continue
        for kind, text in notes:
            source.findings.add(kind, image.file, where, text, str(image.path))
        group = shape.get("group_id", "0")
        if group not in ("", "0") and (label, group) in grouped:
            grouped[label, group].parts.append(part)
            continue
        one = Shape(label, [part], where)
        shapes.append(one)
        if group not in ("", "0"):
            grouped[label, group] = one
    return shapes


def _part(shape: ElementTree.Element, label: str, image: Drawn, notes: Notes) -> Part:
    if shape.tag in WITHOUT_AREA:
        raise Fault("no-area", f"a {shape.tag}")
    if shape.tag not in KNOWN:
        raise Fault("outline", f"expected one of {', '.join(sorted(KNOWN))}, found a {shape.tag}")
    if not label:
        raise Fault("entry", "expected a label, found none")
    if shape.tag == "polygon":
        text = shape.get("points", "")
        points = [point.split(",") for point in text.split(";") if point.strip()]
        if len(points) < 3 or any(len(point) != 2 for point in points):
            raise Fault("outline", f"points: expected x,y;x,y;… of at least three points, found {shown(text)}")
        return [_number("points", value) for point in points for value in point]
    if shape.tag == "mask":
        return _mask(shape, image, notes)
    degrees = _number("rotation", shape.get("rotation", "0"))
    if shape.tag == "ellipse":
        x, y, across, down = (_number(key, shape.get(key)) for key in ("cx", "cy", "rx", "ry"))
        return ellipse(x, y, abs(across), abs(down), degrees)
    x0, y0, x1, y1 = (_number(key, shape.get(key)) for key in ("xtl", "ytl", "xbr", "ybr"))
    x, y, across, down = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2
    if not degrees:
        return [x0, y0, x1, y0, x1, y1, x0, y1]
    corners = np.array([(-across, -down), (across, -down), (across, down), (-across, down)])
    return turned(corners, x, y, degrees)


def _mask(shape: ElementTree.Element, image: Drawn, notes: Notes) -> Part:
    """Run lengths along the rows of the mask's rectangle, of 0 and 1 in turn."""
    left, top, width, height = (int(_number(key, shape.get(key))) for key in ("left", "top", "width", "height"))
    text = shape.get("rle", "")
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdecimal() and len(word) < 12 for word in words):
        raise Fault("outline", f"rle: expected run lengths, found {shown(text)}")
    runs = np.array([int(word) for word in words], np.int64)
    if width < 1 or height < 1 or runs.sum() != width * height:
        raise Fault("outline", f"rle: expected run lengths that add up to {width} x {height}, found {shown(text)}")
    if width > 4 * image.width or height > 4 * image.height:
        raise Fault(
            "outline-outside", f"expected a mask inside {image.width} x {image.height}, found {width} x {height}"
        )
    drawn = np.repeat(np.arange(len(runs)) % 2, runs).reshape(height, width)
    return paste(drawn, left, top, image.width, image.height, notes)


def _number(what: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not abs(number) < 1e9:
        raise Fault("outline", f"{what}: expected a number, found {shown(value)}")
    return number
