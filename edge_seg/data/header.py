"""An image file's header: format, size, EXIF orientation and depth, without decoding the pixels."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_EXIF_HEADER = b"Exif\0\0"
_ORIENTATION_TAG = 0x0112
_LONGEST_EXIF = 1 << 16
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG markers without a length
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True)
class Header:
    """What a file's first bytes say. ``width`` and ``height`` are of the pixels as stored, 0 where not known.

    ``orientation`` is EXIF's, 1 (upright) to 8; ``bits`` those of a value, 0 where not known.
    """

    format: str
    width: int = 0
    height: int = 0
    orientation: int = 1
    bits: int = 0

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


def _read(file: IO[bytes]) -> Header | None:
    start = file.read(32)
    if start.startswith(b"\xff\xd8\xff"):
        file.seek(2)
        return _jpeg(file)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        file.seek(8)
        return _png(file)
    if start.startswith(b"BM"):
        width, height = struct.unpack_from("<ii", start, 18)
        return Header("BMP", width, abs(height), bits=8)
    if start.startswith((b"GIF87a", b"GIF89a")):
        return Header("GIF", *struct.unpack_from("<HH", start, 6))
    if start[4:8] == b"ftyp":
        brand = start[8:12]
        if brand in (b"avif", b"avis"):
            return Header("AVIF")
        return (
            Header("HEIC")
            if brand in (b"heic", b"heix", b"mif1", b"msf1", b"hevc")
            else Header("a video or another MP4 file")
        )
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return Header("WebP")
    if start.startswith((b"II*\0", b"MM\0*")):
        return Header("TIFF")
    if start.startswith(b"%PDF"):
        return Header("PDF")
    if start.lstrip()[:5].lower() in (b"<?xml", b"<svg ", b"<html", b"<!doc"):
        return Header("text (SVG or HTML)")
    if start.startswith(b"version https://git-lfs"):
        return Header("a Git LFS pointer, not the image itself")
    return None


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
            bits, height, width = struct.unpack(">BHH", file.read(5))
            return Header("JPEG", width, height, orientation, bits)
        if marker[1] == 0xE1 and orientation == 1:
            segment = file.read(length - 2)
            if segment.startswith(_EXIF_HEADER):
                orientation = _orientation(segment[len(_EXIF_HEADER) :])
        else:
            file.seek(length - 2, 1)


def _png(file: IO[bytes]) -> Header:
    width = height = bits = 0
    orientation = 1
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IHDR":
            width, height, bits = struct.unpack(">IIB", file.read(9))
            file.seek(length - 9 + 4, 1)
        elif kind == b"eXIf" and length <= _LONGEST_EXIF:
            orientation = _orientation(file.read(length))
            file.seek(4, 1)
        elif kind in (b"IDAT", b"IEND"):
            break
        else:
            file.seek(length + 4, 1)
    return Header("PNG", width, height, orientation, bits)


def _orientation(tiff: bytes) -> int:
    """EXIF's orientation in a TIFF block, 1 where it has none."""
    try:
        order = {b"II": "<", b"MM": ">"}[tiff[:2]]
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, _kind, _values, value = struct.unpack_from(order + "HHIH", tiff, entry)
            if tag == _ORIENTATION_TAG:
                return int(value) if 1 <= value <= 8 else 1
    except (KeyError, struct.error):
        pass
    return 1
