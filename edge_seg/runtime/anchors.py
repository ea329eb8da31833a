"""Anchors: the boxes that proposals are measured from.

A: anchors a cell (one an aspect ratio); a level's anchors are float32[H, W, A, 4], xyxy in input pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

STRIDES = (4, 8, 16, 32, 64)
RATIOS = (0.5, 1.0, 2.0)


def level_anchors(height: int, width: int, stride: int, size: float) -> npt.NDArray[np.float32]:
    """Anchors of one level of ``height`` x ``width`` cells, centred on each cell's upper left corner.

    ``size`` is the square root of their area; a ratio is height / width (PaddleDetection's AnchorGenerator, offset 0).
    """
    widths = np.sqrt(size * size / np.asarray(RATIOS))
    heights = widths * np.asarray(RATIOS)
    cell = np.stack([-widths, -heights, widths, heights], axis=1) / 2
    x, y = np.meshgrid(np.arange(width) * stride, np.arange(height) * stride)
    shifts = np.stack([x, y, x, y], axis=2)
    anchors: npt.NDArray[np.float32] = (shifts[:, :, None, :] + cell).astype(np.float32)
    return anchors


def pyramid_anchors(grids: Sequence[tuple[int, int]], sizes: Sequence[float]) -> list[npt.NDArray[np.float32]]:
    """Anchors of P2 to P6, whose (height, width) in cells are ``grids``: the neck knows them for each input size."""
    return [level_anchors(h, w, stride, s) for (h, w), stride, s in zip(grids, STRIDES, sizes, strict=True)]
