"""A tensor that stays on the device between two graphs, in place of a numpy array.

The feature maps at 640 x 640 are 35 MB: copied down and up again they would stand within the model's time.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray


class DeviceTensor:
    """An output of ONNX Runtime where it was computed; read like an array, it is copied once."""

    def __init__(self, value: Any, dtype: DTypeLike) -> None:
        self.value = value
        self.shape: tuple[int, ...] = tuple(value.shape())
        self.dtype = np.dtype(dtype)
        self._array: NDArray[Any] | None = None

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if self._array is None:
            self._array = cast("NDArray[Any]", self.value.numpy())
        return self._array if dtype is None else self._array.astype(dtype)
