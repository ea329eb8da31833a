"""An image file's header: format, size, EXIF orientation, frames and transparency, without decoding the pixels."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from edge_seg import limits
from edge_seg.runtime.image_size import read_size
from edge_seg.runtime.orientation import EXIF_HEADER, orientation_of, webp_orientation

_LONGEST_EXIF = 1 << 16
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG markers without a length
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True)
class Header:
    """What a file's first bytes say. ``width`` and ``height`` are of the pixels as stored, 0 where not known.

    ``orientation`` is EXIF's, 1 (upright) to 8. ``several`` says that the file holds more than one image (pages, an
    animation), ``alpha`` that pixels may be transparent, ``readable`` that the format is one that is read here.
    """

    format: str
    width: int = 0
    height: int = 0
    orientation: int = 1
    several: bool = False
    alpha: bool = False
    readable: bool = True

    @property
    def turned(self) -> bool:
        """Whether width and height change places when the image is turned upright."""
        return self.orientation >= 5

    @property
    def upright(self) -> tuple[int, int]:
        """(width, height) of the upright image."""
        return (self.height, self.width) if self.turned else (self.width, self.height)


def read_header(path: Path) -> Header | None:
    """The file's header; None for a file that can't be read or isn't of a known format."""
    try:
        with path.open("rb") as file:
            return _read(file)
    except (OSError, struct.error, ValueError):
        return None


_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"GIF8", "GIF"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"version https://git-lfs", "a Git LFS pointer, not the image itself"),
)
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"mif1", b"msf1", b"hevc"), "HEIC"),
}


def _read(file: IO[bytes]) -> Header | None:
    start = file.read(32)
    if start.startswith(b"\xff\xd8\xff"):
        file.seek(2)
        return _jpeg(file)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        file.seek(8)
        return _png(file)
    if foreign := _foreign(start):
        return Header(foreign, readable=False)
    content = start + file.read(limits.IMAGE_BYTES)
    size = read_size(content)
    if size is None:
        return None
    header = Header(size.format, size.width, size.height)
    if size.format == "TIFF":
        return replace(header, orientation=orientation_of(content), several=_has_pages(content))
    if size.format == "WebP" and content[12:16] == b"VP8X":
        flags = content[20]
        return replace(header, orientation=webp_orientation(content), several=bool(flags & 2), alpha=bool(flags & 16))
    return header


def _foreign(start: bytes) -> str:
    """The name of a format that isn't read here, "" for any other."""
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "a video or another MP4 file")
    if start.lstrip()[:5].lower() in (b"<?xml", b"<svg ", b"<html", b"<!doc"):
        return "text (SVG or HTML)"
    return next((name for begins, name in _FOREIGN if start.startswith(begins)), "")


def _jpeg(file: IO[bytes]) -> Header:
    orientation = 1
    while True:
        marker = file.read(2)
        while marker[1:] == b"\xff":  # fill bytes
            marker = marker[1:] + file.read(1)
        if len(marker) < 2 or marker[0] != 0xFF or marker[1] == 0xDA:
            return Header("JPEG", orientation=orientation)
        if marker[1] in _STANDALONE:
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if marker[1] in _FRAMES:
            _bits, height, width = struct.unpack(">BHH", file.read(5))
            return Header("JPEG", width, height, orientation)
        if marker[1] == 0xE1 and orientation == 1:
            segment = file.read(length - 2)
            if segment.startswith(EXIF_HEADER):
                orientation = orientation_of(segment[len(EXIF_HEADER) :])
        else:
            file.seek(length - 2, 1)


def _png(file: IO[bytes]) -> Header:
    header = Header("PNG")
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IHDR":
            width, height, _bits, colors = struct.unpack(">IIBB", file.read(10))
            header = replace(header, width=width, height=height, alpha=colors in (4, 6))
            file.seek(length - 10 + 4, 1)
        elif kind == b"eXIf" and length <= _LONGEST_EXIF:
            header = replace(header, orientation=orientation_of(file.read(length)))
            file.seek(4, 1)
        elif kind in (b"IDAT", b"IEND"):
            break
        else:
            header = replace(header, alpha=header.alpha or kind == b"tRNS", several=header.several or kind == b"acTL")
            file.seek(length + 4, 1)
    return header


def _has_pages(tiff: bytes) -> bool:
    """Whether a second directory follows the first."""
    try:
        order = "<" if tiff[:2] == b"II" else ">"
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        (following,) = struct.unpack_from(order + "I", tiff, start + 2 + 12 * count)
    except struct.error:
        return False
    return bool(following)
