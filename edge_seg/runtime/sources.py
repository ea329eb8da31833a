"""Where images come from: files, folders, lists, videos, cameras, addresses of the network."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_seg import limits
from edge_seg.errors import ImageError, UsageError
from edge_seg.runtime.image import SUFFIXES, as_bgr, decoder_is_silent, load_image

if TYPE_CHECKING:
    from edge_seg.runtime.image import ImageLike

VIDEO_SUFFIXES = frozenset(
    {".avi", ".flv", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv", ".y4m"}
)
SourceLike: TypeAlias = "Path | str | int | Iterable[ImageLike] | Source"
"""What a stream may come from: see :func:`open_source`."""

_CAMERA = re.compile(r"(?:camera:|/dev/video)(\d{1,3})")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PATIENCE_MS = 10_000  # for a connection, and for a frame; OpenCV's own limit for cameras is the same
_MOST_RATE = 1000.0


class RawFrame(NamedTuple):
    """An image of a source: its number from 0, its name, uint8[H, W, 3] BGR, and seconds since the begin of a video."""

    number: int
    name: str
    image: NDArray[np.uint8]
    time_s: float | None


class Source(Protocol):
    """Images one after the other. ``live``: an old one is of no use. ``rate``: a video's frames a second, if known."""

    name: str
    live: bool
    rate: float | None

    def frames(self) -> Iterator[RawFrame]:
        """Raises :class:`ImageError` at an image that can't be read."""

    def close(self) -> None:
        """Frees what was opened; not while another thread waits for a frame."""


def is_video(text: str) -> bool:
    """Whether this names a video, a camera or an address rather than an image file or a folder."""
    return not is_file(text) or (Path(text).suffix.lower() in VIDEO_SUFFIXES and not Path(text).is_dir())


def is_file(text: str) -> bool:
    """Whether a source is a file or a folder of this machine, neither camera nor address."""
    return not (_CAMERA.fullmatch(text) or _ADDRESS.match(text))


def open_source(source: SourceLike) -> Source:
    """Opens an image file, a folder (its images by name), a video file, a camera or an address; or takes images.

    What is open already stays as it is.

    A camera is a number, "camera:0" or "/dev/video0"; an address is what OpenCV's FFmpeg reads, such as rtsp://…

    Raises :class:`ImageError` for what isn't there or can't be opened, UsageError for another type.
    """
    if isinstance(source, (Images, Video)):
        return source
    if isinstance(source, bool) or not isinstance(source, (str, Path, int, Iterable)):
        raise UsageError(
            f"source: {type(source).__name__}, expected a path, an address, a camera's number or images",
            remedy='give "folder", "clip.mp4", "rtsp://…", 0, or a list of images',
        )
    if isinstance(source, int):
        return _camera(source)
    if not isinstance(source, (str, Path)):
        return Images(source)
    text = str(source)
    camera = _CAMERA.fullmatch(text)
    if camera:
        return _camera(int(camera[1]))
    if isinstance(source, str) and _ADDRESS.match(text):
        return Video(text, text)
    path = Path(source)
    if path.is_dir() or path.suffix.lower() in SUFFIXES or not path.exists():
        return Images(find_files([path]))
    if not path.is_file():
        raise ImageError(f"{path}: no regular file, so no video", remedy="give a file", code="video-unreadable")
    return Video(str(path), str(path))


def _camera(number: int) -> Video:
    if number < 0:
        raise UsageError(f"camera: {number} is less than 0", remedy="give 0 for /dev/video0")
    return Video(number, f"camera:{number}")


class Images:
    """Image files, or images in memory, as they are given."""

    name: str = "images"
    live: bool = False
    rate: float | None = None

    def __init__(self, images: Iterable[ImageLike]) -> None:
        self._images = images

    def frames(self) -> Iterator[RawFrame]:
        for number, image in enumerate(self._images):
            if isinstance(image, (str, Path)):
                yield RawFrame(number, str(image), load_image(image), None)
                continue
            name = f"image {number}"
            try:
                loaded = load_image(image)
            except ImageError as problem:
                raise ImageError(f"{name}: {problem.message}", remedy=problem.remedy, code=problem.code) from None
            yield RawFrame(number, name, loaded, None)

    def close(self) -> None:
        pass


class Video:
    """A video file, a camera or an address, read by OpenCV."""

    def __init__(self, place: str | int, name: str) -> None:
        """Opens it. Raises :class:`ImageError` when it can't be, or its frames are larger than an image may be."""
        self.name = name
        with decoder_is_silent():
            self._capture = _open(place)
        if not self._capture.isOpened():
            raise ImageError(f"{name}: can't be opened as a video", remedy=_remedy(place), code="video-unreadable")
        width, height = (self._capture.get(side) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > limits.image_pixels():
            self._capture.release()
            raise ImageError(
                f"{name}: frames of {width:.0f} x {height:.0f} pixels (width x height), expected at most"
                f" {limits.image_pixels():,} pixels on this machine",
                remedy=f"scale it down, or set {limits.PIXELS_VARIABLE} to more than {width * height:.0f}",
                code="image-too-large",
            )
        # Streams without an end tell no number of frames.
        self.live = isinstance(place, int) or (
            _ADDRESS.match(place) is not None and self._capture.get(cv2.CAP_PROP_FRAME_COUNT) <= 0
        )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if math.isfinite(rate) and 0 < rate <= _MOST_RATE else None

    def frames(self) -> Iterator[RawFrame]:
        begin, number = time.monotonic(), 0
        while True:
            there, image = self._read()
            if not there:
                break
            seconds = time.monotonic() - begin if self.live else self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            yield RawFrame(number, self.name, as_bgr(image), seconds)
            number += 1
        if number == 0:
            raise ImageError(
                f"{self.name}: no frame of it can be decoded",
                remedy="save it again, as H.264 in MP4 for example",
                code="video-unreadable",
            )
        if self.live:
            raise ImageError(
                f"{self.name}: no frame came any more after {number}",
                remedy="check the camera and what connects it, and open it again",
                code="video-lost",
            )

    def _read(self) -> tuple[bool, NDArray[np.uint8]]:
        try:
            there, image = self._capture.read()
        except cv2.error as problem:
            raise ImageError(f"{self.name}: can't be decoded: {problem.err}", code="video-unreadable") from None
        return there, np.asarray(image, np.uint8) if there else np.zeros((0, 0, 3), np.uint8)

    def close(self) -> None:
        self._capture.release()


def _open(place: str | int) -> cv2.VideoCapture:
    if isinstance(place, int):
        return cv2.VideoCapture(place)
    # FFmpeg by name, where OpenCV has it: others take a file's name for a pattern of a numbered series.
    backend = cv2.CAP_FFMPEG if cv2.CAP_FFMPEG in cv2.videoio_registry.getStreamBackends() else cv2.CAP_ANY
    if backend == cv2.CAP_ANY or not _ADDRESS.match(place):
        return cv2.VideoCapture(place, backend)
    waits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _PATIENCE_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _PATIENCE_MS)
    return cv2.VideoCapture(place, backend, waits)


def _remedy(place: str | int) -> str:
    if isinstance(place, int):
        return f"check that /dev/video{place} is there, that you may read it, and that no other program uses it"
    if _ADDRESS.match(place):
        return "check the address, user and password, and that this machine reaches it"
    return "check that the file is whole, or save it again, as H.264 in MP4 for example"


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The images named and those in the folders named (not below), in that order, each once.

    Raises :class:`ImageError` for a path that isn't there or a folder without images.
    """
    return list({file.resolve(): file for path in paths for file in _expand(path)}.values())


def _expand(path: Path) -> list[Path]:
    if not path.exists():
        raise ImageError(f"{path}: no such image or folder", remedy="check the path", code="image-missing")
    if not path.is_dir():
        return [path]
    # Hidden files aren't the user's: a Mac leaves a ._photo.jpg, which is no image, beside each photo.jpg.
    found = [
        file
        for file in sorted(path.iterdir())
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    ]
    if not found:
        raise ImageError(
            f"{path}: no images in this folder",
            remedy=f"images end with {', '.join(sorted(SUFFIXES))}; hidden files and folders below aren't searched",
            code="image-missing",
        )
    return found
