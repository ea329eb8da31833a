"""SGD with momentum as PaddleDetection uses it, and its state by the parameters' names in the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_seg.errors import RunError
from edge_seg.paddle_env import paddle
from edge_seg.train.run import TrainSettings

if TYPE_CHECKING:
    from edge_seg.models.mask_rcnn import MaskRCNN

# How paddle names a parameter's velocity in the optimiser's state dict.
_VELOCITY = "{}_velocity_0"


class Optimizer:
    """Momentum and L2 decay; parameters that bring a regularizer of their own (normalisation: none) keep it."""

    def __init__(self, model: MaskRCNN, settings: TrainSettings) -> None:
        self._parameters = {name: p for name, p in model.named_parameters() if not p.stop_gradient}
        self._inner = paddle.optimizer.Momentum(
            learning_rate=settings.lr,
            momentum=settings.momentum,
            parameters=list(self._parameters.values()),
            weight_decay=settings.weight_decay,
            grad_clip=paddle.nn.ClipGradByGlobalNorm(settings.clip_norm) if settings.clip_norm else None,
        )
        # All velocities are there from the start: paddle makes one when it first sees a gradient, and fails when it was
        # given the state of some parameters but not of one whose gradient comes later (a head without any object).
        self.restore({})

    def step(self, lr: float) -> None:
        """Moves the parameters along their gradients, which it clears."""
        self._inner.set_lr(lr)
        self._inner.step()
        self._inner.clear_grad()

    def state(self) -> dict[str, Any]:
        """The velocity of each parameter by its name in the model; zero where there was no gradient yet."""
        state = self._inner.state_dict()
        return {
            name: state.get(_VELOCITY.format(p.name), paddle.zeros(p.shape, p.dtype))
            for name, p in self._parameters.items()
        }

    def restore(self, velocities: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Takes over what :meth:`state` gave; all zero when empty. :class:`RunError` when it doesn't fit the model."""
        state = {}
        for name, p in self._parameters.items():
            value = velocities.get(name) if velocities else np.zeros(p.shape, np.float32)
            if value is None or list(value.shape) != list(p.shape):
                found = "nothing" if value is None else f"shape {list(value.shape)}"
                raise RunError(
                    f"momentum of {name}: expected shape {list(p.shape)}, found {found}", code="checkpoint-invalid"
                )
            state[_VELOCITY.format(p.name)] = value
        self._inner.set_state_dict(state)
