"""A generated dataset: circles, triangles and stars lying over one another on textured grounds, in COCO form.

It is there so that a whole training can be tried without downloading anything, and it is the same, byte for byte, for
the same seed: every image depends on (seed, index, size) alone, so a longer set begins with the images of a
shorter one. The masks are the parts one sees: a shape that lies above cuts the one below.

Glossary: S = side of the image in pixels; h, w = sides of the part of it that a shape and its shadow touch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from edge_seg.data.texture import SHADOW_REACH, darken, ground, paint
from edge_seg.errors import UsageError
from edge_seg.files import atomic_dir, write_text

CLASSES = ("circle", "triangle", "star")
MINIMUM_SIZE = 64
MOST_SHAPES = 7
EMPTY_SHARE = 0.05
RADII = (0.075, 0.27)
"""Smallest and largest radius of a shape, as a part of S; drawn evenly on a logarithmic scale."""
LEAST_VISIBLE = 0.55
"""At least this part of a shape is seen; the rest may be hidden by others or lie outside the image."""
LONGEST_POINT = 1.15
"""How far an outline reaches from its centre, in radii."""
FIXED_POINT_BITS = 4


@dataclass(frozen=True)
class Instance:
    """A shape in an image: its class (index in ``CLASSES``) and the part of it that is seen, bool[S, S]."""

    label: int
    mask: NDArray[np.bool_]

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """x, y, width, height of the visible part, pixels."""
        columns, rows = np.flatnonzero(self.mask.any(axis=0)), np.flatnonzero(self.mask.any(axis=1))
        x, y = int(columns[0]), int(rows[0])
        return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y


def draw(seed: int, size: int, index: int) -> tuple[NDArray[np.uint8], list[Instance]]:
    """Image number ``index`` of the set ``seed``, uint8[S, S, 3] BGR, and its instances, the lowest first."""
    rng = np.random.default_rng([seed, index])
    image = ground(rng, size)
    empty = rng.random() < EMPTY_SHARE
    wanted = 0 if empty else int(rng.integers(1, MOST_SHAPES + 1))
    owner = np.full((size, size), -1, np.int16)
    labels: list[int] = []
    whole: list[float] = []
    for _ in range(wanted * 6):
        if len(labels) == wanted:
            break
        label = int(rng.integers(len(CLASSES)))
        radius = size * float(np.exp(rng.uniform(*np.log(RADII))))
        center = rng.uniform(0.02, 0.98, 2) * size
        corners = outline(rng, label) * radius + center
        window = _window(center, radius, size)
        local = corners - (window[1].start, window[0].start)
        cover, rim = _drawn(local, radius, owner[window].shape)
        placed = owner.copy()
        placed[window][cover >= 128] = len(labels)
        areas = [*whole, float(cv2.contourArea(corners.astype(np.float32)))]
        visible = np.bincount(placed[placed >= 0], minlength=len(areas))
        if np.any(visible < LEAST_VISIBLE * np.array(areas)):
            continue
        darken(image[window], cover, radius)
        paint(rng, image[window], cover, rim, center - (window[1].start, window[0].start), radius)
        owner, whole = placed, areas
        labels.append(label)
    return image, [Instance(label, owner == i) for i, label in enumerate(labels)]


def outline(rng: np.random.Generator, label: int) -> NDArray[np.float64]:
    """The outline, [points, (x, y)], of a shape of class ``label`` about (0, 0), of radius 1, turned and squeezed."""
    if CLASSES[label] == "circle":
        angles, radii, squeeze = np.arange(72) * (2 * np.pi / 72), np.ones(72), rng.uniform(0.72, 1.0)
    elif CLASSES[label] == "triangle":
        angles = (np.arange(3) + rng.uniform(-0.11, 0.11, 3)) * (2 * np.pi / 3)
        radii, squeeze = rng.uniform(0.95, 1.15, 3), rng.uniform(0.85, 1.0)
    else:
        angles = np.arange(10) * (2 * np.pi / 10)
        radii, squeeze = np.where(np.arange(10) % 2 == 0, 1.12, rng.uniform(0.52, 0.62)), rng.uniform(0.85, 1.0)
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]
    if CLASSES[label] != "circle":
        corners = _round_corners(corners, rng.uniform(0.04, 0.2))
    corners = _turn(corners, rng.uniform(0, 2 * np.pi)) * (1.0, squeeze)
    return _turn(corners, rng.uniform(0, 2 * np.pi))


def make(
    out: Path,
    images: int,
    size: int,
    seed: int,
    val_fraction: float = 0.2,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Writes ``images`` images of ``size`` x ``size`` as ``out/images``, ``out/train.json`` and ``out/val.json``.

    The last ``val_fraction`` of them (at least one) are for validation. ``progress(done, images)`` is called after each
    image. Returns how many images and instances each split holds. Raises :class:`UsageError` for numbers that
    can't be had, and when ``out`` exists and isn't an empty folder.
    """
    if images < 2:
        raise UsageError(f"images {images}: at least 2 are needed, one to train on and one to validate on")
    if size < MINIMUM_SIZE:
        raise UsageError(f"size {size}: at least {MINIMUM_SIZE} is needed for shapes that can be told apart")
    if seed < 0:
        raise UsageError(f"seed {seed}: give a whole number that isn't negative")
    if not 0 < val_fraction < 1:
        raise UsageError(f"validation fraction {val_fraction}: expected a number between 0 and 1")
    first_val = images - min(images - 1, max(1, round(images * val_fraction)))
    splits = {"train": _empty_coco(seed, size), "val": _empty_coco(seed, size)}
    with atomic_dir(out) as folder:
        (folder / "images").mkdir()
        for index in range(images):
            image, instances = draw(seed, size, index)
            name = f"{index + 1:06d}.jpg"
            _write_image(folder / "images" / name, image)
            _describe(splits["train" if index < first_val else "val"], index + 1, name, size, instances)
            if progress is not None:
                progress(index + 1, images)
        for split, coco in splits.items():
            write_text(folder / f"{split}.json", json.dumps(coco, separators=(",", ":")) + "\n")
    return {s: {"images": len(c["images"]), "instances": len(c["annotations"])} for s, c in splits.items()}


def _turn(points: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def _round_corners(corners: NDArray[np.float64], cut: float) -> NDArray[np.float64]:
    """Chaikin's corner cutting, three times; ``cut`` is the part of an edge that goes at the first."""
    for _ in range(3):
        following = np.roll(corners, -1, axis=0)
        corners = np.stack([corners + cut * (following - corners), following + cut * (corners - following)], axis=1)
        corners, cut = corners.reshape(-1, 2), 0.25
    return corners


def _window(center: NDArray[np.float64], radius: float, size: int) -> tuple[slice, slice]:
    """Rows and columns that a shape and its shadow touch."""
    reach = radius * (LONGEST_POINT + SHADOW_REACH) + 2
    low = np.clip(np.floor(center - reach), 0, size).astype(int)
    high = np.clip(np.ceil(center + reach), 0, size).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def _drawn(
    corners: NDArray[np.float64], radius: float, shape: tuple[int, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The filled outline and the line around it, each uint8[h, w]: how much of each pixel is covered, 0..255."""
    cover, rim = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    # OpenCV's coordinates count from the middle of a pixel, ours from its corner.
    fixed: Sequence[NDArray[np.int32]] = [np.round((corners - 0.5) * (1 << FIXED_POINT_BITS)).astype(np.int32)]
    cv2.fillPoly(cover, fixed, (255,), cv2.LINE_AA, FIXED_POINT_BITS)
    cv2.polylines(rim, fixed, True, (255,), max(1, round(radius * 0.07)), cv2.LINE_AA, FIXED_POINT_BITS)
    return cover, rim


def _write_image(path: Path, image: NDArray[np.uint8]) -> None:
    encoded = cv2.imencode(path.suffix, image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    path.write_bytes(encoded.tobytes())


def _empty_coco(seed: int, size: int) -> dict[str, Any]:
    return {
        "info": {"description": "shapes drawn by edge-seg data synth", "seed": seed, "size": size},
        "images": [],
        "annotations": [],
        "categories": [{"id": i + 1, "name": name, "supercategory": "shape"} for i, name in enumerate(CLASSES)],
    }


def _describe(coco: dict[str, Any], image_id: int, name: str, size: int, instances: list[Instance]) -> None:
    coco["images"].append({"id": image_id, "file_name": name, "width": size, "height": size})
    for number, instance in enumerate(instances):
        rle = coco_mask.encode(np.asfortranarray(instance.mask, dtype=np.uint8))
        coco["annotations"].append(
            {
                "id": image_id * (MOST_SHAPES + 1) + number,
                "image_id": image_id,
                "category_id": instance.label + 1,
                "bbox": list(instance.bbox),
                "area": int(instance.mask.sum()),
                "iscrowd": 0,
                # Run lengths, not a polygon: what lies above may cut a shape in pieces, and this is exact to the pixel.
                "segmentation": {"size": [size, size], "counts": rle["counts"].decode("ascii")},
            }
        )
