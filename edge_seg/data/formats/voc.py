"""Pascal VOC masks: an image of object numbers and an image of classes for each image, as CVAT and labelme write them.

Numbers are palette places or grey values; in images of colours each colour is one. 0 (black) is background, and in
palette images 255 (VOC's pale border) is left out.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_seg.data.formats.build import Drawn, Shape, Source, note_unannotated, refuse_empty, split_name
from edge_seg.data.locate import ImageFinder, files_below
from edge_seg.data.outline import Fault
from edge_seg.errors import DataError

_NAMES = """
aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep sofa
train tvmonitor
"""
CLASSES = tuple(_NAMES.split())
"""Classes 1 to 20 of the VOC challenge, for sets that bring no list."""
BORDER = 255
BORDER_COLOR = 0xE0E0C0
PURE = 0.9
"""An object's pixels of one class, at least, in sets without faults: borders may be a bit off."""


@dataclass(frozen=True)
class Numbers:
    """A mask image: a number for each pixel, int64[height, width]; the colour of each, 0xRRGGBB, if it has colours."""

    values: NDArray[np.int64]
    colors: dict[int, int]
    indexed: bool


def read(source: Source) -> tuple[list[Drawn], list[str]]:
    """All images with a mask of objects, and the names of the classes in their order."""
    root = source.place
    objects = root / "SegmentationObject"
    if not objects.is_dir() or not (root / "SegmentationClass").is_dir():
        raise DataError(
            f"{root}: expected SegmentationObject/ and SegmentationClass/",
            remedy="export with both: masks of classes alone don't tell one object from the next",
        )
    names, by_color = _names(root)
    splits = _splits(root)
    finder = ImageFinder([root / "JPEGImages", root / "images", root], root / "JPEGImages")
    drawn = []
    for file in sorted(path for path in files_below(objects) if path.suffix.lower() == ".png"):
        relative = file.relative_to(objects)
        try:
            image = finder.find(str(relative.with_suffix(".jpg"))).path
        except Fault as fault:
            source.findings.add(fault.kind, file, "", fault.text)
            continue
        instances, classes = _read_numbers(file), _read_numbers(root / "SegmentationClass" / relative)
        if instances is None or classes is None:
            bad = file if instances is None else root / "SegmentationClass" / relative
            source.findings.add("file", bad, "", "expected a PNG image of numbers or colours; missing or damaged")
            continue
        height, width = instances.values.shape
        frame = source.frame(file, image, width, height)
        if frame is None:
            continue
        one = Drawn(file, image, frame, splits.get(str(relative.with_suffix("")), ""))
        drawn.append(one)
        if classes.values.shape != instances.values.shape:
            down, across = classes.values.shape
            text = f"{width} x {height} pixels, SegmentationClass has {across} x {down}"
            source.findings.add("outline", file, "", text, str(image))
            continue
        for number in np.unique(instances.values).tolist():
            if number == 0 or _is_border(number, instances):
                continue
            mask = (instances.values == number).astype(np.uint8)
            subject = f"object {number}"
            label, share = _label(mask, classes, names, by_color)
            if share < PURE and isinstance(label, str) and label:
                source.findings.add("classes-mixed", file, subject, f"{share:.0%} are of {label!r}", str(image))
            if isinstance(label, Fault):
                source.findings.add(label.kind, file, subject, label.text, str(image))
            elif label:
                one.shapes.append(Shape(label, [mask], subject))
            else:
                source.findings.add("no-outline", file, subject, "its pixels are background in SegmentationClass")
    refuse_empty(root, drawn, "masks of objects")
    masks = [root / "JPEGImages" / file.relative_to(objects) for file in files_below(objects)]
    note_unannotated(root / "JPEGImages", [one.path for one in drawn], source, masks)
    held = {str(file.relative_to(root / "JPEGImages").with_suffix("")) for file in masks}
    if missing := [name for name in splits if name not in held]:
        source.findings.add("list-missing", root / "ImageSets", "", ", ".join(missing[:5]))
    return drawn, [name for name in names.values() if name not in ("background", "_background_", "__ignore__")]


def _is_border(number: int, numbers: Numbers) -> bool:
    return (number == BORDER and numbers.indexed) or numbers.colors.get(number) == BORDER_COLOR


def _label(
    mask: NDArray[np.uint8], classes: Numbers, names: dict[int, str], by_color: dict[int, str]
) -> tuple[str | Fault, float]:
    """The class of most of the object's pixels, "" for background, and which share of them have it."""
    values, counts = np.unique(classes.values[mask > 0], return_counts=True)
    number, share = int(values[counts.argmax()]), float(counts.max() / counts.sum())
    if number == 0 or _is_border(number, classes):
        return "", share
    if by_color:
        color = classes.colors.get(number, -1)
        if color in by_color:
            return by_color[color], share
        return Fault("category-unknown", f"labelmap.txt has no class of colour {color:06x}"), share
    if number not in names:
        text = f"expected a class number of {shown_numbers(names)}, found {number}"
        return Fault("category-unknown", text), share
    return names[number], share


def shown_numbers(names: dict[int, str]) -> str:
    """The range of class numbers, for a message."""
    return f"{min(names)} to {max(names)}" if names else "none"


def _names(root: Path) -> tuple[dict[int, str], dict[int, str]]:
    """Class number → name, and colour → name where ``labelmap.txt`` (CVAT) tells it."""
    labelmap = root / "labelmap.txt"
    if labelmap.is_file():
        by_color: dict[int, str] = {}
        for line in labelmap.read_text(encoding="utf-8-sig").splitlines():
            name, _, rest = line.partition(":")
            channels = rest.split(":")[0].split(",")
            if (
                line.strip()
                and not line.startswith("#")
                and len(channels) == 3
                and all(c.isdecimal() for c in channels)
            ):
                red, green, blue = map(int, channels)
                by_color[red << 16 | green << 8 | blue] = name
        by_color.pop(0, None)
        return dict(enumerate(by_color.values(), 1)), by_color
    for file in (root / "class_names.txt", root / "classes.txt"):
        if file.is_file():
            lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
            if lines and lines[0] == "__ignore__":  # labelme's list begins with it; it has number -1
                lines = lines[1:]
            first = 0 if lines and lines[0] in ("_background_", "background") else 1
            return {n: name for n, name in enumerate(lines, first) if n}, {}
    return dict(enumerate(CLASSES, 1)), {}


def _splits(root: Path) -> dict[str, str]:
    """The split of each image by its name without ending, from ImageSets/Segmentation."""
    found: dict[str, str] = {}
    for folder in (root / "ImageSets" / "Segmentation", root / "ImageSets" / "Main", root / "ImageSets"):
        for file in sorted(folder.glob("*.txt")):
            if split := split_name(file.stem):
                lines = file.read_text(encoding="utf-8-sig").splitlines()
                found |= {line.split()[0]: split for line in lines if line.strip()}
        if found:
            break
    return found


def _read_numbers(file: Path) -> Numbers | None:
    pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED) if file.is_file() else None
    if pixels is None:
        return None
    if pixels.ndim == 2:
        return Numbers(pixels.astype(np.int64), {}, indexed=pixels.dtype == np.uint8)
    wide = pixels.astype(np.int64)
    colors = wide[:, :, 2] << 16 | wide[:, :, 1] << 8 | wide[:, :, 0]
    palette = _palette(file)
    if palette is None:
        return Numbers(colors, {int(color): int(color) for color in np.unique(colors)}, indexed=False)
    places = {color: place for place, color in reversed(list(enumerate(palette)))}
    found, inverse = np.unique(colors, return_inverse=True)
    numbers = np.array([places.get(int(color), 0) for color in found], np.int64)
    return Numbers(numbers[inverse].reshape(colors.shape), dict(enumerate(palette)), indexed=True)


def _palette(file: Path) -> list[int] | None:
    """The colours, 0xRRGGBB, of a PNG's palette; None when it has none. OpenCV turns such images into colours."""
    content = file.read_bytes()
    position = 8
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        if kind == b"PLTE":
            entries = content[position + 8 : position + 8 + length]
            return [int.from_bytes(entries[n : n + 3], "big") for n in range(0, len(entries) - 2, 3)]
        if kind == b"IDAT":
            return None
        position += 12 + length
    return None
