"""What an image holds: boxes, scores, classes and masks of its instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.errors import UsageError
from edge_seg.runtime.masks import decode, decode_inside
from edge_seg.runtime.rle import read_code

if TYPE_CHECKING:
    from edge_seg.runtime.image import ImageLike


@dataclass(frozen=True)
class Instances:
    """N instances, best first, in pixels of the image as it was read.

    ``boxes`` float32[N, 4] (x0, y0, x1, y1) with 0 <= x0 <= x1 <= width; ``scores`` float32[N]; ``classes`` int64[N],
    indices into the model's class names; ``rles`` N COCO run-length codes, ``{"size": [height, width], "counts":
    bytes}``. ``names`` are the model's class names, ``category_ids`` the numbers that the classes had in its dataset;
    both are empty where they aren't known.
    """

    height: int
    width: int
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    classes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    rles: list[dict[str, Any]] = field(default_factory=list)
    names: tuple[str, ...] = ()
    category_ids: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def masks(self) -> NDArray[np.bool_]:
        """bool[N, height, width], decoded anew at each call."""
        return decode(self.rles, self.height, self.width)

    def as_json(self) -> list[dict[str, Any]]:
        """One plain dict an instance: box, score, class and segmentation (COCO run-length code, counts as text)."""
        return [
            {
                "box": box,
                "score": score,
                "class": label,
                "segmentation": {"size": rle["size"], "counts": rle["counts"].decode("ascii")},
            }
            for box, score, label, rle in zip(
                self.boxes.tolist(), self.scores.tolist(), self.classes.tolist(), self.rles, strict=True
            )
        ]

    @classmethod
    def from_json(cls, items: list[dict[str, Any]], height: int, width: int, classes: int | None = None) -> Instances:
        """The instances that :meth:`as_json` described, of a model of ``classes`` classes.

        They may come from a file or a board: raises KeyError, TypeError, ValueError, AttributeError or OverflowError,
        saying what is wrong, when they aren't instances of an image of that size.
        """
        found = cls(
            height=height,
            width=width,
            boxes=np.array([item["box"] for item in items], np.float32).reshape(-1, 4),
            scores=np.array([item["score"] for item in items], np.float32),
            classes=np.array([item["class"] for item in items], np.int64),
            rles=[_code(number, item["segmentation"], height, width) for number, item in enumerate(items)],
        )
        if not len(found.boxes) == len(found.scores) == len(found.classes) == len(items):
            raise ValueError("a box hasn't four numbers, or a score or class isn't one")
        labels = found.classes
        if labels.size and not (labels.min() >= 0 and (classes is None or labels.max() < classes)):
            expected = "from 0 on" if classes is None else f"0 to {classes - 1}"
            raise ValueError(f"classes from {labels.min()} to {labels.max()}, expected {expected}")
        if not _within(found.scores, 1) or not _within(found.boxes, max(height, width)):
            raise ValueError(
                f"a score isn't within 0 and 1, or a box not within the image of {height}x{width} (height x width)"
            )
        return found

    def to_coco(self, image_id: int = 1, category_ids: Sequence[int] = ()) -> list[dict[str, Any]]:
        """COCO results of this image: image_id, category_id, bbox (x, y, width, height), score, segmentation.

        ``category_ids`` are the classes' numbers; :attr:`category_ids` unless given. Raises UsageError where there are
        too few of them.
        """
        ids = tuple(category_ids) or self.category_ids
        if len(self) and int(self.classes.max()) >= len(ids):
            raise UsageError(
                f"category_ids: {len(ids)} numbers, but an instance has the class {self.classes.max()}",
                remedy="give one number for each class of the model",
            )
        return [
            {
                "image_id": image_id,
                "category_id": ids[item["class"]],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "score": item["score"],
                "segmentation": item["segmentation"],
            }
            for item in self.as_json()
            for x0, y0, x1, y1 in [item["box"]]
        ]

    def draw(self, image: ImageLike, names: Sequence[str] = ()) -> NDArray[np.uint8]:
        """A copy of the image with the instances drawn, uint8[h, w, 3] BGR; an image under 240 pixels is enlarged.

        ``names`` are the class names; :attr:`names` unless given. Raises ImageError for an image that can't be read,
        UsageError for one of another size.
        """
        from edge_seg.runtime.overlay import draw

        return draw(self._same(image), self, tuple(names) or self.names)

    def polygons(self, tolerance: float = 0.0) -> list[list[NDArray[np.int32]]]:
        """The outlines of each instance: int32[K, 2], x and y in pixels, along the edges of the mask's pixels.

        An instance has as many as it has parts and holes; outer ones run clockwise, those around holes the other way.
        Up to ``tolerance`` pixels of the course may be given up for fewer points (Douglas-Peucker).
        """
        import cv2

        from edge_seg.runtime.trace import trace

        if not 0 <= tolerance < float("inf"):
            raise UsageError(f"tolerance: {tolerance} is no number of pixels from 0 on")
        outlines: list[list[NDArray[np.int32]]] = []
        for rle in self.rles:
            x, y, mask = decode_inside(rle)
            loops = [np.array(loop, np.int32) + np.array([x, y], np.int32) for loop in trace(mask)]
            if tolerance > 0:
                loops = [np.asarray(cv2.approxPolyDP(loop, tolerance, True), np.int32).reshape(-1, 2) for loop in loops]
            outlines.append(loops)
        return outlines

    def crop(self, image: ImageLike) -> list[NDArray[np.uint8]]:
        """The part of the image within each box, uint8[h, w, 4] BGRA: opaque (255) within the mask, else clear (0).

        At least one pixel each. Raises ImageError for an image that can't be read, UsageError for one of another size.
        """
        whole, parts = self._same(image), []
        for box, mask in zip(self.boxes, self.rles, strict=True):
            left, right = _pixels(box[0], box[2], self.width)
            top, bottom = _pixels(box[1], box[3], self.height)
            alpha = decode([mask], self.height, self.width)[0, top:bottom, left:right]
            parts.append(np.dstack([whole[top:bottom, left:right], np.where(alpha, np.uint8(255), np.uint8(0))]))
        return parts

    def _same(self, image: ImageLike) -> NDArray[np.uint8]:
        from edge_seg.runtime.image import load_image

        loaded = load_image(image)
        if loaded.shape[:2] != (self.height, self.width):
            raise UsageError(
                f"an image of {loaded.shape[0]}x{loaded.shape[1]}, expected {self.height}x{self.width} (height x width)"
                " as the one in which these were found",
                remedy="give the image that the Segmenter was given",
            )
        return loaded


@dataclass(frozen=True)
class Frame:
    """One image of a stream and what was found in it.

    ``number`` counts from 0; a camera's, the images that were passed over too. ``name`` is the file, video or camera.
    ``image`` is uint8[h, w, 3] BGR. ``time_s`` are seconds since the begin of a video or since a camera was opened,
    None for image files. ``ns`` are the nanoseconds of each stage, as :meth:`edge_seg.Segmenter.timed` gives them.
    """

    number: int
    name: str
    image: NDArray[np.uint8]
    found: Instances
    time_s: float | None
    ns: dict[str, int]


def _pixels(low: np.float32, high: np.float32, limit: int) -> tuple[int, int]:
    """The pixels that a box touches between two coordinates: at least one."""
    first = min(int(np.floor(low)), limit - 1)
    return first, min(limit, max(first + 1, int(np.ceil(high))))


def _within(values: NDArray[np.float32], most: float) -> bool:
    """Whether all are from 0 to ``most``; NaN isn't."""
    return bool(((values >= 0) & (values <= most)).all())


def _code(number: int, segmentation: Any, height: int, width: int) -> dict[str, Any]:
    try:
        return read_code(segmentation, height, width)
    except ValueError as problem:
        raise ValueError(f"the mask of instance {number}: {problem}") from None
