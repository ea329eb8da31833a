"""Mask probabilities → masks in the image, as COCO run-length codes, without ever drawing a pixel.

Shapes: N instances, M the side of a probability map (28), h, w the image's sides. A box is (x0, y0, x1, y1) in
image pixels and may reach beyond the image.

A map is bilinear between its values, which stand at the middle of M x M equal cells of the box, and zero one cell
further out. Run-length codes run down the columns; down a column the map is a chain of straight lines, so where it
passes the threshold is solved for, not searched pixel by pixel. The cost grows with the objects' width, not their area.

The rule, exact to the last bit (the C++ runner is tested against it; float32 throughout, one rounding an operation,
nothing contracted to FMA):

1. A pixel column x belongs to the box when its centre does: ``ceil(x0 - 0.5) <= x < ceil(x1 - 0.5)``, held to 0…w.
   Rows likewise, ``top <= y < bottom``.
2. A column's place in the map is ``u = (((x + 0.5) - x0) / (x1 - x0)) * M - 0.5``; ``j = floor(u)``, held to -1…M - 1;
   ``f = u - j``. The map along the column is ``B[i] = map[i, j] + (map[i, j + 1] - map[i, j]) * f`` for i = -1…M, where
   the map is zero outside 0…M - 1.
3. Where one of ``B[i] >= t`` and ``B[i + 1] >= t`` holds, and the other doesn't, the mask begins or ends at the row
   ``ceil((y0 + (((i + f) + 0.5) / M) * (y1 - y0)) - 0.5)`` with ``f = (t - B[i]) / (B[i + 1] - B[i])``, held to
   top…bottom. So a pixel is in the mask when its centre lies in [begin, end).
4. The code is that of ``pycocotools.mask.encode``: run lengths down the columns, zeros first; no run but the first is
   empty (where two begins or ends fall on one place they cancel out).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from edge_seg.runtime.rle import run_lengths

_HALF = np.float32(0.5)
# Pixel columns pasted at once. More would leave the cache where masks are ragged, fewer cost calls; it also bounds the
# memory where many objects fill a very large image.
_COLUMNS = 1 << 12


def paste(
    probabilities: NDArray[np.float32],
    boxes: NDArray[np.float32],
    height: int,
    width: int,
    threshold: float,
) -> list[dict[str, Any]]:
    """Probabilities float32[N, M, M] and boxes float32[N, 4] → N COCO run-length codes of a height x width image.

    Each is ``{"size": [height, width], "counts": bytes}``. ``threshold`` is above 0.
    """
    count = len(boxes)
    if count == 0:
        return []
    left, right = _pixels(boxes[:, 0], boxes[:, 2], width)
    if count > 1 and int((right - left).sum()) > _COLUMNS:
        half = count // 2
        return paste(probabilities[:half], boxes[:half], height, width, threshold) + paste(
            probabilities[half:], boxes[half:], height, width, threshold
        )
    owner, column, chain = _columns(probabilities, boxes, left, right)
    inside = chain >= np.float32(threshold)
    crossing = np.flatnonzero(inside[:, 1:] != inside[:, :-1])
    at = crossing // (inside.shape[1] - 1)
    owner = owner[at]
    row = _rows(chain, at, crossing, boxes, owner, np.float32(threshold), height)
    # One number line for all instances, each with a place for every pixel and one for its end; these are in order
    line = height * width + 1
    places = _uncancelled(owner * line + (column[at] * height + row))
    return [{"size": [height, width], "counts": code} for code in _codes(places, line, count)]


def decode(rles: Sequence[dict[str, Any]], height: int, width: int) -> NDArray[np.bool_]:
    """COCO run-length codes → bool[N, height, width]."""
    masks = np.zeros((len(rles), height, width), bool)
    for mask, rle in zip(masks, rles, strict=True):
        x, y, inside = decode_inside(rle)
        mask[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return masks


def decode_inside(rle: dict[str, Any]) -> tuple[int, int, NDArray[np.uint8]]:
    """The mask within its bounding box: the box's left and top pixel, and uint8[h, w] of 0 and 1; empty for no pixel.

    Its cost grows with the object's width, not with the image. Raises ValueError when the run lengths don't add up.
    """
    height, width = rle["size"]
    x, y, w, h = (int(side) for side in coco_mask.toBbox(rle))
    runs = run_lengths(rle["counts"])
    ends = np.zeros(0, np.int64) if runs is None else np.cumsum(runs)
    if not len(ends) or ends[-1] != height * width:
        raise ValueError(f"a mask's counts aren't run lengths of an image of {height}x{width} (height x width)")
    # The runs that begin in the box's columns, the first and the last of which reach beyond it.
    first, beyond = x * height, (x + w) * height
    begin, end = np.searchsorted(ends, (first, beyond), side="right")
    inside = np.clip(ends[begin : end + 1], first, beyond)
    values = (np.arange(begin, begin + len(inside)) % 2).astype(np.uint8)
    columns = np.repeat(values, np.diff(inside, prepend=first)).reshape(w, height)
    return x, y, np.ascontiguousarray(columns[:, y : y + h].T)


def _pixels(
    low: NDArray[np.float32], high: NDArray[np.float32], limit: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rule 1: the first pixel whose centre is in [low, high) and the first beyond, int64[N]; equal when none is."""
    start = np.clip(np.ceil(low - _HALF), 0, limit).astype(np.int64)
    end = np.clip(np.ceil(high - _HALF), 0, limit).astype(np.int64)
    return start, np.maximum(start, end)


def _columns(
    probabilities: NDArray[np.float32], boxes: NDArray[np.float32], left: NDArray[np.int64], right: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Rule 2 for all pixel columns of all instances: its instance, its x, and B float32[columns, M + 2]."""
    count, side = probabilities.shape[:2]
    widths = right - left
    owner = np.repeat(np.arange(count), widths)
    column = np.arange(len(owner)) - np.repeat(np.cumsum(widths) - widths - left, widths)
    x0, x1 = boxes[owner, 0], boxes[owner, 2]
    place = (((column.astype(np.float32) + _HALF) - x0) / (x1 - x0)) * np.float32(side) - _HALF
    cell = np.clip(np.floor(place), np.float32(-1), np.float32(side - 1))
    padded = np.zeros((count, side + 2, side + 2), np.float32)  # [instance, column, row]
    padded[:, 1:-1, 1:-1] = probabilities.transpose(0, 2, 1)
    lines = padded.reshape(-1, side + 2)
    index = owner * (side + 2) + (cell.astype(np.int64) + 1)
    chain = np.take(lines, index, axis=0)
    rise = np.take(lines, index + 1, axis=0)
    rise -= chain
    rise *= (place - cell)[:, None]
    chain += rise
    return owner, column, chain


def _rows(
    chain: NDArray[np.float32],
    at: NDArray[np.intp],
    crossing: NDArray[np.intp],
    boxes: NDArray[np.float32],
    owner: NDArray[np.int64],
    threshold: np.float32,
    height: int,
) -> NDArray[np.int64]:
    """Rule 3: the pixel rows at which the mask begins or ends, int64[crossings].

    ``crossing`` numbers the steps of all columns, M + 1 in each; ``at`` is the column, ``owner`` the instance of each.
    """
    side = chain.shape[1] - 2
    before = chain.ravel()[crossing + at]
    after = chain.ravel()[crossing + at + 1]
    fraction = (threshold - before) / (after - before)
    cell = (crossing - at * (side + 1) - 1).astype(np.float32)
    y0, y1 = boxes[:, 1], boxes[:, 3]
    top, bottom = (edge.astype(np.float32) for edge in _pixels(y0, y1, height))
    place = y0[owner] + (((cell + fraction) + _HALF) / np.float32(side)) * (y1 - y0)[owner]
    return np.minimum(np.maximum(np.ceil(place - _HALF), top[owner]), bottom[owner]).astype(np.int64)


def _uncancelled(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of rising numbers those that occur an odd number of times, once each."""
    if not (places[1:] == places[:-1]).any():
        return places
    first = np.flatnonzero(np.diff(places, prepend=-1))
    times = np.diff(first, append=len(places))
    odd: NDArray[np.int64] = places[first[times % 2 == 1]]
    return odd


def _codes(places: NDArray[np.int64], line: int, count: int) -> list[bytes]:
    """Begins and ends on the number line → each instance's compressed run lengths."""
    size = line - 1
    ends = np.searchsorted(places, np.arange(1, count + 1) * line)
    begins = np.concatenate([[0], ends[:-1]])
    filled = np.flatnonzero(begins < ends)
    last = ends[filled] - 1
    beyond = last[places[last] - filled * line == size]
    if len(beyond):  # a mask that ends with the image has no run after it
        return _codes(np.delete(places, beyond), line, count)
    runs = np.diff(places, prepend=0)
    runs[begins[filled]] = places[begins[filled]] - filled * line
    rest = np.full(count, size)
    rest[filled] -= places[last] - filled * line
    return _compress(np.insert(runs, ends, rest), ends + np.arange(1, count + 1))


def _compress(runs: NDArray[np.int64], ends: NDArray[np.int64]) -> list[bytes]:
    """The run lengths of several masks, one after the other (each up to its end), in COCO's compressed form.

    As in COCO's maskApi.c: from the fourth run on the difference to the last but one, in groups of five bits, lowest
    first, with a sixth bit that says that more follow, as characters from "0" on. Done for all at once, because
    pycocotools takes the runs one Python number at a time.
    """
    first = np.concatenate([[0], ends[:-1]])
    runs = runs.astype(np.int32)
    values = runs.copy()
    values[2:] -= runs[:-2]
    for early in range(3):
        places = (first + early)[first + early < ends]
        values[places] = runs[places]
    magnitude = values ^ (values >> 31)  # of a negative number its complement: a group's highest bit is the sign
    groups = np.ones(len(values), np.int8)
    limit, most = 16, int(magnitude.max())
    while limit <= most:
        groups += magnitude >= limit
        limit *= 32
    after = np.cumsum(groups, dtype=np.int64)
    text = np.empty(after[-1], np.uint8)
    place = after - groups
    while len(place):
        more = magnitude >= 16
        text[place] = (values & 31).astype(np.uint8) + np.where(more, np.uint8(80), np.uint8(48))
        place, values, magnitude = place[more] + 1, values[more] >> 5, magnitude[more] >> 5
    data = text.tobytes()
    return [data[a:b] for a, b in itertools.pairwise([0, *after[ends - 1].tolist()])]
