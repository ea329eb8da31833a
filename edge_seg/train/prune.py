"""A narrower box head: the hidden units that matter least are cut out, and the layers behind learn to do without.

R: proposals looked at, w: width. On proposals of the training images, the unit goes that the others can best make up
for, then the next; the weights behind are solved anew, so that the layer's sums are as near as they can be to what they
were (least squares; the idea is Hassibi and Stork's "optimal brain surgeon", 1993, and He et al.'s "Channel pruning",
2017). No gradient is needed, and the same run and images give the same weights.
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

IMAGES = 40
"""Training images whose proposals are looked at, unless told otherwise."""

_FC6, _FC7, _SCORE, _DELTA = ("bbox_head." + name for name in ("head.fc6", "head.fc7", "bbox_score", "bbox_delta"))
_RIDGE = 1e-3
"""Of the mean square: keeps the solution near zero where the images say nothing."""

_OBJECT = 20.0
"""By how much a proposal that is surely an object outweighs one that is surely none."""

Array = NDArray[np.float32]
State = dict[str, NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Activations:
    """Of R proposals, before the ReLU: what fc6 and fc7 give, float32[R, w] each."""

    fc6: Array
    fc7: Array


def prune_box_head(
    run: Run, width: int, train: CocoDataset, out: Path, *, seed: int, command: str, images: int = IMAGES
) -> Run:
    """Writes to ``out`` the run with its box head ``width`` wide; ``seed`` chooses the ``images`` of ``train``.

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
        raise RunError(f"{train.coco_json}: no images to look at", code="data")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(train.images))[:images])
    seen = observe(model, run, [train.images[index] for index in chosen])
    state = {name: np.asarray(value) for name, value in model.state_dict().items()}
    narrowed = narrow(state, seen, width)
    config = dataclasses.replace(run.config, box_width=width, metrics={}, schema=SCHEMA)
    with atomic_dir(out, mark=CONFIG) as partial:
        write_config(partial, config)
        write_arrays(partial / WEIGHTS, narrowed)
        write_text(partial / COMMAND, command + "\n")
        if run.golden.is_file():
            shutil.copyfile(run.golden, partial / GOLDEN)
    return load_run(out)


def observe(model: Any, run: Run, records: list[ImageRecord]) -> Activations:
    """What the box head's layers give for the proposals of the images, at the run's own input size."""
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
    outputs = (_SCORE, _DELTA)
    hidden = np.maximum(seen.fc7, 0)
    wanted = {name: hidden @ state[f"{name}.weight"] + state[f"{name}.bias"] for name in outputs}
    weights = 1 + _OBJECT * _objectness(wanted[_SCORE])

    hidden = np.maximum(seen.fc6, 0)
    kept = _least_missed(hidden, seen.fc7, weights, width)
    _cut(state, _FC6, kept)
    state[f"{_FC7}.weight"], state[f"{_FC7}.bias"] = _solve(hidden[:, kept], seen.fc7, weights)

    hidden = np.maximum(hidden[:, kept] @ state[f"{_FC7}.weight"] + state[f"{_FC7}.bias"], 0)
    # Scores and deltas have other units: each counts by its own spread.
    scaled = [wanted[name] / (wanted[name].std() + 1e-12) for name in outputs]
    kept = _least_missed(hidden, np.concatenate(scaled, axis=1), weights, width)
    _cut(state, _FC7, kept)
    for name in outputs:
        state[f"{name}.weight"], state[f"{name}.bias"] = _solve(hidden[:, kept], wanted[name], weights)
    return state


def _objectness(logits: Array) -> NDArray[np.float64]:
    """How likely each proposal is an object, 0 to 1, from class logits [R, C + 1], background last."""
    powers = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(np.float64))
    return np.asarray(1 - powers[:, -1] / powers.sum(axis=1))


def _cut(state: State, layer: str, kept: NDArray[np.intp]) -> None:
    for part in ("weight", "bias"):
        state[f"{layer}.{part}"] = np.ascontiguousarray(state[f"{layer}.{part}"][..., kept])


def _least_missed(inputs: Array, wanted: Array, weights: NDArray[np.float64], width: int) -> NDArray[np.intp]:
    """The ``width`` of the inputs' columns that remain when the one that is missed least goes, again and again.

    Missed: by the weighted squares of ``wanted`` that the rest can't make up for when it is solved anew (the optimal
    brain surgeon's rule; the inverse follows each removal by a change of rank 1).
    """
    gram, behind, _, _ = _normal_equations(inputs, wanted, weights)
    inverse = np.linalg.inv(gram)
    solved = inverse @ behind
    alive = np.ones(len(gram), bool)
    for _ in range(len(gram) - width):
        missed = np.where(alive, np.square(solved).sum(axis=1) / np.where(alive, inverse.diagonal(), 1.0), np.inf)
        gone = int(np.argmin(missed))
        alive[gone] = False
        column = inverse[:, gone] / inverse[gone, gone]
        solved -= np.outer(column, solved[gone])
        inverse -= np.outer(column, inverse[gone])
    return np.flatnonzero(alive)


def _solve(inputs: Array, wanted: Array, weights: NDArray[np.float64]) -> tuple[Array, Array]:
    """Weights [w, v] and bias [v] with which ``inputs`` [R, w] come nearest to ``wanted`` [R, v]."""
    gram, behind, mean_x, mean_y = _normal_equations(inputs, wanted, weights)
    solved = np.linalg.solve(gram, behind)
    return solved.astype(np.float32), (mean_y - mean_x @ solved).astype(np.float32)


def _normal_equations(
    inputs: Array, wanted: Array, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of weighted least squares with a bias: the matrix, the right side, and the means of inputs and wanted."""
    share = weights / weights.sum()
    x, y = inputs.astype(np.float64), wanted.astype(np.float64)
    mean_x, mean_y = share @ x, share @ y
    x, y = x - mean_x, y - mean_y
    weighted = (x * share[:, None]).T
    gram = weighted @ x
    gram[np.diag_indices_from(gram)] += _RIDGE * (np.trace(gram) / len(gram) + 1e-12)
    return gram, weighted @ y, mean_x, mean_y
