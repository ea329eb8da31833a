"""RoIAlign over the pyramid, outside the graphs (Mask R-CNN, section 3; FPN, section 4.2).

The rules are those of paddle's ``roi_align`` (aligned, as many samples as a bin is pixels wide) and
``distribute_fpn_proposals``, so that it gives what the graphs were trained with. All of them can be told for rows and
columns apart: a box's features are ``Wy F Wx^T`` over its window of the map ``F``, with weights that hold the
bilinear interpolation, the borders and the mean over a bin's samples. Two small matrix products over all channels at
once take the place of four products for each sample and channel.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

FIRST_LEVEL, LAST_LEVEL = 2, 5
_CANONICAL_LEVEL = 4
_SLACK = np.float32(1e-6)

Floats = NDArray[np.float32]


class Pyramid:
    """P2 to P5 of one image, ready to be read at boxes."""

    def __init__(self, maps: Sequence[Floats], canonical_size: int) -> None:
        """``maps`` are float32[1, C, H / s, W / s] with strides 4 to 32; ``canonical_size``: see :func:`levels`."""
        self.channels = maps[0].shape[1]
        self._canonical_size = canonical_size
        # [H, W, C]: a window's rows are one stretch of memory, and what is done to a pixel is done to all channels.
        self._maps = [
            cv2.transpose(x.reshape(self.channels, -1)).reshape(x.shape[2], x.shape[3], self.channels) for x in maps
        ]

    def pool(self, boxes: Floats, resolution: int) -> Floats:
        """Features float32[N, C, resolution, resolution] of ``boxes`` float32[N, 4], in their order."""
        pooled = np.empty((len(boxes), self.channels, resolution, resolution), np.float32)
        flat = pooled.reshape(len(boxes), self.channels, resolution**2)
        summed = np.empty((resolution, resolution, self.channels), np.float32)
        of_level = levels(boxes, self._canonical_size)
        for level in np.unique(of_level):
            features = self._maps[level - FIRST_LEVEL]
            height, width, _ = features.shape
            chosen = np.flatnonzero(of_level == level)
            scaled = (boxes[chosen] / np.float32(2**level) - np.float32(0.5)).reshape(-1, 2, 2)
            # All boxes' columns, then their rows
            low, high = scaled.transpose(1, 2, 0).reshape(2, -1)
            sizes = np.repeat((width, height), len(chosen))
            (left, top), (right, bottom), (across, down) = (
                np.split(found, 2) for found in _axis(low, high, sizes, resolution)
            )
            for n, box in enumerate(chosen):
                rows, columns = slice(top[n], bottom[n]), slice(left[n], right[n])
                # Row by row, then column by column: OpenBLAS neither copies so small a matrix nor wakes its threads.
                narrow = across[n, :, : right[n] - left[n]] @ features[rows, columns]
                np.matmul(down[n, :, : len(narrow)], narrow.transpose(1, 0, 2), out=summed.transpose(1, 0, 2))
                cv2.transpose(summed.reshape(-1, self.channels), flat[box])
        return pooled


def levels(boxes: Floats, canonical_size: int) -> NDArray[np.int64]:
    """From which of P2 to P5 each of ``boxes`` float32[N, 4] is read.

    ``floor(4 + log2(sqrt(area) / canonical_size))``, at least 2 and at most 5.
    """
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    ratio = np.sqrt(sides[:, 0] * sides[:, 1]) / np.float32(canonical_size)
    level = np.floor(np.log2(ratio + _SLACK) + np.float32(_CANONICAL_LEVEL))
    levels: NDArray[np.int64] = np.clip(level, FIRST_LEVEL, LAST_LEVEL).astype(np.int64)
    return levels


def _axis(
    low: Floats, high: Floats, sizes: NDArray[np.int64], resolution: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Along an axis, for each of N boxes: where its window begins and ends, and the weights of the window's pixels.

    ``low`` and ``high`` float32[N] are the boxes' sides on a map that has ``sizes`` int64[N] pixels there. The weights
    are float32[N, resolution, widest window], zero past a window's end. A box without extent has no samples: all zeros.
    """
    bins = (high - low) / np.float32(resolution)
    samples = np.maximum(np.ceil(bins), 0).astype(np.int64)
    begin = np.clip(np.floor(low), 0, sizes - 1).astype(np.int64)
    end = np.maximum(np.clip(np.ceil(high), 0, sizes - 1).astype(np.int64) + 1, begin + 1)
    box, sample = np.nonzero(np.arange(samples.max(initial=0)) < samples[:, None])
    step = (sample + np.float32(0.5)) * bins[box] / samples[box].astype(np.float32)
    starts = low[:, None] + np.arange(resolution, dtype=np.float32) * bins[:, None]
    places = starts[box] + step.astype(np.float32)[:, None]
    share = ((places >= -1) & (places <= sizes[box, None])) / samples[box, None]
    inside = np.clip(places, 0, sizes[box, None] - 1)
    pixel = inside.astype(np.int64)
    # One pixel more than the widest window: what lies on a window's last has no share in the next.
    widest = (end - begin).max(initial=0) + 1
    first = (box[:, None] * resolution + np.arange(resolution)) * widest + pixel - begin[box, None]
    second = (inside - pixel) * share
    both = np.concatenate([first, first + 1]).ravel(), np.concatenate([share - second, second]).ravel()
    weights = np.bincount(*both, minlength=len(low) * resolution * widest)
    return begin, end, weights.astype(np.float32).reshape(len(low), resolution, widest)
