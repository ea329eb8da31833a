"""COCO's compressed run lengths, read without pycocotools, which trusts what it is given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GROUPS = 12
"""A number of more groups of 5 bits than this doesn't fit in 64 bits, and is longer than any image."""


def decompress(text: str) -> list[int] | None:
    """The run lengths (of 0, of 1, of 0, … down the columns) in ``text``, or None when it isn't such a string."""
    lengths = read_lengths(text)
    return None if lengths is None else lengths.tolist()


def read_lengths(text: str) -> NDArray[np.int64] | None:
    """As :func:`decompress`, int64[runs]; one pass of numpy, since a set may hold hundreds of thousands of them.

    Each number is written in groups of 5 bits, the lowest first, as characters from "0": bit 5 says that another group
    follows, bit 4 of the last one that the number is negative. From the fourth on a number is the difference from the
    one two places before (``rleToString`` in cocoapi's maskApi.c).
    """
    if not text:
        return np.zeros(0, np.int64)
    if not text.isascii():
        return None
    groups = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    if groups.min() < 0 or groups.max() >= 64 or groups[-1] & 32:
        return None
    ends = np.flatnonzero(groups & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    sizes = ends - starts + 1
    if sizes.max() > _GROUPS:
        return None
    place = np.arange(len(groups)) - np.repeat(starts, sizes)
    values = np.add.reduceat((groups & 31) << (5 * place), starts)
    values -= np.where(groups[ends] & 16, np.int64(1) << (5 * sizes), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
