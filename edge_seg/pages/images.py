"""Images inside a page: scaled down to a bounded size, as JPEG, or as PNG where every pixel counts."""

from __future__ import annotations

import base64
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_seg.pages.blocks import Image

LONGEST_SIDE = 720
"""In pixels; what a page shows an image with at most."""
_JPEG_QUALITY = 82


def inline(
    pixels: NDArray[np.uint8],
    caption: str,
    *,
    title: str = "",
    longest: int = LONGEST_SIDE,
    form: Literal["jpeg", "png"] = "jpeg",
) -> Image:
    """``pixels`` uint8[h, w, 3] in BGR order, or uint8[h, w], for a page; the same pixels give the same bytes.

    ``title`` is what a pointer on the image shows, such as the whole file name. Raises ValueError for an array that
    isn't an image.
    """
    import cv2

    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or not pixels.size:
        raise ValueError(f"{caption}: expected uint8 of 2 or 3 dimensions, got {pixels.dtype}{pixels.shape}")
    height, width = pixels.shape[:2]
    shrink = longest / max(height, width)
    if shrink < 1:
        # A panorama keeps at least one pixel of its short side.
        width, height = max(1, round(width * shrink)), max(1, round(height * shrink))
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    if form == "png":
        _, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    else:
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    source = f"data:image/{form};base64,{base64.b64encode(data.tobytes()).decode()}"
    return Image(source, width, height, caption, title)
