"""A narrower box head: the hidden units that matter least are cut out, and the layers behind learn to do without.

R: proposals looked at, w: width. What a unit is worth is what it sends on: its mean square times the squared weights
behind it. After the cut, the weights behind are solved anew, so that on proposals of the training pictures the layer's
sums are as near as they can be to what they were (least squares, as He et al., "Channel pruning", 2017, do it for
convolutions). No gradient is needed, and the same run and pictures give the same weights.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.data.coco import CocoDataset, ImageRecord
from edge_seg.errors import RunError, UsageError
from edge_seg.files import atomic_dir, write_text
from edge_seg.models.build import default_proposals
from edge_seg.paddle_env import paddle
from edge_seg.runtime.image import read_image
from edge_seg.runtime.preprocess import preprocess
from edge_seg.train.run import COMMAND, CONFIG, GOLDEN, SCHEMA, WEIGHTS, Run, load_run, write_config
from edge_seg.train.weights import write_arrays

PICTURES = 40
"""Training pictures whose proposals are looked at, unless told otherwise."""

_FC6, _FC7, _SCORE, _DELTA = ("bbox_head." + name for name in ("head.fc6", "head.fc7", "bbox_score", "bbox_delta"))
_RIDGE = 1e-3
"""Of the mean square: keeps the solution near zero where the pictures say nothing."""

Array = NDArray[np.float32]
State = dict[str, NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Activations:
    """Of R proposals, before the ReLU: what fc6 and fc7 give, float32[R, w] each."""

    fc6: Array
    fc7: Array


def prune_box_head(
    run: Run, width: int, train: CocoDataset, out: Path, *, seed: int, command: str, pictures: int = PICTURES
) -> Run:
    """Writes to ``out`` the run with its box head ``width`` wide; ``seed`` chooses the ``pictures`` of ``train``.

    ``command`` is the line that goes into the run's ``command.txt``.

    The new run holds no training to resume, and no metrics: they are of other weights. Raises :class:`UsageError` when
    it has no more than ``width`` units already, or ``out`` holds something other than a run.
    """
    model = run.build_model()
    present = model.settings.box_width
    if not 1 <= width < present:
        raise UsageError(
            f"box head width {width}: {run.path} has {present}",
            remedy=f"give a width from 1 to {present - 1}",
        )
    if not train.images:
        raise RunError(f"{train.coco_json}: no pictures to look at", code="data")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(train.images))[:pictures])
    seen = observe(model, run, [train.images[index] for index in chosen])
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    narrowed = narrow(state, seen, width)
    config = dataclasses.replace(run.config, box_width=width, metrics={}, schema=SCHEMA)
    with atomic_dir(out, mark=CONFIG) as partial:
        write_config(partial, config)
        write_arrays(partial / WEIGHTS, {name: paddle.to_tensor(value) for name, value in narrowed.items()})
        write_text(partial / COMMAND, command + "\n")
        if run.golden.is_file():
            shutil.copyfile(run.golden, partial / GOLDEN)
    return load_run(out)


def observe(model: Any, run: Run, records: list[ImageRecord]) -> Activations:
    """What the box head's layers give for the proposals of the pictures, at the run's own input size."""
    size = run.config.size
    model.eval()
    model.set_input(size, default_proposals(size))
    found: dict[str, list[Array]] = {_FC6: [], _FC7: []}
    layers = {_FC6: model.bbox_head.head.fc6, _FC7: model.bbox_head.head.fc7}
    hooks = [
        layer.register_forward_post_hook(lambda _layer, _inputs, output, name=name: found[name].append(output.numpy()))
        for name, layer in layers.items()
    ]
    try:
        with paddle.no_grad():
            for record in records:
                blob, _ = preprocess(read_image(record.path), run.config.preprocess)
                model.detect(paddle.to_tensor(blob))
    finally:
        for hook in hooks:
            hook.remove()
    return Activations(np.concatenate(found[_FC6]), np.concatenate(found[_FC7]))


def narrow(state: Mapping[str, NDArray[Any]], seen: Activations, width: int) -> State:
    """The weights with ``width`` units left in fc6 and in fc7, and what follows each of them solved anew."""
    state = dict(state)
    hidden = np.maximum(seen.fc6, 0)
    kept = _worthiest(hidden, state[f"{_FC7}.weight"], width)
    for part in ("weight", "bias"):
        state[f"{_FC6}.{part}"] = np.ascontiguousarray(state[f"{_FC6}.{part}"][..., kept])
    state[f"{_FC7}.weight"], state[f"{_FC7}.bias"] = _solve(hidden[:, kept], seen.fc7)

    outputs = (_SCORE, _DELTA)
    before = np.maximum(seen.fc7, 0)
    wanted = {name: before @ state[f"{name}.weight"] + state[f"{name}.bias"] for name in outputs}
    hidden = np.maximum(hidden[:, kept] @ state[f"{_FC7}.weight"] + state[f"{_FC7}.bias"], 0)
    # Scores and deltas have other units: each counts by its own spread.
    behind = [state[f"{name}.weight"] / (wanted[name].std() + 1e-12) for name in outputs]
    kept = _worthiest(hidden, np.concatenate(behind, axis=1), width)
    for part in ("weight", "bias"):
        state[f"{_FC7}.{part}"] = np.ascontiguousarray(state[f"{_FC7}.{part}"][..., kept])
    for name in outputs:
        state[f"{name}.weight"], state[f"{name}.bias"] = _solve(hidden[:, kept], wanted[name])
    return state


def _worthiest(hidden: Array, behind: Array, width: int) -> NDArray[np.intp]:
    """The ``width`` units of ``hidden`` [R, w] that send most into the weights ``behind`` [w, …], in rising order."""
    worth = np.square(hidden, dtype=np.float64).mean(axis=0) * np.square(behind, dtype=np.float64).sum(axis=1)
    return np.sort(np.argsort(-worth, kind="stable")[:width])


def _solve(inputs: Array, wanted: Array) -> tuple[Array, Array]:
    """Weights [w, v] and bias [v] with which ``inputs`` [R, w] come nearest to ``wanted`` [R, v]."""
    x, y = inputs.astype(np.float64), wanted.astype(np.float64)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    x -= mean_x
    gram = x.T @ x / len(x)
    gram[np.diag_indices_from(gram)] += _RIDGE * (np.trace(gram) / len(gram) + 1e-12)
    weights = np.linalg.solve(gram, x.T @ (y - mean_y) / len(x))
    return weights.astype(np.float32), (mean_y - mean_x @ weights).astype(np.float32)
