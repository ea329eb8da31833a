"""Images → overlay images and one ``predictions.json`` in COCO results form."""

from __future__ import annotations

import errno
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_seg.errors import EdgeSegError, ImageError, UsageError
from edge_seg.files import atomic_file, write_json
from edge_seg.process.guard import phase
from edge_seg.runtime.image import read_image
from edge_seg.runtime.overlay import draw
from edge_seg.runtime.result import Instances
from edge_seg.runtime.segmenter import Segmenter
from edge_seg.runtime.sources import find_files
from edge_seg.words import counted

PREDICTIONS = "predictions.json"
_JPEG_QUALITY = 92
_LOOKED_AT = 3  # images that are looked at once more when nothing was found in any


@dataclass(frozen=True)
class ImageFile:
    """An image to be done: its number in the results, the name it has there, and where its overlay goes."""

    image_id: int
    file: Path
    name: str
    overlay: Path


@dataclass(frozen=True)
class Done:
    """An image and what was found in it, or why it couldn't be used; ``ms`` is from decoded image to instances."""

    image: ImageFile
    found: Instances | None = None
    ms: float = 0.0
    error: ImageError | None = None


@dataclass(frozen=True)
class BestBelow:
    """The best score of an image in which nothing scored above the ``threshold``."""

    file_name: str
    score: float
    threshold: float

    def __str__(self) -> str:
        # Below it, because what is kept has a score above the threshold.
        advice = (math.ceil(self.score * 100) - 1) / 100
        return (
            f"no score is above {self.threshold:g}; the best is {self.score:.3f}, in {self.file_name}: "
            f"--score {advice:g} shows it"
        )


@dataclass(frozen=True)
class Report:
    """What `edge-seg predict` did. ``best_below`` is looked up when nothing at all was found."""

    done: list[Done]
    classes: tuple[str, ...]
    predictions: Path
    best_below: BestBelow | None = None

    @property
    def failed(self) -> list[Done]:
        return [item for item in self.done if item.error is not None]

    @property
    def exit_code(self) -> int:
        return 1 if self.failed else 0

    def as_json(self) -> dict[str, Any]:
        return {
            "predictions": str(self.predictions),
            "images": [
                {
                    "image_id": item.image.image_id,
                    "file_name": item.image.name,
                    "overlay": str(item.image.overlay),
                    "instances": len(item.found),
                    "ms": round(item.ms, 3),
                }
                for item in self.done
                if item.found is not None
            ],
            "failed": [
                {"image_id": item.image.image_id, "file_name": item.image.name, **item.error.as_json()}
                for item in self.done
                if item.error is not None
            ],
            "best_below": asdict(self.best_below) if self.best_below else None,
        }

    def __str__(self) -> str:
        objects = sum(len(item.found) for item in self.done if item.found is not None)
        good = len(self.done) - len(self.failed)
        text = f"{counted(objects, 'object')} in {counted(good, 'image')} → {self.predictions}"
        if self.best_below:
            text += f"\n{self.best_below}"
        if self.failed:
            text += f"\n{counted(len(self.failed), 'image')} could not be used: " + ", ".join(
                item.image.name for item in self.failed
            )
        return text


def find_images(paths: Sequence[Path], out: Path, overlays: str = "") -> list[ImageFile]:
    """The images named and those in the folders named (not below), by path, each once, numbered from 1.

    ``overlays`` is the format of the overlay images, "jpg" or "png"; unless given, JPEG stays JPEG, all else becomes
    PNG.

    Raises :class:`ImageError` for a path that isn't there or a folder without images, :class:`UsageError` when an
    overlay would overwrite an image.
    """
    files = sorted(find_files(paths))
    names = Counter(file.name for file in files)
    taken: set[str] = {PREDICTIONS}
    inputs = {file.resolve() for file in files}
    images = []
    for number, file in enumerate(files, 1):
        overlay = out / _free_name(file, taken, overlays)
        if overlay.resolve() in inputs:
            raise UsageError(
                f"{overlay}: would be overwritten by the overlay image of {file}",
                remedy="give --out a folder of its own",
            )
        images.append(ImageFile(number, file, file.name if names[file.name] == 1 else str(file), overlay))
    return images


def _free_name(file: Path, taken: set[str], overlays: str) -> str:
    """The overlay's name; one that is taken gets a number."""
    suffix = f".{overlays or ('jpg' if file.suffix.lower() in ('.jpg', '.jpeg') else 'png')}"
    name, number = f"{file.stem}{suffix}", 1
    while name in taken:
        number += 1
        name = f"{file.stem}-{number}{suffix}"
    taken.add(name)
    return name


def check_folder(out: Path) -> None:
    """OSError when ``out`` can't be made or written into: known before the work, not after it."""
    existing = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(existing))
    if os.statvfs(existing).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(existing))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(existing))


def predict(
    segmenter: Segmenter,
    images: Sequence[ImageFile],
    out: Path,
    category_ids: tuple[int, ...],
    progress: Callable[[str], None],
) -> Report:
    """Does all images, writes each one's overlay and at the end ``predictions.json`` into ``out``.

    An image that can't be read is reported and left out. Raises :class:`EngineError` and OSError as they come.
    """
    done = []
    for item in _each(segmenter, images):
        progress(line_of(item, segmenter.classes))
        done.append(item)
    write_json(out / PREDICTIONS, results_of(done, category_ids))
    used = [item for item in done if item.found is not None]
    nothing = used and not any(map(_count_of, used))
    best = _best_below(segmenter, [item.image for item in used[:_LOOKED_AT]]) if nothing else None
    return Report(done, segmenter.classes, out / PREDICTIONS, best)


def _count_of(item: Done) -> int:
    return 0 if item.found is None else len(item.found)


def _best_below(segmenter: Segmenter, images: Sequence[ImageFile]) -> BestBelow | None:
    """The best score in the ``images`` without a threshold; None where the model proposes nothing."""
    before = segmenter.score
    threshold = segmenter.postprocess.score_threshold if before is None else before
    best = []
    segmenter.score = 0.0
    try:
        for image in images:
            phase(f"looking for the best score in {image.file}")
            found = segmenter(image.file)
            if len(found):
                best.append(BestBelow(image.name, float(found.scores.max()), threshold))
    finally:
        segmenter.score = before
    return max(best, key=lambda one: one.score, default=None)


def results_of(done: Sequence[Done], category_ids: tuple[int, ...]) -> list[dict[str, Any]]:
    """COCO results of all images that could be used, with the file's name in each."""
    return [
        {**result, "file_name": item.image.name}
        for item in done
        if item.found is not None
        for result in item.found.to_coco(item.image.image_id, category_ids)
    ]


def _each(segmenter: Segmenter, images: Sequence[ImageFile]) -> Iterator[Done]:
    """Reads the next image and writes the last one's overlay while the model works, each in a thread of its own."""
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        behind: list[tuple[Done, Future[None] | None]] = []
        ahead: Future[NDArray[np.uint8]] | None = None
        for number, one in enumerate(images):
            problem: ImageError | None = None
            try:
                image = ahead.result() if ahead else read_image(one.file)
            except ImageError as refused:
                problem = refused
            following = images[number + 1] if number + 1 < len(images) else None
            ahead = reader.submit(read_image, following.file) if following else None
            if problem:
                behind.append((Done(one, error=problem), None))
            else:
                phase(f"working on {one.file}" + (f" and reading {following.file}" if following else ""))
                found, ns = segmenter.timed(image)
                written = writer.submit(_write_overlay, one.overlay, image, found, segmenter.classes)
                behind.append((Done(one, found, sum(ns.values()) / 1e6), written))
            while len(behind) > 1:
                yield _finished(*behind.pop(0))
        for item in behind:
            yield _finished(*item)


def _write_overlay(path: Path, image: NDArray[np.uint8], found: Instances, classes: tuple[str, ...]) -> None:
    write_image(path, draw(image, found, classes))


def _finished(done: Done, written: Future[None] | None) -> Done:
    """``done`` once its overlay is on disk; raises what the writing raised."""
    if written:
        written.result()
    return done


def write_image(path: Path, image: Any) -> None:
    """Writes uint8[h, w, 3] BGR as JPEG or PNG, by the path's ending, whole or not at all."""
    # OpenCV's own writer reports a full disk as success.
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if path.suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 3]
    encoded, content = cv2.imencode(path.suffix, image, quality)
    if not encoded:
        raise EdgeSegError(f"{path}: OpenCV can't encode an image of {image.shape[1]} x {image.shape[0]} pixels")
    with atomic_file(path) as partial:
        partial.write_bytes(content.tobytes())


def line_of(item: Done, classes: tuple[str, ...]) -> str:
    """What was found in an image, in one line."""
    if item.found is None:
        return f"{item.image.name}: left out: {item.error}"
    counted = Counter(classes[c] for c in item.found.classes.tolist())
    what = ", ".join(f"{number} {name}" for name, number in counted.most_common()) or "nothing"
    return f"{item.image.name}: {what} ({item.ms:.1f} ms)"
