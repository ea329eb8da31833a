"""A tensor that stays where a library computed it between two graphs, in place of a numpy array.

The feature maps at 640 x 640 are 35 MB: copied down and up again they would stand within the model's time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray


class OnDevice(Protocol):
    """A library's own tensor."""

    def shape(self) -> Sequence[int]: ...

    def numpy(self) -> NDArray[Any]:
        """A copy of its values."""


class DeviceTensor:
    """An output where it was computed; read like an array, it is copied once."""

    def __init__(self, value: OnDevice, dtype: DTypeLike) -> None:
        self.value: Any = value
        self.shape: tuple[int, ...] = tuple(value.shape())
        self.dtype = np.dtype(dtype)
        self._array: NDArray[Any] | None = None

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def is_copied(self) -> bool:
        """Whether its values are in the host's memory already."""
        return self._array is not None

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if self._array is None:
            self._array = self.value.numpy()
        return self._array if dtype is None else self._array.astype(dtype)
