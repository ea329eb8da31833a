"""The size of an image, and the frame in which its outlines were drawn: as stored, or turned upright by EXIF."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.data.header import Header, read_header
from edge_seg.data.outline import Box, Fault, Notes, Outline, shown, turn, turn_point
from edge_seg.errors import ImageError
from edge_seg.runtime.image import read_image
from edge_seg.words import counted

LONGEST_SIDE = 65_535
_ROUNDING = 1.0
"""Outlines may leave their image by so many pixels."""


@dataclass(frozen=True)
class Frame:
    """``width`` x ``height`` of the upright image; outlines are in the stored one if ``orientation`` isn't 1.

    ``stored`` (width, height) is known where it isn't whether they are; the frame is then large enough for both.
    """

    width: int
    height: int
    orientation: int = 1
    stored: tuple[int, int] | None = None

    @property
    def drawn_width(self) -> int:
        return self.height if self.orientation >= 5 else self.width

    @property
    def drawn_height(self) -> int:
        return self.width if self.orientation >= 5 else self.height

    def turn(self, outline: Outline, box: Box) -> tuple[Outline, Box]:
        """Outline and box in the upright image."""
        if self.orientation == 1:
            return outline, box
        sides = self.drawn_width, self.drawn_height
        (x0, y0), (x1, y1) = (turn_point(*corner, self.orientation, *sides) for corner in (box[:2], box[2:]))
        turned = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        return turn(outline, self.orientation, *sides), turned


def find_frame(path: Path | None, width: Any, height: Any, exif: str, notes: Notes) -> Frame:
    """The frame of an image file whose annotations state ``width`` and ``height``; both may be missing.

    ``exif`` is "apply", "ignore" or "", see ``ReadOptions``. What is odd or mended is added to ``notes``. Raises
    :class:`Fault` when there is no size to be had.
    """
    stated = _side("width", width), _side("height", height)
    header = read_header(path) if path is not None else None
    if path is not None and (header is None or not header.readable):
        fault = Fault("image-unreadable", _unreadable(path, header))
        if stated[0] is None or stated[1] is None:
            raise fault
        notes.append((fault.kind, fault.text))
    if stated[0] is None or stated[1] is None:
        found = _read_size(path, header)
        notes.append(("size-read", f"{found[0]} x {found[1]}"))
        if header is not None and header.orientation > 1 and not exif:
            notes.append(("exif-unclear", f"EXIF orientation {header.orientation}"))
        orientation = header.orientation if header is not None and exif == "ignore" else 1
        return Frame(*found, orientation)
    size = (stated[0], stated[1])
    if header is None or not header.width or not header.height:
        return Frame(*size)
    if header.orientation == 1:
        if size != header.upright:
            notes.append(("image-size", _differing(header.upright, size)))
        return Frame(*size)
    return _turned_frame(header, size, exif, notes)


def _turned_frame(header: Header, size: tuple[int, int], exif: str, notes: Notes) -> Frame:
    """The frame of an image that EXIF turns."""
    stored, how = (header.width, header.height), f"EXIF orientation {header.orientation}"
    if size == stored == header.upright:
        if exif == "ignore":
            notes.append(("exif-turned", how))
            return Frame(*size, header.orientation)
        if not exif:
            notes.append(("exif-unclear", how))
        return Frame(*size)
    if size == header.upright:
        notes.append(("exif-upright", how))
        return Frame(*size)
    if size != stored:
        notes.append(("image-size", f"{_differing(header.upright, size)} ({how})"))
        return Frame(*size)
    if exif == "apply":
        notes.append(("exif-sized", f"{how}: {header.upright[0]} x {header.upright[1]}"))
        return Frame(*header.upright)
    if exif == "ignore":
        notes.append(("exif-turned", how))
        return Frame(*header.upright, header.orientation)
    text = f"{header.upright[0]} x {header.upright[1]} pixels upright, its annotations say {size[0]} x {size[1]}"
    notes.append(("exif-size", f"{how}: {text}"))
    # Outlines may reach as far as in either frame; nothing is computed with them.
    side = max(size)
    return Frame(side, side, stored=stored)


@dataclass
class Evidence:
    """What outlines tell of images whose annotations may be upright or unturned: they may fit only one of the two."""

    upright: int = 0
    unturned: int = 0
    both: int = 0

    def add(self, frame: Frame, right: float, bottom: float) -> None:
        """Counts an image whose outlines reach to ``right`` and ``bottom``."""
        if frame.stored is None:
            return
        width, height = frame.stored
        unturned = right <= width + _ROUNDING and bottom <= height + _ROUNDING
        upright = right <= height + _ROUNDING and bottom <= width + _ROUNDING
        self.upright += upright and not unturned
        self.unturned += unturned and not upright
        self.both += unturned and upright

    @property
    def text(self) -> str:
        """What was counted, and what follows; "" where nothing is to be decided."""
        total = self.upright + self.unturned + self.both
        if not total:
            return ""
        told = f"of {counted(total, 'image')} the outlines of {self.upright} fit the upright image only, "
        told += f"of {self.unturned} the unturned one only, of {self.both} both"
        if bool(self.upright) != bool(self.unturned):
            told += f": use --exif {'apply' if self.upright else 'ignore'}"
        return told


def _unreadable(path: Path, header: Header | None) -> str:
    if header is not None:
        return f"{path}: {header.format}, which isn't read here"
    empty = path.stat().st_size == 0
    return f"{path}: {'empty file, not an image' if empty else 'damaged, or not an image'}"


def _differing(found: tuple[int, int], stated: tuple[int, int]) -> str:
    swapped = ": the sides are swapped" if found == stated[::-1] else ""
    return f"{found[0]} x {found[1]} pixels, its annotations say {stated[0]} x {stated[1]}{swapped}"


def _side(what: str, value: Any) -> int | None:
    """A side in pixels, also given as 96.0 or text; None when it is missing."""
    if value is None or value == 0 or value == "":
        return None
    number = value
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdecimal() and len(value) < 9:
        number = int(value)
    if isinstance(number, float) and number == number and abs(number) < 1e9 and number == int(number):
        number = int(number)
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= LONGEST_SIDE:
        raise Fault("entry", f"{what}: expected a size in pixels, 1 to {LONGEST_SIDE}, found {shown(value)}")
    return number


def _read_size(path: Path | None, header: Header | None) -> tuple[int, int]:
    """(width, height) of the upright image in the file."""
    if header is not None and header.width and header.height:
        return header.upright
    if path is None:
        raise Fault("entry", "width and height: expected a size in pixels, found nothing, and no image to read it from")
    try:
        height, width = read_image(path).shape[:2]
    except ImageError as problem:
        raise Fault("image-unreadable", problem.message) from None
    return width, height
