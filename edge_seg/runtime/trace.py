"""Masks → polygons along the edges of their pixels, which give the same mask when they are drawn again."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

Point = tuple[int, int]
Loop = list[Point]


def trace(mask: NDArray[Any]) -> list[Loop]:
    """The closed lines between what is in the mask and what isn't, each as its corners (x, y) in pixels.

    The mask is on the right of each line, so outer lines run clockwise and those around holes the other way.
    """
    padded = np.pad(mask.astype(bool), 1).astype(np.int8)
    across = (padded[1:] - padded[:-1])[:, 1:-1]  # [height + 1, width]: 1 where the mask begins downwards
    down = (padded[:, 1:] - padded[:, :-1])[1:-1]  # [height, width + 1]
    level = _runs(across, forward=1)
    upright = defaultdict(list)
    for x, start, end in _runs(down.T, forward=-1):
        upright[x, start].append((x, end))
    rows: dict[Point, list[Point]] = defaultdict(list)
    for y, start, end in level:
        rows[start, y].append((end, y))
    loops = []
    for first in list(rows):
        while rows[first]:
            loop = []
            point = first
            while rows[point]:
                loop.append(point)
                point = rows[point].pop()
                loop.append(point)
                point = upright[point].pop()
            loops.append(loop)
    return loops


def _runs(steps: NDArray[np.int8], forward: int) -> list[tuple[int, int, int]]:
    """Straight lines (row, start, end) in an array of -1, 0, 1: those equal to ``forward`` run to higher places."""
    changes = np.diff(steps, axis=1, prepend=0, append=0)
    found = []
    for row in np.flatnonzero(steps.any(axis=1)).tolist():
        places = np.flatnonzero(changes[row]).tolist()
        for low, high in itertools.pairwise(places):
            value = int(steps[row, low]) if low < steps.shape[1] else 0
            if value:
                found.append((row, low, high) if value == forward else (row, high, low))
    return found


def one_polygon(loops: list[Loop]) -> list[float]:
    """All loops as one polygon [x, y, …]: lines that are gone to and fro, and cover nothing, join them."""
    base, *rest = loops
    points = list(base)
    for loop in rest:
        points += [base[0], *loop, loop[0]]
    if rest:
        points.append(base[0])
    return [float(value) for point in points for value in point]
