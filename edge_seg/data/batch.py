"""What the loader hands to the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Batch:
    """B pictures and what is in them; numpy only. H and W are multiples of 32, the same for all pictures of a batch.

    images: float32[B, 3, H, W], normalised; what isn't picture holds the padding value. boxes: per picture
    float32[G, 4], (x0, y0, x1, y1) in input pixels, 0 <= x0 < x1 <= W. labels: int64[G] in 0..C-1. masks:
    uint8[G, H, W] of 0 and 1. G may be 0. sizes: per picture (h, w): it lies in rows below h, columns below w.
    """

    images: NDArray[np.float32]
    boxes: list[NDArray[np.float32]]
    labels: list[NDArray[np.int64]]
    masks: list[NDArray[np.uint8]]
    sizes: list[tuple[int, int]]
    image_ids: list[int]
