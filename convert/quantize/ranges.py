"""How far int8 reaches: from the values that a variable took, the magnitude that 127 is to stand for.

A larger range cuts off fewer values, a smaller one rounds all others more finely.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

BINS = 2048
_LEVELS = 128
_PERCENTILE = 0.9999
# Ranges that are tried, as parts of the largest magnitude.
_TRIED = np.linspace(0.05, 1.0, 96)

Histogram = NDArray[np.float64]


class Observed:
    """Histogram of the magnitudes that a variable took. Zeros aren't counted: every range says them exactly."""

    def __init__(self) -> None:
        self.largest = 0.0
        self.counts: Histogram = np.zeros(BINS)
        self._reach = 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        """Takes in the values of one run."""
        magnitudes = np.abs(values.reshape(1, -1))
        largest = float(magnitudes.max(initial=0.0))
        if largest == 0.0:
            return
        self.largest = max(self.largest, largest)
        if self._reach == 0.0:
            self._reach = largest
        while self._reach < largest:
            # Two bins become one, so what was counted stays as it is.
            self.counts = np.concatenate([self.counts.reshape(-1, 2).sum(axis=1), np.zeros(BINS // 2)])
            self._reach *= 2
        # Half of numpy's time. Bounds are such that the largest value is in, and zeros are out.
        bounds = [self._reach * 1e-12, self._reach * (1 + 1e-6)]
        self.counts += cv2.calcHist([magnitudes], [0], None, [BINS], bounds).ravel()

    @property
    def centres(self) -> Histogram:
        """The magnitude that each bin stands for."""
        return (np.arange(BINS) + 0.5) * (self._reach / BINS)

    def range(self, algorithm: str) -> float:
        """The magnitude for 127; 1.0 where nothing but zero was seen."""
        if self.largest == 0.0:
            return 1.0
        return float(np.float32(ALGORITHMS[algorithm](self)))


def _abs_max(seen: Observed) -> float:
    """Nothing is cut off."""
    return seen.largest


def _hist(seen: Observed) -> float:
    """All but the largest ten-thousandth of the values fit."""
    share = np.cumsum(seen.counts) / seen.counts.sum()
    return min(seen.largest, float(seen.centres[int(np.argmax(share >= _PERCENTILE))]))


def _mse(seen: Observed) -> float:
    """The least mean square of what rounding and cutting off change."""
    x, best, least = seen.centres, seen.largest, np.inf
    for part in _TRIED:
        reach = part * seen.largest
        step = reach / (_LEVELS - 1)
        error = float((seen.counts * (np.minimum(np.round(x / step), _LEVELS - 1) * step - x) ** 2).sum())
        if error < least:
            best, least = reach, error
    return best


def _kl(seen: Observed) -> float:
    """The least information lost (Kullback-Leibler divergence of the histogram and its 128 levels), as in TensorRT."""
    best, least = seen.largest, np.inf
    top = int(np.flatnonzero(seen.counts)[-1]) + 1
    width = seen.centres[1] - seen.centres[0]
    for bins in range(_LEVELS, top + 1, 16):
        kept = seen.counts[:bins]
        wanted = kept.copy()
        wanted[-1] += seen.counts[bins:].sum()
        level = np.arange(bins) * _LEVELS // bins
        filled = kept > 0
        sums = np.bincount(level, kept, _LEVELS)
        sizes = np.bincount(level, filled, _LEVELS)
        coarse = np.where(filled, sums[level] / np.maximum(sizes[level], 1), 0.0)
        both = (wanted > 0) & (coarse > 0)
        p, q = wanted / wanted.sum(), coarse / max(coarse.sum(), 1.0)
        # A bin that the levels can't say costs as if it had the least share that counts.
        lost = float((p[both] * np.log(p[both] / q[both])).sum() + p[(wanted > 0) & (coarse <= 0)].sum() * 20.0)
        if lost < least:
            best, least = bins * width, lost
    return min(best, seen.largest)


ALGORITHMS: dict[str, Callable[[Observed], float]] = {"mse": _mse, "kl": _kl, "hist": _hist, "abs_max": _abs_max}
