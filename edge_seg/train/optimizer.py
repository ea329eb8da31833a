"""The optimisers, and their state by the parameters' names in the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.errors import RunError
from edge_seg.paddle_env import paddle
from edge_seg.train.run import TrainSettings

if TYPE_CHECKING:
    from edge_seg.models.mask_rcnn import MaskRCNN

BETAS = (0.9, 0.999)
# What paddle keeps for each parameter: the name in its state dict, the name in ours, and the first value.
_KEPT: dict[str, tuple[tuple[str, str, float | None], ...]] = {
    "sgd": (),
    # Alone, the velocity has the parameter's own name: so checkpoints of earlier versions are read.
    "momentum": (("{}_velocity_0", "{}", None),),
    "adamw": (
        ("{}_moment1_0", "{}@moment1", None),
        ("{}_moment2_0", "{}@moment2", None),
        ("{}_beta1_pow_acc_0", "{}@beta1_pow", BETAS[0]),
        ("{}_beta2_pow_acc_0", "{}@beta2_pow", BETAS[1]),
    ),
}
OPTIMIZERS = tuple(_KEPT)


class Optimizer:
    """SGD, SGD with momentum (both with L2 decay), or AdamW (decoupled decay); batch normalisation isn't decayed."""

    def __init__(self, model: MaskRCNN, settings: TrainSettings) -> None:
        self._parameters = {name: p for name, p in model.named_parameters() if not p.stop_gradient}
        self._kept = _KEPT[settings.optimizer]
        options: dict[str, Any] = {
            "learning_rate": settings.lr,
            "parameters": list(self._parameters.values()),
            "weight_decay": settings.weight_decay,
            "grad_clip": paddle.nn.ClipGradByGlobalNorm(settings.clip_norm) if settings.clip_norm else None,
        }
        self._inner: Any
        if settings.optimizer == "adamw":
            # A parameter that brings a regularizer of its own is one of normalisation: none.
            decayed = {p.name for p in self._parameters.values() if p.regularizer is None}
            self._inner = paddle.optimizer.AdamW(
                beta1=BETAS[0], beta2=BETAS[1], apply_decay_param_fun=decayed.__contains__, **options
            )
        elif settings.optimizer == "momentum":
            self._inner = paddle.optimizer.Momentum(momentum=settings.momentum, **options)
        else:
            self._inner = paddle.optimizer.SGD(**options)
        self._given: dict[str, Any] = {}
        # All state is there from the start: paddle makes one when it first sees a gradient, and fails when it was
        # given the state of some parameters but not of one whose gradient comes later (a head without any object).
        self.restore({})

    @property
    def parameters(self) -> list[Any]:
        """What is trained, in the model's order."""
        return list(self._parameters.values())

    def skip(self) -> None:
        """Clears the gradients without a step."""
        self._inner.clear_grad()

    def step(self, lr: float) -> None:
        """Moves the parameters along their gradients, which it clears."""
        self._inner.set_lr(lr)
        self._inner.step()
        self._inner.clear_grad()

    def state(self) -> dict[str, Any]:
        """What is kept of each parameter by its name in the model."""
        state = self._inner.state_dict()
        found: dict[str, Any] = {}
        for name, p in self._parameters.items():
            for theirs, ours, _ in self._kept:
                # paddle tells nothing of what it was given until the parameter has a gradient.
                value = state.get(theirs.format(p.name))
                found[ours.format(name)] = self._given[theirs.format(p.name)] if value is None else value
        return found

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what :meth:`state` gave; first values when empty. :class:`RunError` when it isn't this model's."""
        state = {}
        for name, p in self._parameters.items():
            for theirs, ours, first in self._kept:
                wanted = _first(p, first)
                value = kept.get(ours.format(name)) if kept else wanted
                if value is None or list(value.shape) != list(wanted.shape):
                    found = "nothing" if value is None else f"shape {list(value.shape)}"
                    raise RunError(
                        f"optimiser's state of {ours.format(name)}: expected shape {list(wanted.shape)}, found {found}",
                        code="checkpoint-invalid",
                    )
                state[theirs.format(p.name)] = value
        self._given = dict(state)
        self._inner.set_state_dict(state)


def _first(parameter: Any, value: float | None) -> NDArray[np.float32]:
    return np.zeros(parameter.shape, np.float32) if value is None else np.full([1], value, np.float32)
