"""The training loop.

A training is a function of its configuration and its data: step n draws all its random numbers from (seed, n), and
everything else that n depends on is in the checkpoint. So a training that is killed at any moment and resumed writes
the same ``metrics.jsonl``, byte for byte, as one that runs through (on one machine, on the CPU).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edge_seg.data.coco import CocoDataset
from edge_seg.data.loader import LoaderSettings, batches, steps_per_epoch
from edge_seg.errors import EdgeSegError
from edge_seg.files import named
from edge_seg.paddle_env import paddle
from edge_seg.runtime.segmenter import Segmenter
from edge_seg.train import checkpoint, folder
from edge_seg.train.checkpoint import State
from edge_seg.train.display import Clock, Display, duration
from edge_seg.train.engine import DynamicEngine
from edge_seg.train.evaluate import evaluate
from edge_seg.train.initial import Source, load
from edge_seg.train.optimizer import Optimizer
from edge_seg.train.run import METRICS, WEIGHTS, RunConfig, write_config
from edge_seg.train.schedule import Schedule
from edge_seg.train.weights import build, write_arrays


class Trainer:
    """Trains the run in ``path``: :meth:`start` in a new folder or :meth:`resume`, then :meth:`run`."""

    def __init__(
        self,
        path: Path,
        config: RunConfig,
        train: CocoDataset,
        val: CocoDataset,
        display: Display,
        *,
        workers: int = 1,
    ) -> None:
        """``workers`` threads prepare batches; on the CPU one keeps up and leaves the cores to the model."""
        settings = config.settings
        self.path, self.config, self.state = path, config, State()
        self._settings, self._train, self._val, self._display = settings, train, val, display
        self._loader = LoaderSettings(
            config.preprocess,
            batch_size=settings.batch,
            scale_range=settings.scale_range,
            short_sides=settings.short_sides,
            long_side=settings.long_side,
            workers=workers,
            ahead=workers + 2,
        )
        self._epoch_steps = steps_per_epoch(train, self._loader)
        self.total_steps = settings.epochs * self._epoch_steps
        if settings.max_steps:
            self.total_steps = min(self.total_steps, settings.max_steps)
        decay_steps = tuple(round(epoch * self._epoch_steps) for epoch in settings.decay_epochs)
        self._schedule = Schedule(settings.lr, settings.warmup_steps, decay_steps)
        paddle.seed(settings.seed)
        self.model = build(config.model, len(config.classes), settings.frozen_norm)
        self.model.freeze(settings.freeze_at)
        if settings.qat:
            from edge_seg.models import fake_quant

            fake_quant.enable(self.model)
        self.optimizer = Optimizer(self.model, settings)

    def start(self, source: Source | None = None, *, partial: bool = False) -> None:
        """Makes the run folder, with a first checkpoint of the source's weights or untrained ones.

        Raises :class:`DataError` when the weights are another model's; with ``partial`` what fits is taken.
        """
        if source is not None:
            for line in load(self.model, source, self.config.classes, partial=partial).lines(source.file):
                self._display.say(line)
        with folder.begin(self.path, self.config, self._val) as begun:
            checkpoint.save(begun, self.state, self.model, self.optimizer)

    def resume(self) -> None:
        """Goes back to the last checkpoint; what was written to ``metrics.jsonl`` after it is cut off.

        Raises :class:`EdgeSegError` when the run was begun with other settings, or the checkpoint is damaged.
        """
        self.config = folder.reopen(self.path, self.config)
        self.state = checkpoint.load_state(self.path)
        checkpoint.load_arrays(self.path, self.state.step, self.model, self.optimizer)
        metrics = self.path / METRICS
        if metrics.is_file() and metrics.stat().st_size > self.state.metrics_bytes:
            os.truncate(metrics, self.state.metrics_bytes)
        self._display.say(f"resuming at step {self.state.step} of {self.total_steps}")

    def run(self) -> RunConfig:
        """Trains to the end and returns the configuration with the best weights' metrics.

        Raises :class:`EdgeSegError` when the loss is no longer a number.
        """
        first = max(self.state.step, self.state.evaluated + 1)
        evaluations = sum(self._evaluates_at(step) for step in range(first, self.total_steps + 1))
        clock = Clock(self.total_steps - self.state.step, evaluations)
        self.model.train()
        with contextlib.closing(batches(self._train, self._loader, self._settings.seed, self.state.step)) as source:
            while True:
                if self._evaluates_at(self.state.step) and self.state.evaluated < self.state.step:
                    self._evaluate(clock)
                if self.state.step >= self.total_steps:
                    break
                self._advance(source, clock)
        if not self.state.best:
            self._keep_best({})  # without evaluations the last weights are the best
        return self.config

    def _advance(self, source: Iterator[Any], clock: Clock) -> None:
        """One step, and what is due after it."""
        begin = time.monotonic()
        losses = self._step(next(source), self.state.step)
        state, settings = self.state, self._settings
        state.step += 1
        for name, value in losses.items():
            state.window[name] = state.window.get(name, 0.0) + value
        state.window_steps += 1
        lr = self._schedule(state.step - 1)
        if state.step % settings.log_every == 0 or state.step == self.total_steps:
            means = {name: value / state.window_steps for name, value in state.window.items()}
            self._write_metrics("train", {"lr": lr, **means})
            state.window, state.window_steps = {}, 0
        clock.step(time.monotonic() - begin)
        state.seconds += time.monotonic() - begin
        epoch_ends = state.step % self._epoch_steps == 0
        if epoch_ends or state.step % settings.checkpoint_every == 0 or state.step == self.total_steps:
            checkpoint.save(self.path, state, self.model, self.optimizer)
        self._display.status(self._line(losses, lr, clock))

    def _step(self, batch: Any, step: int) -> dict[str, float]:
        rng = np.random.Generator(np.random.Philox(key=[self._settings.seed, step]))
        losses = self.model.loss(batch, rng)
        total = sum(losses[name] for name in sorted(losses))
        values = {"loss": float(total), **{name: float(value) for name, value in losses.items()}}
        if not math.isfinite(values["loss"]):
            raise self._not_finite(values, step)
        total.backward()
        self.optimizer.step(self._schedule(step))
        return values

    def _not_finite(self, values: dict[str, float], step: int) -> EdgeSegError:
        names = ", ".join(f"{name} {value}" for name, value in values.items() if not math.isfinite(value))
        settings = self._settings
        clip = f"a smaller --clip-norm (now {settings.clip_norm:g})" if settings.clip_norm else "--clip-norm 10"
        return EdgeSegError(
            f"the loss is no longer a number at step {step + 1} of {self.total_steps}: {names}",
            remedy=f"begin another run with a lower --lr (now {settings.lr:g}), more --warmup-steps (now "
            f"{settings.warmup_steps}) or {clip}",
            code="loss-not-finite",
        )

    def _evaluates_at(self, step: int) -> bool:
        every = self._settings.eval_every * self._epoch_steps
        return bool(every) and step > 0 and (step % every == 0 or step == self.total_steps)

    def _evaluate(self, clock: Clock) -> None:
        begin = time.monotonic()
        config, state = self.config, self.state
        segmenter = Segmenter.over(
            DynamicEngine(self.model, config.size), config.preprocess, config.postprocess, classes=config.classes
        )
        found = evaluate(
            segmenter,
            self._val,
            progress=lambda done, total: self._display.status(f"evaluating: {done} of {total} pictures"),
        )
        self.model.train()
        metrics = {"box_map": found.box_map, "mask_map": found.mask_map}
        self._write_metrics("eval", {**metrics, "box_ap50": found.box_ap50, "mask_ap50": found.mask_ap50})
        best = not state.best or (found.mask_map or 0.0) >= (state.best["mask_map"] or 0.0)
        state.evaluated = state.step
        if best:
            state.best = metrics
            self._keep_best(metrics)
        seconds = time.monotonic() - begin
        clock.evaluation(seconds)
        state.seconds += seconds
        checkpoint.save_state(self.path, state)
        shown = ", ".join(f"{kind} mAP {_percent(metrics[f'{kind}_map'])}" for kind in ("box", "mask"))
        self._display.say(
            f"step {state.step}/{self.total_steps} epoch {self._epoch:.4g}: {shown}{' (best)' if best else ''}"
            f", {duration(state.seconds)} so far, {clock.left} left"
        )

    def _keep_best(self, metrics: dict[str, float | None]) -> None:
        write_arrays(self.path / WEIGHTS, self.model.state_dict())
        self.config = dataclasses.replace(self.config, metrics=metrics)
        write_config(self.path, self.config)

    def _write_metrics(self, kind: str, values: dict[str, float | None]) -> None:
        line = json.dumps({"kind": kind, "step": self.state.step, "epoch": round(self._epoch, 6), **values})
        path = self.path / METRICS
        with named(path), path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
            self.state.metrics_bytes = file.tell()

    @property
    def _epoch(self) -> float:
        return self.state.step / self._epoch_steps

    def _line(self, losses: dict[str, float], lr: float, clock: Clock) -> str:
        parts = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
        rate = self._settings.batch / clock.step_seconds
        return (
            f"step {self.state.step}/{self.total_steps} epoch {self._epoch:.1f}/{self._settings.epochs} "
            f"{parts} lr {lr:.2g} {rate:.1f} images/s, {clock.left} left"
        )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
