"""The learning rate, a pure function of the step: a resumed training needs nothing but the step's number."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up to ``lr``, then a factor of ``decay_factor`` at each of ``decay_steps``.

    During the first ``warmup_steps`` steps a factor rises from ``warmup_start`` to 1 (Goyal et al., 2017).
    """

    lr: float
    warmup_steps: int
    decay_steps: tuple[int, ...]
    warmup_start: float = 0.001
    decay_factor: float = 0.1

    def __call__(self, step: int) -> float:
        """The learning rate of step ``step``, counted from 0."""
        decays = sum(step >= at for at in self.decay_steps)
        share = min(1.0, step / self.warmup_steps) if self.warmup_steps else 1.0
        return self.lr * self.decay_factor**decays * (self.warmup_start + (1.0 - self.warmup_start) * share)
