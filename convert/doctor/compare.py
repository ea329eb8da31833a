"""Whether a converted graph computes what paddle computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.program.program import Program

TOLERANCE = 1e-3
"""Of an output's largest value."""
RANDOM = ("uniform_random", "gaussian_random", "randint", "randperm", "bernoulli", "multinomial", "dropout")
_STRAYS = 0.1
"""Share of the values behind something that orders which may be others': what is picked hangs on near ties."""

# What orders or picks by values: where two are nearly equal, another rounding orders them otherwise.
_ORDERING = (
    *(
        "top_k",
        "top_k_v2",
        "argsort",
        "arg_max",
        "arg_min",
        "where_index",
        "generate_proposals",
        "matrix_nms",
        "unique",
    ),
    *("generate_proposals_v2", "multiclass_nms", "multiclass_nms2", "multiclass_nms3", "yolo_box", "viterbi_decode"),
)
Arrays = Sequence[NDArray[Any]]


def random_outputs(program: Program) -> set[str]:
    """Names of the outputs that hang on random numbers, and so can't be compared. Dropout in use isn't random."""
    random: set[str] = set()
    for operator in program.operators:
        drawn = operator.kind in RANDOM and not (operator.kind == "dropout" and operator.attributes.get("is_test"))
        if drawn or operator.reads & random:
            random |= operator.writes
    return {tensor.name for tensor in program.outputs} & random


def compare(program: Program, expected: Sequence[Arrays], found: Sequence[Arrays]) -> list[str]:
    """How the outputs of some runs differ from those expected; nothing when they are the same, or random."""
    random = random_outputs(program)
    ordering = any(operator.kind in _ORDERING for operator in program.operators)
    said = []
    for number, tensor in enumerate(program.outputs):
        if tensor.name in random:
            continue
        pairs = [(e[number], f[number]) for e, f in zip(expected, found, strict=True)]
        fault = next(filter(None, (_difference(e, f, ordering) for e, f in pairs)), "")
        if fault:
            said.append(f"output {number} ({tensor.name}): {fault}")
    return said


def lost(program: Program, expected: Arrays, found: Arrays) -> list[str]:
    """Names of the outputs of a run that hold something that isn't finite where what is expected is."""
    random = random_outputs(program)
    return [
        tensor.name
        for tensor, wanted, given in zip(program.outputs, expected, found, strict=True)
        if tensor.name not in random
        and wanted.shape == given.shape
        and (np.isfinite(wanted.astype(np.float64)) & ~np.isfinite(given.astype(np.float64))).any()
    ]


def _difference(expected: NDArray[Any], found: NDArray[Any], ordering: bool) -> str:
    if _squeezed(expected) != _squeezed(found):
        # A threshold may lie between two roundings, so another number of rows proves nothing.
        if ordering and expected.ndim == found.ndim and expected.shape[1:] == found.shape[1:]:
            return ""
        return f"{list(found.shape)} instead of {list(expected.shape)}"
    wanted, given = (np.asarray(array, np.float64).reshape(-1) for array in (expected, found))
    off = _off(wanted, given)
    if off > TOLERANCE and ordering:
        off = min(off, _off(np.sort(wanted), np.sort(given), _STRAYS))
    if not off > TOLERANCE:
        return ""
    return f"differs by {off:.1e} of its largest value" if np.isfinite(off) else "other values are finite"


def _squeezed(array: NDArray[Any]) -> tuple[int, ...]:
    """Paddle Lite has no tensors without dimensions: it makes one of one value."""
    return array.shape or (1,)


def _off(expected: NDArray[np.float64], found: NDArray[np.float64], strays: float = 0.0) -> float:
    defined = ~np.isnan(expected)  # paddle's NaN: the function isn't defined there, so any value will do
    expected, found = expected[defined], found[defined]
    finite = np.isfinite(expected)
    if not np.array_equal(finite, np.isfinite(found)):
        return float("inf")
    apart = np.sort(np.abs(expected[finite] - found[finite]))
    apart = apart[: len(apart) - int(strays * len(apart))]
    return float(apart.max(initial=0.0) / max(1e-6, np.abs(expected[finite]).max(initial=0.0)))
