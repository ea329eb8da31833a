"""Inputs to try a model with: sizes where the program leaves them open, values that its operators can take."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.program.program import Program
from edge_seg.errors import UsageError
from edge_seg.manifest import TensorSpec

ROWS = 4
SIDE = 64
LARGEST = 64_000_000
"""Values in one input: 256 MB of float32."""

# What hands a value on as it is.
_CARRIERS = ("cast", "reshape2", "squeeze2", "unsqueeze2", "scale", "assign", "slice", "concat", "flatten2")
_INDEXES = ("Index", "Ids", "IndexTensor")
_COUNTS = ("RoisNum",)
_ONES = ("Variances",)
_IMAGE = ("ImShape", "ImInfo", "ImgSize")
_SHARES = ("Scores",)
_DELTAS = ("BboxDeltas", "TargetBox")
# PaddleDetection's and PaddleX's other inputs: they have one row an image.
_PER_IMAGE = ("im_shape", "scale_factor", "im_info")

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Sizes:
    """What stands for sizes that are known only at run time. ``given`` are the user's shapes, by input."""

    given: Mapping[str, tuple[int, ...]]
    rows: int = ROWS
    side: int = SIDE


def shapes(program: Program, sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """A shape for each input. Raises :class:`UsageError` when a given one doesn't fit, or one is too large to try."""
    names = [tensor.name for tensor in program.inputs]
    for name in sizes.given:
        if name not in names:
            raise UsageError(f"--shape {name}: no such input", remedy=f"the model's inputs: {', '.join(names)}")
    chosen = {}
    for tensor in program.inputs:
        shape = sizes.given.get(tensor.name) or tuple(_side(tensor, at, sizes) for at in range(len(tensor.shape)))
        fits = len(shape) == len(tensor.shape) and all(w in (-1, s) for w, s in zip(tensor.shape, shape, strict=True))
        if not fits:
            raise UsageError(
                f"--shape {tensor.name}={'x'.join(map(str, shape))}: the model's is {list(tensor.shape)}",
                remedy="give as many sides; -1 stands for any",
            )
        if math.prod(shape) > LARGEST:
            raise UsageError(
                f"the input {tensor.name}, {list(shape)[:8]}, is too large to be tried",
                remedy="export the model with a smaller input, or give a smaller --shape",
                code="input-too-large",
            )
        chosen[tensor.name] = shape
    return chosen


def _side(tensor: TensorSpec, at: int, sizes: Sizes) -> int:
    side = tensor.shape[at]
    if side >= 0:
        return side
    rank = len(tensor.shape)
    if at == 0:
        return 1 if rank >= 4 or tensor.name in _PER_IMAGE else sizes.rows
    if rank == 4:
        return 3 if at == 1 else sizes.side
    return 8


def values(program: Program, chosen: Mapping[str, tuple[int, ...]], *, spread: float = 0.0) -> Arrays:
    """Inputs of those shapes, the same ones each time.

    Floats lie within 0.05 and 0.95, where every function is defined, or, with a ``spread``, on both sides of zero with
    that standard deviation. Indexes are 0, other whole numbers 1, boxes lie within 64 pixels, scores within 0 and 1: a
    library isn't to blame for what it makes of nonsense.
    """
    return {
        tensor.name: _value(program, tensor, chosen, np.random.default_rng(number + (1000 if spread else 0)), spread)
        for number, tensor in enumerate(program.inputs)
    }


def _value(
    program: Program,
    tensor: TensorSpec,
    chosen: Mapping[str, tuple[int, ...]],
    rng: np.random.Generator,
    spread: float,
) -> NDArray[np.generic]:
    shape = chosen[tensor.name]
    slots = set(_slots(program, tensor.name))
    if tensor.name in _PER_IMAGE:
        sides = next((s[2:4] for name, s in chosen.items() if len(s) == 4), (SIDE, SIDE))
        row = {"im_shape": sides, "scale_factor": (1, 1), "im_info": (*sides, 1)}[tensor.name]
        return np.broadcast_to(np.array(row, tensor.dtype), shape).copy()
    if tensor.dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if tensor.dtype.startswith(("int", "uint")) and not slots & set(_IMAGE):
        if slots & set(_COUNTS):
            count = np.zeros(shape, tensor.dtype)
            count.reshape(-1)[:1] = next((s[0] for s in chosen.values() if len(s) == 2 and s[1] == 4), 1)
            return count
        return np.full(shape, 0 if slots & set(_INDEXES) else 1, tensor.dtype)
    if slots & set(_IMAGE):
        return np.full(shape, SIDE, tensor.dtype)
    if slots & set(_ONES):
        return np.ones(shape, tensor.dtype)
    if slots & set(_DELTAS):
        return rng.normal(0, 0.1, shape).astype(tensor.dtype)
    if len(shape) >= 2 and shape[-1] == 4:
        corner = rng.uniform(0, 40, (*shape[:-1], 2))
        return np.asarray(np.concatenate([corner, corner + rng.uniform(4, 24, corner.shape)], axis=-1), tensor.dtype)
    floats = rng.normal(0, spread, shape) if spread and not slots & set(_SHARES) else rng.uniform(0.05, 0.95, shape)
    return floats.astype(tensor.dtype)


def _slots(program: Program, name: str) -> Iterator[str]:
    """The slots of operators that an input reaches as it is."""
    carried = {name}
    for operator in program.operators:
        for slot, names in operator.inputs.items():
            if carried.intersection(names):
                yield slot
                if operator.kind in _CARRIERS:
                    carried |= operator.writes
