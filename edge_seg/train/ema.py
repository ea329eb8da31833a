"""A running mean of the weights, which is steadier than the last ones (Polyak and Juditsky, 1992)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.errors import RunError
from edge_seg.paddle_env import paddle

if TYPE_CHECKING:
    from edge_seg.models.mask_rcnn import MaskRCNN


class Ema:
    """Means of all of a model's values, statistics included; early steps count more (PaddleDetection's "threshold")."""

    def __init__(self, model: MaskRCNN, decay: float) -> None:
        self._model, self._decay = model, decay
        self._means: dict[str, Any] = {name: value.clone().detach() for name, value in model.state_dict().items()}

    def update(self, step: int) -> None:
        """After step ``step``, counted from 0: each mean moves towards the model's value."""
        decay = min(self._decay, (1 + step) / (10 + step))
        with paddle.no_grad():
            for name, value in self._model.state_dict().items():
                mean = self._means[name]
                mean.set_value(mean * decay + value.detach() * (1.0 - decay))

    def state(self) -> dict[str, Any]:
        """The means by name."""
        return self._means

    def restore(self, means: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what :meth:`state` gave; :class:`RunError` when it isn't this model's."""
        for name, mean in self._means.items():
            value = means.get(name)
            if value is None or list(value.shape) != list(mean.shape):
                raise RunError(f"mean of {name}: missing or of another shape", code="checkpoint-invalid")
            mean.set_value(value)

    def reset(self) -> None:
        """Begins anew at the model's present values."""
        for name, value in self._model.state_dict().items():
            self._means[name].set_value(value)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """While it is open the model has the means; then its own values again."""
        own = {name: np.array(value) for name, value in self._model.state_dict().items()}
        self._model.set_state_dict(self._means)
        try:
            yield
        finally:
            self._model.set_state_dict(own)
