"""Images in: a file (JPEG, PNG, BMP, TIFF, WebP, PNM) or an array becomes uint8[H, W, 3], BGR, upright."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_seg import files, limits
from edge_seg.errors import ImageError
from edge_seg.process import guard
from edge_seg.runtime.image_size import read_size
from edge_seg.runtime.orientation import turn_upright, webp_orientation
from edge_seg.words import counted

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

ImageLike: TypeAlias = "Path | str | NDArray[np.uint8] | PilImage"
"""What is taken for an image: a file, uint8[H, W, 3] in BGR order, or an image of Pillow."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm"})

_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
# OpenCV 4.13 moved its log level's functions there.
_LOGGING: Any = getattr(cv2.utils, "logging", cv2)
_REMEDY = "save it again as JPEG or PNG, or leave it out"
_CODES = {"file-missing": "image-missing", "file-unreadable": "image-unreadable", "file-too-large": "image-too-large"}


def read_image(path: Path) -> NDArray[np.uint8]:
    """The image as uint8[H, W, 3], BGR, turned as its EXIF data says.

    Grey becomes three equal channels, alpha is dropped, of 16 bits the upper 8 are kept. Raises :class:`ImageError`,
    naming the file, when there is none, it is no regular file, empty, cut short, of a format that isn't decoded, or
    larger than :func:`edge_seg.limits.image_pixels` allows, which is told from its header before it is decoded.
    """
    with guard.during(f"reading {path}"):
        return _read(path)


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        content = files.read_limited(path, ImageError, limits.IMAGE_BYTES, "image file")
    except ImageError as problem:
        problem.code = _CODES.get(problem.code, problem.code)
        raise
    if not content:
        raise ImageError(f"{path}: empty file, not an image", remedy=_REMEDY, code="image-unreadable")
    if _is_cut_short(content):
        raise ImageError(f"{path}: cut short, its end is missing", remedy=_REMEDY, code="image-unreadable")
    _check_size(path, content)
    image = _decode(path, content)
    if image is None:
        raise ImageError(f"{path}: damaged, or not an image", remedy=_REMEDY, code="image-unreadable")
    if image.dtype == np.uint16:
        return (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ImageError(f"{path}: holds {image.dtype} values, not 8 or 16 bits", remedy=_REMEDY, code="image-type")
    return image


def _check_size(path: Path, content: bytes) -> None:
    """Refuses what would take more memory or time than an image may."""
    size = read_size(content)
    if size is None:
        message = f"{path}: damaged, or not an image in JPEG, PNG, BMP, TIFF, WebP or PNM"
        raise ImageError(message, remedy=_REMEDY, code="image-unreadable")
    most = limits.image_pixels()
    if size.pixels * size.weight > most:
        raise ImageError(
            f"{path}: {size.width} x {size.height} pixels (width x height) in {size.format}, expected at most"
            f" {most // size.weight:,} pixels on this machine",
            remedy=f"scale it down, or set {limits.PIXELS_VARIABLE} to more than {size.pixels * size.weight}",
            code="image-too-large",
        )
    if len(content) < size.least_bytes:
        raise ImageError(
            f"{path}: cut short: {counted(len(content), 'byte')} can't hold {size.width} x {size.height} pixels",
            remedy=_REMEDY,
            code="image-unreadable",
        )
    if size.scans > limits.JPEG_SCANS or size.scans * size.pixels > limits.JPEG_SCAN_PIXELS:
        raise ImageError(
            f"{path}: {counted(size.scans, 'scan')} of {size.width} x {size.height} pixels, expected at most"
            f" {limits.JPEG_SCANS} scans and {limits.JPEG_SCAN_PIXELS:,} pixels in all of them",
            remedy=_REMEDY,
            code="image-too-large",
        )


def _decode(path: Path, content: bytes) -> NDArray[Any] | None:
    # With any depth, because OpenCV would turn floating-point images into nearly black ones without a word.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    # Not every version of OpenCV turns WebP as EXIF says.
    orientation = webp_orientation(content) if content.startswith(b"RIFF") else 1
    if orientation != 1:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        with decoder_is_silent():
            found = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
        return found if found is None or orientation == 1 else turn_upright(found, orientation)
    except cv2.error as problem:
        raise ImageError(f"{path}: can't be decoded: {problem.err}", remedy=_REMEDY, code="image-unreadable") from None


@contextlib.contextmanager
def decoder_is_silent() -> Iterator[None]:
    """OpenCV prints nothing: the one message is ours."""
    level = _LOGGING.getLogLevel()
    _LOGGING.setLogLevel(0)
    try:
        yield
    finally:
        _LOGGING.setLogLevel(level)


def load_image(image: ImageLike) -> NDArray[np.uint8]:
    """A file (:func:`read_image`), an array (:func:`as_bgr`) or an image of Pillow, as uint8[H, W, 3] BGR, upright.

    An image of Pillow is treated as its file would be: turned as its EXIF data says, alpha dropped, of 16 bits the
    upper 8 kept. Raises :class:`ImageError` for what can't be read.
    """
    if isinstance(image, (str, Path)):
        return read_image(Path(image))
    return _from_pillow(image) if _is_pillow(image) else as_bgr(image)


def _is_pillow(image: Any) -> TypeGuard[PilImage]:
    pillow = sys.modules.get("PIL.Image")  # whoever has such an image has imported it
    return pillow is not None and isinstance(image, pillow.Image)


def _from_pillow(image: PilImage) -> NDArray[np.uint8]:
    from PIL import ImageOps

    try:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16"):
            return as_bgr((np.asarray(upright) >> 8).astype(np.uint8))
        if upright.mode in ("I", "F"):
            raise ImageError(
                f"an image of Pillow with the mode {upright.mode}: its values have no known range",
                remedy="scale them to 0…255 and make it of the mode L or RGB",
                code="image-type",
            )
        return as_bgr(np.asarray(upright.convert("RGB"))[:, :, ::-1])
    except (OSError, ValueError, SyntaxError) as problem:  # it is decoded only now
        raise ImageError(f"an image of Pillow: {problem}", remedy=_REMEDY, code="image-unreadable") from None


def as_bgr(image: Any) -> NDArray[np.uint8]:
    """An array given in place of a file, as uint8[H, W, 3] BGR. Takes [H, W] and [H, W, 1] (grey), 3 (BGR) or 4 (BGRA).

    Raises :class:`ImageError` for another type, shape or dtype, or an empty image.
    """
    if not isinstance(image, np.ndarray):
        raise ImageError(f"an image is a path or a uint8 array, found {type(image).__name__}", code="image-type")
    if image.dtype != np.uint8:
        raise ImageError(
            f"an image array holds uint8 values in BGR order, found {image.dtype}",
            remedy="scale the values to 0…255 and convert with .astype('uint8')",
            code="image-type",
        )
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or image.size == 0:
        raise ImageError(f"an image array is [height, width, 3], found {list(image.shape)}", code="image-type")
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return np.ascontiguousarray(image[:, :, :3])


def _is_cut_short(content: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end, which the decoder would fill with grey and pass as good."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"IEND" not in content
    return content.startswith(b"\xff\xd8\xff") and not _jpeg_has_end(content)


def _jpeg_has_end(content: bytes) -> bool:
    # Segments are walked up to the first scan, because a thumbnail inside one has an end marker of its own. In scan
    # data 0xFF is always escaped, so the first end marker there is the image's.
    position = 2
    while position + 4 <= len(content):
        if content[position] != 0xFF:
            return True  # not a segment: the decoder knows better what to make of it
        marker = content[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == _START_OF_SCAN:
            return content.find(bytes((0xFF, _END_OF_IMAGE)), position) >= 0
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return False
