"""The learning rate, a pure function of the step: a resumed training needs nothing but the step's number."""

from __future__ import annotations

import math
from dataclasses import dataclass

SCHEDULES = ("step", "cosine")


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up to ``lr``, then a factor of ``decay_factor`` at each of ``decay_steps``, or half a cosine.

    During the first ``warmup_steps`` steps a factor rises from ``warmup_start`` to 1 (Goyal et al., 2017). With
    ``cosine_steps`` the rate falls along a cosine to 0 at that step (Loshchilov and Hutter, 2017), and no step counts.
    """

    lr: float
    warmup_steps: int
    decay_steps: tuple[int, ...]
    warmup_start: float = 0.001
    decay_factor: float = 0.1
    cosine_steps: int = 0

    def __call__(self, step: int) -> float:
        """The learning rate of step ``step``, counted from 0."""
        share = min(1.0, step / self.warmup_steps) if self.warmup_steps else 1.0
        warm = self.lr * (self.warmup_start + (1.0 - self.warmup_start) * share)
        if self.cosine_steps:
            return warm * 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / self.cosine_steps)))
        return warm * self.decay_factor ** sum(step >= at for at in self.decay_steps)
