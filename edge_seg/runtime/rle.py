"""COCO's compressed run lengths from outside, read without pycocotools, which loops for hours over some that don't fit.

A number is written in groups of 5 bits, the lowest first, as characters from "0": bit 5 says that another group
follows, bit 4 of the last one that the number is negative. From the fourth on a number is the difference from the one
two places before (``rleToString`` in cocoapi's maskApi.c).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.limits import RLE_GROUPS
from edge_seg.words import counted

_GROUPS_OF_A_NUMBER = 7
"""The lengths of an image of 2^31 pixels and their differences fit in 35 bits."""


def read_code(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """A mask's code as pycocotools takes it, ``{"size": [height, width], "counts": bytes}``.

    Raises ValueError when it isn't one of an image of that height and width.
    """
    if not isinstance(segmentation, dict) or segmentation.get("size") != [height, width]:
        raise ValueError(f"a mask isn't of the image's size, {height} x {width}")
    counts = segmentation.get("counts")
    if not isinstance(counts, str) or not counts.isascii():
        raise ValueError("a mask's counts aren't text")
    if len(counts) > RLE_GROUPS:
        raise ValueError(f"a mask's counts have {len(counts):,} characters, expected at most {RLE_GROUPS:,}")
    lengths = run_lengths(counts.encode("ascii"))
    if lengths is None or lengths.min(initial=0) < 0 or lengths.max(initial=0) > height * width:
        raise ValueError("a mask's counts aren't run lengths")
    if int(lengths.sum()) != height * width:
        raise ValueError(
            f"a mask's run lengths cover {counted(int(lengths.sum()), 'pixel')}, expected {height * width}"
        )
    return {"size": [height, width], "counts": counts.encode("ascii")}


def run_lengths(code: bytes) -> NDArray[np.int64] | None:
    """The lengths of the runs, zeros first; None when ``code`` isn't a code."""
    groups = np.frombuffer(code, np.uint8).astype(np.int64) - 48
    if len(groups) == 0:
        return groups
    if groups.min() < 0 or groups.max() >= 64 or groups[-1] & 32:
        return None
    ends = np.flatnonzero(groups & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    sizes = ends - starts + 1
    if sizes.max() > _GROUPS_OF_A_NUMBER:
        return None
    place = np.arange(len(groups)) - np.repeat(starts, sizes)
    values = np.add.reduceat((groups & 31) << (5 * place), starts)
    values -= np.where(groups[ends] & 16, np.int64(1) << (5 * sizes), 0)
    for first in (1, 2):  # the differences
        values[first::2] = np.cumsum(values[first::2])
    return values
