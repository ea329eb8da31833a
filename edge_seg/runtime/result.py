"""What a picture holds: boxes, scores, classes and masks of its instances."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.runtime.masks import decode
from edge_seg.runtime.rle import read_code


@dataclass(frozen=True)
class Instances:
    """N instances, best first, in pixels of the picture as it was read.

    ``boxes`` float32[N, 4] (x0, y0, x1, y1) with 0 <= x0 <= x1 <= width; ``scores`` float32[N]; ``classes`` int64[N],
    indices into the model's class names; ``rles`` N COCO run-length codes, ``{"size": [height, width], "counts":
    bytes}``.
    """

    height: int
    width: int
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    classes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    rles: list[dict[str, Any]] = field(default_factory=list)

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

    def as_coco(self, image_id: int, category_ids: tuple[int, ...]) -> list[dict[str, Any]]:
        """COCO results of this picture: image_id, category_id, bbox (x, y, width, height), score, segmentation."""
        return [
            {
                "image_id": image_id,
                "category_id": category_ids[item["class"]],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "score": item["score"],
                "segmentation": item["segmentation"],
            }
            for item in self.as_json()
            for x0, y0, x1, y1 in [item["box"]]
        ]


def _within(values: NDArray[np.float32], most: float) -> bool:
    """Whether all are from 0 to ``most``; NaN isn't."""
    return bool(((values >= 0) & (values <= most)).all())


def _code(number: int, segmentation: Any, height: int, width: int) -> dict[str, Any]:
    try:
        return read_code(segmentation, height, width)
    except ValueError as problem:
        raise ValueError(f"the mask of instance {number}: {problem}") from None
