"""Which anchor or proposal learns which object, and which of them are drawn for a step.

S: sources (anchors or proposals), G: ground-truth objects of one image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edge_seg.models.boxes import iou
from edge_seg.paddle_env import paddle

FOREGROUND, BACKGROUND, IGNORED = 1, 0, -1


def match(
    sources: Any, targets: Any, *, low: float, high: float, rescue: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Labels int64[S] (1 foreground, 0 background, -1 ignored) and, for each source, its best object int64[S].

    Foreground from IoU ``high`` on, background below ``low``. With ``rescue`` the sources that overlap an object best
    are foreground whatever their IoU, so that every object is learnt (Faster R-CNN, section 3.1.2).
    """
    count = sources.shape[0]
    if targets.shape[0] == 0:
        return np.zeros(count, np.int64), np.zeros(count, np.int64)
    overlaps = iou(targets, sources)
    best = overlaps.max(axis=0).numpy()
    objects = overlaps.argmax(axis=0).numpy().astype(np.int64)
    labels = np.full(count, IGNORED, np.int64)
    labels[best < low] = BACKGROUND
    labels[best >= high] = FOREGROUND
    if rescue:
        highest = overlaps.max(axis=1, keepdim=True)
        ties = paddle.logical_and(overlaps == highest, highest > 0).any(axis=0).numpy()
        labels[ties] = FOREGROUND
    return labels, objects


def sample(
    labels: npt.NDArray[np.int64], count: int, fraction: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices of at most ``count * fraction`` foreground sources, and of background ones up to ``count`` in all."""
    foreground = np.flatnonzero(labels == FOREGROUND)
    background = np.flatnonzero(labels == BACKGROUND)
    wanted = min(len(foreground), int(count * fraction))
    chosen = np.sort(rng.choice(foreground, wanted, replace=False))
    rest = np.sort(rng.choice(background, min(len(background), count - wanted), replace=False))
    return chosen, rest
