"""Mixed precision (AMP): convolutions and matrix products in 16 bits, weights and losses in 32 (paddle's level O1).

The weights are always float32, so there are no second, "master" ones to keep. fp16 can't hold small gradients: the loss
is multiplied by a scale, the gradients are divided by it again, and a step whose gradients overflowed is left out
(Micikevicius et al., 2018). The scale is plain numbers in the checkpoint, so a resumed training goes on with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from edge_seg.errors import UsageError
from edge_seg.paddle_env import paddle
from edge_seg.train.checkpoint import State

KINDS = {"fp16": "float16", "bf16": "bfloat16"}
_CAPABILITY = {"fp16": (7, 0), "bf16": (8, 0)}
FIRST_SCALE = 1024.0
GROWS_AFTER = 2000
"""Steps without an overflow until the scale is doubled; both as in PaddleDetection."""


def check(kind: str, device: str) -> None:
    """Raises :class:`UsageError` where ``device`` can't compute in ``kind``: paddle would go on in 32 bits."""
    if not kind:
        return
    if device != "gpu":
        raise UsageError(
            f"--amp {kind}: paddle computes in mixed precision on GPUs only, and this training is on the CPU",
            remedy="leave out --amp, or train on a GPU",
            code="no-amp",
        )
    found, wanted = tuple(paddle.device.cuda.get_device_capability()), _CAPABILITY[kind]
    if found < wanted:
        raise UsageError(
            f"--amp {kind}: {paddle.device.cuda.get_device_name()} has compute capability {found[0]}.{found[1]}, "
            f"expected {wanted[0]}.{wanted[1]} or newer",
            remedy="use --amp fp16" if kind == "bf16" and found >= _CAPABILITY["fp16"] else "leave out --amp",
            code="no-amp",
        )


def autocast(kind: str) -> contextlib.AbstractContextManager[Any]:
    """While it is open, paddle computes what bears it in ``kind``; nothing changes for ""."""
    if not kind:
        return contextlib.nullcontext()
    return paddle.amp.auto_cast(level="O1", dtype=KINDS[kind])


class LossScale:
    """The scale of the loss, which is in ``state``; 1 always unless ``kind`` is "fp16"."""

    def __init__(self, kind: str) -> None:
        self._used = kind == "fp16"

    def factor(self, state: State) -> float:
        """By what the loss is multiplied."""
        if not self._used:
            return 1.0
        state.loss_scale = state.loss_scale or FIRST_SCALE
        return state.loss_scale

    def unscale(self, parameters: Iterable[Any], state: State) -> bool:
        """Divides the gradients by the scale and chooses the next one; False when they overflowed: no step then."""
        if not self._used:
            return True
        gradients = [p.grad for p in parameters if p.grad is not None]
        sums = paddle.stack([gradient.abs().sum() for gradient in gradients]) if gradients else paddle.zeros([1])
        if not bool(paddle.isfinite(sums).all()):
            state.loss_scale, state.finite_steps = max(1.0, state.loss_scale / 2), 0
            return False
        with paddle.no_grad():
            for gradient in gradients:
                gradient.scale_(1.0 / state.loss_scale)
        state.finite_steps += 1
        if state.finite_steps >= GROWS_AFTER:
            state.loss_scale, state.finite_steps = state.loss_scale * 2, 0
        return True
