"""What the loader hands to the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_seg.data.mask_target import Outline


@dataclass(frozen=True)
class Batch:
    """B images and what is in them; numpy only. H and W are multiples of 32, the same for all images of a batch.

    images: float32[B, 3, H, W], normalised; what isn't image holds the padding value. boxes: per image
    float32[G, 4], (x0, y0, x1, y1) in input pixels, 0 <= x0 < x1 <= W. labels: int64[G] in 0..C-1. outlines: the G
    objects' shapes in input pixels, to be drawn in the frame of a box. G may be 0. sizes: per image (h, w): it lies in
    rows below h, columns below w.
    """

    images: NDArray[np.float32]
    boxes: list[NDArray[np.float32]]
    labels: list[NDArray[np.int64]]
    outlines: list[list[Outline]]
    sizes: list[tuple[int, int]]
    image_ids: list[int]
