"""Rows of ``detect`` on two sides: which belongs to which.

Shapes: R proposals, C classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pair_proposals(expected: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.intp]:
    """For boxes [R, C, 4] on each side: for every expected row the found row nearest to it in the mean over C, [R]."""
    a, b = (boxes.mean(axis=1, dtype=np.float64) for boxes in (expected, found))
    columns = np.arange(len(a))
    for row in range(len(a)):
        apart = np.abs(a[row] - b).max(axis=1)
        nearest = int(apart.argmin())
        # In place where that is no further than the nearest: dummies, all alike, would crowd on the first of them.
        columns[row] = row if apart[row] <= apart[nearest] + 1e-3 else nearest
    return columns
