"""exp, sigmoid and softmax, the same to the last bit on every machine and in the C++ runner.

The functions of numpy and of C libraries differ in their last digits from version to version and from CPU to CPU, and
what is decided by their results would differ as well. Here they are additions and multiplications in float64 in a
stated order, nothing contracted to FMA; the result is rounded to float32 once.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = -87.0, 88.0
"""Arguments are held to these: exp of them is a normal float32."""
_LOG2_E = 1.4426950408889634
_LN_2 = 0.6931471805599453
_TERMS = tuple(1.0 / math.factorial(n) for n in range(9, -1, -1))
"""Taylor's series to the ninth power: its error is below 1e-11 of the result, and all divisions are exact or one
rounding, so that any language gives the same constants."""


def exp(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """``e ** x``, x held to -87…88.

    ``k = floor(x * (1 / ln 2) + 0.5)``, then the series of ``x - k * ln 2`` by Horner's rule, times ``2 ** k``.
    """
    held = np.minimum(np.maximum(x.astype(np.float64), LOWEST), HIGHEST)
    power = np.floor(held * _LOG2_E + 0.5)
    held -= power * _LN_2
    result = np.full(held.shape, _TERMS[0])
    for term in _TERMS[1:]:
        result *= held
        result += term
    scaled: NDArray[np.float64] = np.ldexp(result, power.astype(np.int32))
    return scaled


def sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """``1 / (1 + exp(-x))``, float32 of x's shape."""
    return (1.0 / (1.0 + exp(-x))).astype(np.float32)


def softmax(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each row of float32[N, C]: ``exp(x - max)`` divided by their sum, which is added up from left to right."""
    if not x.size:
        return x.copy()
    parts = exp(x - x.max(axis=1, keepdims=True))
    # numpy's sum adds in pairs, accumulate one after the other.
    total = np.add.accumulate(parts, axis=1)[:, -1:]
    return np.asarray(parts / total, np.float32)
