"""How EXIF data say that an image is to be turned, and turning it."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXIF_HEADER = b"Exif\0\0"
_TAG = 0x0112


def orientation_of(tiff: bytes) -> int:
    """EXIF's orientation, 1 (upright) to 8, in a TIFF block; 1 where it has none."""
    try:
        order = {b"II": "<", b"MM": ">"}[tiff[:2]]
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, _kind, _values, value = struct.unpack_from(order + "HHIH", tiff, entry)
            if tag == _TAG:
                return int(value) if 1 <= value <= 8 else 1
    except (KeyError, struct.error):
        pass
    return 1


def webp_orientation(content: bytes) -> int:
    """The orientation that a WebP file's EXIF chunk holds, 1 where there is none."""
    position = 12
    while position + 8 <= len(content):
        kind, (length,) = content[position : position + 4], struct.unpack_from("<I", content, position + 4)
        if kind == b"EXIF":
            return orientation_of(content[position + 8 : position + 8 + length].removeprefix(EXIF_HEADER))
        position += 8 + length + length % 2
    return 1


def turn_upright(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """``image`` [H, W, …] as stored, turned and mirrored as EXIF's ``orientation`` says."""
    if orientation >= 5:  # rows and columns change places first
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)
