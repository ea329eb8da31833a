"""Stages: declared steps, each of which takes one immutable artifact and gives the next.

Whether a list of stages fits together is checked before any work is done: a missing or misplaced stage is a mistake in
the program, and must not show after minutes of exporting.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edge_seg.process.guard import phase


@dataclass(frozen=True)
class Stage:
    """One step: ``run`` takes an instance of ``takes`` and returns one of ``gives``; ``why`` says what it is for."""

    name: str
    why: str
    takes: type
    gives: type
    run: Callable[[Any], Any]


def check(stages: Sequence[Stage]) -> None:
    """Raises ValueError when a name occurs twice or a stage doesn't take what the one before it gives."""
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names):
        raise ValueError(f"stages named twice: {names}")
    for before, after in itertools.pairwise(stages):
        if before.gives is not after.takes:
            raise ValueError(
                f"stage {after.name!r} takes {after.takes.__name__}, but {before.name!r} gives {before.gives.__name__}"
            )


def run(stages: Sequence[Stage], artifact: Any, note: Callable[[str, float], None]) -> Any:
    """Hands ``artifact`` through the stages, in order; ``note`` is told each one's name and seconds once it is done."""
    check(stages)
    for stage in stages:
        if not isinstance(artifact, stage.takes):
            raise TypeError(f"stage {stage.name!r} takes {stage.takes.__name__}, not {type(artifact).__name__}")
        phase(f"converting: {stage.name}")
        begun = time.monotonic()
        artifact = stage.run(artifact)
        note(stage.name, time.monotonic() - begun)
    return artifact
