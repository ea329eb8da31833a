"""Quantization-aware training: layers that compute with the values that int8 will leave them.

Only the forward pass is rounded; the gradient passes rounding as if it weren't there, and stops where a value was cut
off (Jacob et al., 2018). What is rounded, and how, is what the int8 recipes of conversion do.
"""

from __future__ import annotations

from typing import Any

from edge_seg.paddle_env import nn, paddle

F = nn.functional
RANGE = "input_range"
"""Name of a convolution's buffer float32[1]: the magnitude that 127 stands for in what enters it."""

_LEVELS = 127.0
# What a range loses a step when nothing as large comes: one stray value is forgotten after some hundred.
_DECAY = 0.99


class FakeQuantConv2D(nn.Conv2D):
    """A convolution whose input and weights (per output channel) are rounded to int8."""

    def forward(self, x: Any) -> Any:
        reach = self._buffers[RANGE]
        if self.training:
            with paddle.no_grad():
                reach.set_value(paddle.maximum(x.detach().abs().max().reshape([1]), reach * _DECAY))
        reach = paddle.clip(reach, min=1e-6)
        return F.conv2d(
            _rounded(_cut(x, reach), reach),
            # Not cut: none is larger than its range, and the largest would get no gradient.
            _rounded(self.weight, _largest(self.weight, [1, 2, 3])),
            bias=self.bias,
            stride=self._stride,
            padding=self._updated_padding,
            dilation=self._dilation,
            groups=self._groups,
        )


class FakeQuantLinear(nn.Linear):
    """A fully connected layer whose weights (per output) are rounded to int8; it computes in float."""

    def forward(self, x: Any) -> Any:
        return F.linear(x, _rounded(self.weight, _largest(self.weight, [0])), self.bias)


def enable(model: Any) -> None:
    """Turns the model's convolutions and fully connected layers into those above; their parameters stay as they are."""
    for layer in model.sublayers():
        if type(layer) is nn.Conv2D:
            layer.__class__ = FakeQuantConv2D
            layer.register_buffer(RANGE, paddle.zeros([1]))
        elif type(layer) is nn.Linear:
            layer.__class__ = FakeQuantLinear


def _largest(weight: Any, others: list[int]) -> Any:
    return paddle.clip(weight.detach().abs().max(axis=others, keepdim=True), min=1e-12)


def _rounded(x: Any, reach: Any) -> Any:
    step = reach / _LEVELS
    return x + (paddle.round(x / step) * step - x).detach()


def _cut(x: Any, reach: Any) -> Any:
    return paddle.minimum(paddle.maximum(x, -reach), reach)
