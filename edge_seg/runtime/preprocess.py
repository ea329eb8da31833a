"""Image → network input. One rule for training, every engine and the board.

Shapes: h, w the image's sides; H, W the network input's; h', w' the scaled image's (h' <= H, w' <= W).

The rule, exact to the last bit (the C++ runner is tested against it):

1. ``scale = min(H / h, W / w)``; ``h' = min(H, max(1, floor(h * scale + 0.5)))``, ``w'`` likewise; all in float64.
   Where ``spec.resize`` is "stretch-linear" (models from elsewhere), ``h' = H`` and ``w' = W``.
2. The image, uint8 BGR, is resized to h' x w' by OpenCV's INTER_LINEAR on uint8 (fixed-point, so equal everywhere);
   left as it is when it has that size.
3. Each value goes through a table of its channel, ``table[v] = float32((v / 255 - mean) / std)``, computed in float64.
   Channels come out in ``spec.color`` order; ``mean`` and ``std`` are in that order too.
4. It is placed at the upper left of float32[1, 3, H, W]; the rest is ``float32(spec.pad)``.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_seg.manifest import STRETCH, PreprocessSpec


@dataclass(frozen=True)
class Geometry:
    """How an image lies in the network's input: ``input = image * scale``, from the upper left. Sides in pixels."""

    width: int
    height: int
    scaled_width: int
    scaled_height: int

    @property
    def scale_x(self) -> float:
        return self.scaled_width / self.width

    @property
    def scale_y(self) -> float:
        return self.scaled_height / self.height


def letterbox(width: int, height: int, size: tuple[int, int]) -> Geometry:
    """Where a ``width`` x ``height`` image lies in an input of ``size`` (H, W)."""
    scale = min(size[0] / height, size[1] / width)
    return Geometry(width, height, _scaled(width, scale, size[1]), _scaled(height, scale, size[0]))


def geometry_of(width: int, height: int, spec: PreprocessSpec) -> Geometry:
    """Where a ``width`` x ``height`` image lies in the input that ``spec`` describes."""
    if spec.resize == STRETCH:
        return Geometry(width, height, spec.size[1], spec.size[0])
    return letterbox(width, height, spec.size)


def _scaled(side: int, scale: float, limit: int) -> int:
    return min(limit, max(1, math.floor(side * scale + 0.5)))


def resize(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """uint8[h, w, 3] → uint8[height, width, 3], bilinear, by OpenCV's fixed-point rule."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def normalize(image: NDArray[np.uint8], spec: PreprocessSpec, out: NDArray[np.float32]) -> None:
    """Writes uint8[h, w, 3] BGR into ``out``, float32[3, h, w], normalised and in ``spec.color`` order."""
    planes = cv2.split(image)
    for channel, plane in enumerate(planes[::-1] if spec.color == "RGB" else planes):
        out[channel] = cv2.LUT(plane, _tables(spec.mean, spec.std)[channel])


@functools.lru_cache(maxsize=8)
def _tables(mean: tuple[float, ...], std: tuple[float, ...]) -> NDArray[np.float32]:
    values = np.arange(256, dtype=np.float64) / 255.0
    return np.stack([((values - m) / s).astype(np.float32) for m, s in zip(mean, std, strict=True)])


def preprocess(image: NDArray[np.uint8], spec: PreprocessSpec) -> tuple[NDArray[np.float32], Geometry]:
    """uint8[h, w, 3] BGR → float32[1, 3, H, W] as ``spec`` says, and how the image lies in it."""
    geometry = geometry_of(image.shape[1], image.shape[0], spec)
    scaled = resize(image, geometry.scaled_width, geometry.scaled_height)
    blob = np.full((1, 3, *spec.size), spec.pad, np.float32)
    normalize(scaled, spec, blob[0, :, : geometry.scaled_height, : geometry.scaled_width])
    return blob, geometry
