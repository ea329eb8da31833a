"""Batch normalisation whose statistics may be those of several processes' images.

paddle's own SyncBatchNorm computes on GPUs only; this one is made of plain operators and runs wherever they do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_seg.paddle_env import nn, paddle


class BatchNorm(nn.BatchNorm2D):
    """float32[N, C, H, W] -> the same shape. With :attr:`mean_of` set, a training's statistics are of all processes."""

    mean_of: Callable[[Any], Any] | None = None
    """The mean over processes of a tensor that each has, with gradients; all have N, H and W alike."""

    def forward(self, x: Any) -> Any:
        if self.mean_of is None or not self.training or self._use_global_stats:
            return super().forward(x)
        mean = self.mean_of(x.mean([0, 2, 3]))
        centred = x - mean.reshape([1, -1, 1, 1])
        variance = self.mean_of(centred.square().mean([0, 2, 3]))
        with paddle.no_grad():
            for kept, found in ((self._mean, mean), (self._variance, variance)):
                kept.set_value(kept * self._momentum + found.detach() * (1 - self._momentum))
        scale = self.weight / (variance + self._epsilon).sqrt()
        return centred * scale.reshape([1, -1, 1, 1]) + self.bias.reshape([1, -1, 1, 1])
