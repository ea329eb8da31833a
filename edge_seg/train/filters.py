"""Filter pruning: convolutions lose the channels that matter least, where the model bears it best.

Which channels of a layer matter least is told by their weights: the smallest (L1; Li et al., 2017), or those nearest to
all the others, which can best make up for them (FPGM; He et al., 2019). How many each layer can lose is told by images:
each layer alone loses a quarter, half, three quarters, and what that adds to the losses is its sensitivity. The same
added loss is then allowed to every layer, as much as brings the cost down to the goal.

paddleslim 2.6.0 was tried with paddlepaddle 2.6.2. It prunes the backbone's blocks alike, but finds what to prune by
tracing a model from an image to its outputs: it doesn't know the operator that makes proposals, and never sees the mask
head. A pruned model would have to be traced again wherever it is loaded; here its widths are in the run.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.data.coco import CocoDataset
from edge_seg.data.loader import LoaderSettings, make_batch
from edge_seg.errors import RunError, UsageError
from edge_seg.files import atomic_dir, write_text
from edge_seg.models.build import default_proposals
from edge_seg.models.channels import Channels, convolution, find_channels, keep, layers_of, width
from edge_seg.models.cost import measure, measure_layers
from edge_seg.paddle_env import nn, paddle
from edge_seg.train.run import COMMAND, CONFIG, GOLDEN, WEIGHTS, Run, load_run, write_config
from edge_seg.train.weights import write_arrays

METHODS = ("fpgm", "l1")
SHARES = (0.25, 0.5, 0.75)
"""Of a layer's channels, taken out to see what that does."""
OBJECTS = 10
"""Objects of an image, as far as its cost goes: the mask head runs for each."""
_MOST = 0.9
"""Of a layer's channels that may go."""
_SLOPE = 1e-3
"""What all of a layer's channels add to the losses at least: layers without a measurable effect go evenly."""

Curve = tuple[float, ...]
"""What the losses rise by at each of :data:`SHARES`."""


@dataclasses.dataclass(frozen=True)
class Pruned:
    """What became of a run: multiply-accumulates of an image before and after, and of each layer its widths."""

    mac_before: int
    mac_after: int
    widths: dict[str, tuple[int, int]]
    losses_before: float
    losses_after: float


def prune_filters(
    run: Run,
    train: CocoDataset,
    out: Path,
    *,
    flops: float,
    method: str = "fpgm",
    images: int = 16,
    seed: int = 0,
    command: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Pruned:
    """Writes to ``out`` the run with at most ``flops`` (a share below 1) of its multiply-accumulates.

    ``seed`` chooses the ``images`` of ``train`` on which sensitivities are measured. The new run holds no training to
    resume and no metrics: fine-tune it. Raises :class:`UsageError` when the goal can't be reached.
    """
    model = run.build_model()
    if run.input_ranges():
        raise UsageError(
            f"{run.path}: its ranges for int8 were trained (--qat) and would not fit",
            remedy="prune first, then fine-tune with --qat",
        )
    if not train.images:
        raise RunError(f"{train.coco_json}: no images to look at", code="data")
    layers, channels = layers_of(model), find_channels(model)
    channels = {name: found for name, found in channels.items() if width(layers[name]) > 1}
    ranks = {name: rank(convolution(layers[name]), method) for name in channels}
    losses = _losses(model, run, train, images, seed)
    before = losses()
    curves = _sensitivities(layers, channels, ranks, losses, before, progress)
    cost_before = _cost(model, run)
    goal = int(flops * cost_before)
    full = {name: width(layers[name]) for name in channels}
    cost_of = _cost_by_widths(model, run, channels)
    widths = choose(full, curves, lambda kept: cost_of(kept) <= goal)
    if widths is None:
        least = cost_of({name: _fewest(count) for name, count in full.items()})
        raise UsageError(
            f"--flops {flops:g}: all that can be taken out of {run.config.model} leaves {least / cost_before:.2f}",
            remedy=f"give at least {np.ceil(100 * least / cost_before) / 100:g}, or a smaller --size when you train",
        )
    for name, count in widths.items():
        keep(layers, channels[name], np.sort(ranks[name][len(ranks[name]) - count :]).tolist())
    config = dataclasses.replace(
        run.config, widths={**run.config.widths, **{n: c for n, c in widths.items() if c < full[n]}}, metrics={}
    )
    with atomic_dir(out, mark=CONFIG) as partial:
        write_config(partial, config)
        write_arrays(partial / WEIGHTS, model.state_dict())
        write_text(partial / COMMAND, command + "\n")
        if run.golden.is_file():
            shutil.copyfile(run.golden, partial / GOLDEN)
    load_run(out)
    after = _losses(model, run, train, images, seed)()
    return Pruned(cost_before, _cost(model, run), {n: (full[n], c) for n, c in widths.items()}, before, after)


def rank(conv: Any, method: str) -> NDArray[np.intp]:
    """The channels that a convolution gives, the one that matters least first."""
    weight = np.asarray(conv.weight, np.float64)
    filters = np.moveaxis(weight, 1 if isinstance(conv, nn.Conv2DTranspose) else 0, 0).reshape(width(conv), -1)
    if method == "l1":
        scores = np.abs(filters).sum(axis=1)
    else:
        squares = np.square(filters).sum(axis=1)
        distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * filters @ filters.T, 0))
        scores = distances.sum(axis=1)
    return np.argsort(scores, kind="stable")


def choose(
    full: Mapping[str, int], curves: Mapping[str, Curve], fits: Callable[[dict[str, int]], bool]
) -> dict[str, int] | None:
    """Each layer's channels with which ``fits`` holds and that add the least loss; None when it never holds.

    All layers may add the same to the losses, as much as it takes (found by halving).
    """

    def widths(allowed: float) -> dict[str, int]:
        return {
            name: max(_fewest(count), count - int(count * _share(curves[name], allowed)))
            for name, count in full.items()
        }

    low, high = 0.0, max((max(curve) for curve in curves.values()), default=0.0) + 1.0
    if not fits({name: _fewest(count) for name, count in full.items()}):
        return None
    if not fits(widths(high)):
        return {name: _fewest(count) for name, count in full.items()}
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(widths(middle)) else (middle, high)
    return widths(high)


def _fewest(count: int) -> int:
    return max(1, round(count * (1 - _MOST)))


def _share(curve: Curve, allowed: float) -> float:
    """Of a layer's channels, how many can go before the losses rise by ``allowed``: between measured shares, a line."""
    points = [(0.0, 0.0)]
    for share, rise in zip(SHARES, curve, strict=True):
        points.append((share, max(rise + _SLOPE * share, points[-1][1] + _SLOPE * (share - points[-1][0]))))
    share = 0.0
    for (before, low), (after, high) in itertools.pairwise(points):
        if allowed >= high:
            share = after
        else:
            return share + (after - before) * (allowed - low) / (high - low)
    return _MOST if allowed > points[-1][1] else share


def _sensitivities(
    layers: Mapping[str, Any],
    channels: Mapping[str, Channels],
    ranks: Mapping[str, NDArray[np.intp]],
    losses: Callable[[], float],
    before: float,
    progress: Callable[[int, int], None],
) -> dict[str, Curve]:
    """By each layer's name: what the losses rise by when it alone loses the channels that matter least."""
    curves = {}
    for done, (name, found) in enumerate(channels.items()):
        progress(done, len(channels))
        takers = [convolution(layers[taker]) for taker in found.takers]
        kept = [np.array(taker.weight) for taker in takers]
        curve = []
        for share in SHARES:
            gone = ranks[name][: int(len(ranks[name]) * share)]
            for taker, weight in zip(takers, kept, strict=True):
                # A channel that nobody listens to is as good as gone.
                silent = weight.copy()
                np.moveaxis(silent, 0 if isinstance(taker, nn.Conv2DTranspose) else 1, 0)[gone] = 0
                taker.weight.set_value(silent)
            curve.append(losses() - before)
        for taker, weight in zip(takers, kept, strict=True):
            taker.weight.set_value(weight)
        curves[name] = tuple(curve)
    progress(len(channels), len(channels))
    return curves


def _losses(model: Any, run: Run, train: CocoDataset, images: int, seed: int) -> Callable[[], float]:
    """A function that gives the sum of the losses on ``images`` images, always the same."""
    settings = LoaderSettings(run.config.preprocess, flip=0.0)
    batches = [make_batch(train, settings, seed, number) for number in range(min(images, len(train)))]

    def losses() -> float:
        model.eval()  # stored statistics: one image's own say little
        with paddle.no_grad():
            return float(
                np.mean(
                    [
                        sum(float(v) for v in model.loss(batch, [np.random.default_rng([seed, number])]).values())
                        for number, batch in enumerate(batches)
                    ]
                )
            )

    return losses


def _cost(model: Any, run: Run) -> int:
    size = run.config.size
    return measure(model, size).total_mac(default_proposals(size), OBJECTS)


def _cost_by_widths(model: Any, run: Run, channels: Mapping[str, Channels]) -> Callable[[Mapping[str, int]], float]:
    """A function that gives the model's cost with other widths: a layer's is a product of its inputs and outputs."""
    size, layers = run.config.size, layers_of(model)
    mac = measure_layers(model, size, default_proposals(size), OBJECTS)
    factors: dict[str, list[str]] = {name: [] for name in mac}
    for name, found in channels.items():
        for layer in (name, *found.takers):
            factors[layer if layer in mac else f"{layer}.conv"].append(name)
    full = {name: width(layers[name]) for name in channels}

    def cost(widths: Mapping[str, int]) -> float:
        shares = {name: widths[name] / full[name] for name in channels}
        return sum(value * math.prod(shares[name] for name in factors[layer]) for layer, value in mac.items())

    return cost
