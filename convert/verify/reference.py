"""The preprocessing stage: the runtime's input pixels against the documented rule, computed plainly in float64.

Nothing here is shared with :mod:`edge_seg.runtime.preprocess`: a mistake made there must show. All values are *levels*:
grey levels of 0…255, to which an input is mapped back by the expected mean and standard deviation, so that one limit
fits all channels. Shapes: h, w the image's sides; H, W the input's.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_seg.manifest import STRETCH, PostprocessSpec, PreprocessSpec

# OpenCV's fixed-point resize cuts off half-way: over 180 resized images of noise it was at worst 0.85 levels from
# the exact value, and on average 0.17 from the rounded one. A mean shifted by 1 of 255 moves every pixel by 1.
WORST_LEVELS = 1.0
BIAS_LEVELS = 0.5

Axis = Callable[[int, int], NDArray[np.float64]]


def _half_pixel(new: int, old: int) -> NDArray[np.float64]:
    return (np.arange(new) + 0.5) * (old / new) - 0.5


def _aligned_corners(new: int, old: int) -> NDArray[np.float64]:
    return np.arange(new) * ((old - 1) / max(1, new - 1))


def _upper_left(new: int, old: int) -> NDArray[np.float64]:
    return np.arange(new) * (old / new)


def _nearest(new: int, old: int) -> NDArray[np.float64]:
    return np.floor(_upper_left(new, old))


_OTHER_RULES: dict[str, Axis] = {
    "a resize with aligned corners (align_corners=True)": _aligned_corners,
    "a resize with corners at pixel centres (no half-pixel shift)": _upper_left,
    "a resize that takes the nearest pixel": _nearest,
}


@dataclass(frozen=True)
class Pixels:
    """How far an input is from the rule: ``difference`` float64[3, H, W] in levels, and how it is judged."""

    difference: NDArray[np.float64]
    bias: float

    @property
    def worst(self) -> float:
        return float(np.abs(self.difference).max())

    @property
    def mean(self) -> float:
        return float(np.abs(self.difference).mean())

    @property
    def ok(self) -> bool:
        return self.worst <= WORST_LEVELS and self.bias <= BIAS_LEVELS  # NaN isn't


def judge(image: NDArray[np.uint8], blob: NDArray[np.float32], spec: PreprocessSpec) -> Pixels:
    """Compares ``blob``, float32[1, 3, H, W], with what ``spec`` makes of the image, uint8[h, w, 3] BGR."""
    found = _levels(blob[0].astype(np.float64), spec)
    expected = _expected(image, spec)
    # Against rounded values, or an image half of whose values end in .5 would look biased.
    shift = (found - np.floor(expected + 0.5)).mean(axis=(1, 2))
    return Pixels(found - expected, float(np.abs(shift).max()))


def explain(image: NDArray[np.uint8], blob: NDArray[np.float32], spec: PreprocessSpec) -> str:
    """Which well-known mistake gives this input; empty when none does."""
    found = _levels(blob[0].astype(np.float64), spec)
    off = found - _expected(image, spec)
    swapped = dataclasses.replace(spec, color=spec.color[::-1])
    middle = np.median(off, axis=(1, 2), keepdims=True)
    shifts = ", ".join(f"{name} {-m:+.2f}" for name, m in zip(spec.color, middle.flat, strict=True))
    left = {
        f"red and blue are swapped: {swapped.color} for {spec.color}": found - _expected(image, swapped),
        f"the mean is shifted, by channel: {shifts} of 255": off - middle,
        **{f"fits {what}": found - _expected(image, spec, axis) for what, axis in _OTHER_RULES.items()},
    }
    errors = {what: float(np.abs(difference).mean()) for what, difference in left.items()}
    best = min(errors, key=errors.__getitem__)
    return best if errors[best] <= min(WORST_LEVELS, 0.7 * float(np.abs(off).mean())) else ""


def _levels(values: NDArray[np.float64], spec: PreprocessSpec) -> NDArray[np.float64]:
    mean, std = (np.array(v)[:, None, None] for v in (spec.mean, spec.std))
    return np.asarray((values * std + mean) * 255.0)


def _expected(image: NDArray[np.uint8], spec: PreprocessSpec, axis: Axis = _half_pixel) -> NDArray[np.float64]:
    """The documented rule in levels, float64[3, H, W], not rounded."""
    scale = min(spec.size[0] / image.shape[0], spec.size[1] / image.shape[1])
    height, width = (
        min(limit, max(1, math.floor(side * scale + 0.5)))
        for side, limit in zip(image.shape[:2], spec.size, strict=True)
    )
    if spec.resize == STRETCH:
        height, width = spec.size
    values = _interpolate(image.astype(np.float64), height, axis)
    values = _interpolate(values.transpose(1, 0, 2), width, axis).transpose(1, 0, 2)
    channels = {"B": values[:, :, 0], "G": values[:, :, 1], "R": values[:, :, 2]}
    levels = _levels(np.full((3, *spec.size), spec.pad), spec)
    levels[:, :height, :width] = [channels[name] for name in spec.color]
    return levels


def _interpolate(values: NDArray[np.float64], new: int, axis: Axis) -> NDArray[np.float64]:
    """Linear along the first axis, which gets ``new`` values; beyond the ends the last value goes on."""
    old = len(values)
    if new == old:
        return values
    place = np.clip(axis(new, old), 0, old - 1)
    low = np.floor(place).astype(int)
    part = (place - low)[:, None, None]
    return np.asarray(values[low] * (1 - part) + values[np.minimum(low + 1, old - 1)] * part)


def charts(size: tuple[int, int]) -> dict[str, NDArray[np.uint8]]:
    """Images that have to be enlarged, shrunk and padded, with ramps, edges and noise in other colours each way.

    The golden image often has the input's own size and is then not resized at all.
    """
    height, width = size
    sides = {
        "chart to be enlarged": (max(2, height * 2 // 5 + 1), max(2, width // 3)),
        "chart to be shrunk": (height * 17 // 10 + 1, width * 3 // 2 + 3),
        "chart of 7 x 5 pixels": (5, 7),
    }
    return {name: _chart(*shape) for name, shape in sides.items()}


def _chart(height: int, width: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:height, 0:width]
    ramp = np.stack([255 * x / max(1, width - 1), 255 * y / max(1, height - 1), 60 + 0 * x], axis=2)
    noise = np.random.default_rng([height, width]).integers(-40, 41, (height, width, 3))
    edges = 90 * (((x * 6 // width) + (y * 6 // height)) % 2)[:, :, None]
    chart: NDArray[np.uint8] = np.clip(ramp + noise + edges, 0, 255).astype(np.uint8)
    return chart


Pair = tuple[int, int]


def choose(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    spec: PostprocessSpec,
    extent: tuple[int, int],
    threshold: float,
) -> list[Pair]:
    """The (proposal, class) pairs that are kept, best first, of boxes [R, C, 4] and scores [R, C + 1].

    ``extent``: height and width of the input's part that the image fills.
    """
    kept: list[Pair] = []
    for row, label in _candidates(boxes, scores, extent, np.float32(threshold)):
        rivals = (boxes[other] for other in kept if other[1] == label)
        if not any(_overlap(rival, boxes[row, label], np.float32(spec.nms_iou)) for rival in rivals):
            kept.append((row, label))
        if len(kept) == spec.keep:
            break
    return kept


def _candidates(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], extent: tuple[int, int], threshold: np.float32
) -> list[Pair]:
    found = []
    height, width = extent
    for row, label in np.argwhere(scores[:, :-1] > threshold).tolist():
        x0, y0, x1, y1 = boxes[row, label].tolist()
        if x0 < x1 and y0 < y1 and x0 < width and y0 < height and x1 > 0 and y1 > 0:
            found.append((-float(scores[row, label]), row, label))
    return [(row, label) for _, row, label in sorted(found)]


def _overlap(a: NDArray[np.float32], b: NDArray[np.float32], limit: np.float32) -> bool:
    """Whether IoU is above ``limit``; float32 throughout, as the rule says, or a tie would be decided otherwise."""
    zero = np.float32(0)
    across = max(zero, min(a[2], b[2]) - max(a[0], b[0]))
    down = max(zero, min(a[3], b[3]) - max(a[1], b[1]))
    inter = across * down
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return bool(inter > limit * ((areas[0] + areas[1]) - inter))
