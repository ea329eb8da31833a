"""The size of an image file from its header, before anything is decoded.

A header of a hundred bytes can ask a decoder for gigabytes. Only formats whose size is known here are decoded at all;
where a file could be read in two ways, the larger one counts.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """The largest width and height that the file names, pixels, and the scans of a JPEG (others have one).

    ``weight`` is how much memory decoding takes, with a plain image's as 1. ``least_bytes`` is the size of the smallest
    file that can hold so many pixels, where the format sets one.
    """

    format: str
    width: int
    height: int
    scans: int = 1
    weight: int = 1
    least_bytes: int = 0

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


def read_size(content: bytes) -> Size | None:
    """The size of a JPEG, PNG, BMP, TIFF, WebP or PNM file; None when it is none of these, or damaged.

    JPEG 2000 isn't among them: OpenCV's decoder ends the process on damaged files.
    """
    read = next((read for begins, read in _FORMATS if content.startswith(begins)), None)
    try:
        size = read(content) if read else None
    except (struct.error, ValueError):
        return None
    return size if size and size.pixels else None


_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HUFFMAN = frozenset(range(0xC0, 0xC8)) - {0xC4}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
# In scan data 0xFF stands before 0 (a plain 0xFF), a restart marker, or the next segment. Decoders look for that also
# behind a segment that ends elsewhere than where it says.
_NEXT = re.compile(rb"\xff[^\x00\xff]")
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_MOST_PIXELS_OF_A_BYTE = 600
"""A block of 8 x 8 pixels takes at least one bit of Huffman code."""


def _jpeg(content: bytes) -> Size:
    width = height = scans = 0
    huffman = True
    for marker, position in _segments(content):
        if marker == _START_OF_SCAN:
            scans += 1
        elif marker in _FRAMES:
            high, wide = struct.unpack_from(">HH", content, position + 5)
            width, height = max(width, wide), max(height, high)
            huffman = huffman and marker in _HUFFMAN
    if not width or not height:
        raise ValueError("no frame")
    # Of several scans the decoder keeps all coefficients.
    least = width * height // _MOST_PIXELS_OF_A_BYTE if huffman else 0
    return Size("JPEG", width, height, scans, weight=1 if scans < 2 else 2, least_bytes=least)


def _segments(content: bytes) -> Iterator[tuple[int, int]]:
    """The markers of a JPEG and where each stands, up to the end of the image."""
    following = _NEXT.search(content, 2)
    while following is not None:
        position = following.start()
        marker = content[position + 1]
        if marker == _END_OF_IMAGE:
            return
        yield marker, position
        end = position + 2
        if marker not in _STANDALONE:
            end += int.from_bytes(content[position + 2 : position + 4], "big")
        following = (_AFTER_SCAN if marker == _START_OF_SCAN else _NEXT).search(content, end)


def _png(content: bytes) -> Size:
    if content[12:16] != b"IHDR":
        raise ValueError("no header")
    return Size("PNG", *struct.unpack_from(">II", content, 16))


def _bmp(content: bytes) -> Size:
    if struct.unpack_from("<I", content, 14)[0] == 12:  # OS/2's
        return Size("BMP", *struct.unpack_from("<HH", content, 18))
    width, height = struct.unpack_from("<ii", content, 18)
    return Size("BMP", abs(width), abs(height))


_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 256, 257, 322, 323
_TIFF_SIDES = ((_TIFF_WIDTH, _TIFF_TILE_WIDTH), (_TIFF_HEIGHT, _TIFF_TILE_HEIGHT))
_TIFF_KINDS = {3: "H", 4: "I"}
_MOST_TAGS = 500


def _tiff(content: bytes) -> Size:
    order = "<" if content[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", content, 4)
    (count,) = struct.unpack_from(order + "H", content, start)
    if count > _MOST_TAGS:
        raise ValueError("too many tags")
    # The decoder allocates whole tiles.
    values = dict.fromkeys((_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT), 0)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, numbers = struct.unpack_from(order + "HHI", content, entry)
        if tag in values:
            if kind not in _TIFF_KINDS or numbers != 1:
                raise ValueError("a size that is no number of 16 or 32 bits")
            (value,) = struct.unpack_from(order + _TIFF_KINDS[kind], content, entry + 8)
            values[tag] = max(values[tag], value)
    width, height = (max(values[side], values[tile]) for side, tile in _TIFF_SIDES)
    return Size("TIFF", width, height)


def _webp(content: bytes) -> Size:
    kind = content[12:16] if content[8:12] == b"WEBP" else b""
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
        return Size("WebP", width, height)
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", content, 21)[0]
        return Size("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return Size("WebP", width & 0x3FFF, height & 0x3FFF)
    raise ValueError("no image")


_PNM = re.compile(rb"P[1-6]\s(?:\s|#[^\n\r]*[\n\r])*(\d{1,9})\s(?:\s|#[^\n\r]*[\n\r])*(\d{1,9})\s")


def _pnm(content: bytes) -> Size:
    match = _PNM.match(content[:10_000])
    if not match:
        raise ValueError("no header")
    return Size("PNM", int(match[1]), int(match[2]))


_FORMATS: tuple[tuple[bytes | tuple[bytes, ...], Callable[[bytes], Size]], ...] = (
    (b"\xff\xd8\xff", _jpeg),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"BM", _bmp),
    ((b"II*\0", b"MM\0*"), _tiff),
    (b"RIFF", _webp),
    (tuple(b"P%d" % n for n in range(1, 7)), _pnm),
)
