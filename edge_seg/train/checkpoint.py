"""The checkpoint that a killed training resumes from: ``last/`` in the run folder.

``state.json`` is the last file to be written and names the two others, so whenever the process dies there is one whole
checkpoint: the new one or the one before.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge_seg.errors import DataError, RunError
from edge_seg.files import read_json, write_json
from edge_seg.plain import from_plain
from edge_seg.train.run import LAST
from edge_seg.train.weights import load_exactly, read_arrays, write_arrays

if TYPE_CHECKING:
    from edge_seg.models.mask_rcnn import MaskRCNN
    from edge_seg.train.ema import Ema
    from edge_seg.train.optimizer import Optimizer

STATE = "state.json"
_REMEDY = "start anew in another folder, with --weights and this run's model.pdparams if it has one"


@dataclass
class State:
    """Where a training stands, besides weights and momentum. All randomness derives from the seed and ``step``.

    ``step`` steps are done. ``evaluated`` is the step of the last evaluation, -1 before. ``best`` are the best weights'
    metrics. ``window`` are the sums of losses since the last logged line, ``metrics_bytes`` the length of
    ``metrics.jsonl``: what a process wrote after the checkpoint is cut off and done again.
    ``seconds`` is time spent, ``stale`` the evaluations since the best. ``loss_scale`` and ``finite_steps`` are fp16's
    (:mod:`edge_seg.train.amp`), 0 without it.
    """

    step: int = 0
    evaluated: int = -1
    best: dict[str, float | None] = field(default_factory=dict)
    window: dict[str, float] = field(default_factory=dict)
    window_steps: int = 0
    metrics_bytes: int = 0
    seconds: float = 0.0
    stale: int = 0
    loss_scale: float = 0.0
    finite_steps: int = 0


def save(run: Path, state: State, model: MaskRCNN, optimizer: Optimizer, ema: Ema | None = None) -> None:
    """Writes a whole checkpoint and then removes the one before."""
    folder = run / LAST
    files = {_weights(folder, state.step): model.state_dict(), _optimizer(folder, state.step): optimizer.state()}
    if ema is not None:
        files[_ema(folder, state.step)] = ema.state()
    for file, arrays in files.items():
        write_arrays(file, arrays)
    save_state(run, state)
    keep = {STATE, *(file.name for file in files)}
    for file in folder.iterdir():
        if file.name not in keep and file.name.startswith("step-"):
            file.unlink()


def save_state(run: Path, state: State) -> None:
    """Replaces the state only; the weights of ``state.step`` are on disk already."""
    write_json(run / LAST / STATE, dataclasses.asdict(state))


def load_state(run: Path) -> State:
    """The state of the last whole checkpoint; :class:`RunError` when the file was damaged."""
    file = run / LAST / STATE
    return from_plain(
        State,
        read_json(file, RunError),
        str(file),
        lambda message: RunError(message, remedy=_REMEDY, code="checkpoint-invalid"),
    )


def load_arrays(run: Path, step: int, model: MaskRCNN, optimizer: Optimizer, ema: Ema | None = None) -> None:
    """Puts the checkpoint's weights, the optimiser's state and the weights' mean where they belong."""
    folder = run / LAST
    load_exactly(model, _weights(folder, step))
    try:
        optimizer.restore(read_arrays(_optimizer(folder, step)))
        if ema is not None:
            ema.restore(read_arrays(_ema(folder, step)))
    except DataError as problem:
        raise RunError(problem.message, remedy=_REMEDY, code="checkpoint-invalid") from None


def _weights(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.pdparams"


def _optimizer(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.pdopt"


def _ema(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.pdema"
