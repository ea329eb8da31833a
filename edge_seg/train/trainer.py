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
from edge_seg.process.guard import held_stops
from edge_seg.runtime.segmenter import Segmenter
from edge_seg.train import amp, checkpoint, folder
from edge_seg.train.checkpoint import State
from edge_seg.train.display import Clock, Display, duration
from edge_seg.train.distributed import Processes
from edge_seg.train.ema import Ema
from edge_seg.train.engine import DynamicEngine
from edge_seg.train.evaluate import evaluate
from edge_seg.train.initial import Source, load
from edge_seg.train.optimizer import Optimizer
from edge_seg.train.run import METRICS, REPORT, SCALARS, WEIGHTS, RunConfig, write_config
from edge_seg.train.scalars import NoScalars, Scalars, open_scalars
from edge_seg.train.schedule import Schedule
from edge_seg.train.weights import build, write_arrays
from edge_seg.words import counted

REPORT_EVERY_S = 60.0
"""A page takes a few seconds: short trainings get one at their end."""

CHECKPOINT_SHARE = 0.05
"""Most of the time that checkpoints at the ends of epochs may take: with a handful of images an epoch is two steps."""


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
        worker_processes: int = 0,
        scalars: str = "none",
        processes: Processes | None = None,
    ) -> None:
        """``workers`` threads, or ``worker_processes``, prepare batches; on the CPU one thread keeps up with the model.

        ``processes`` train together: each has a trainer, and the leader's writes.
        """
        settings = config.settings
        self.path, self.config, self.state = path, config, State()
        self._saved = -1  # the step of this process's last checkpoint
        self._between_steps = True
        self._saved_at, self._save_seconds = -math.inf, 0.0
        self._settings, self._train, self._val, self._display = settings, train, val, display
        self._processes = processes or Processes(0, 1)
        self._loader = LoaderSettings(
            config.preprocess,
            batch_size=settings.whole_batch,
            part=self._processes.rank,
            parts=self._processes.size,
            scale_range=settings.scale_range,
            short_sides=settings.short_sides,
            long_side=settings.long_side,
            flip=settings.flip,
            vertical_flip=settings.vertical_flip,
            color_jitter=settings.color_jitter,
            crop=settings.crop,
            expand=settings.expand,
            mosaic=settings.mosaic,
            group_by_aspect=settings.group_by_aspect,
            repeat_factor=settings.repeat_factor,
            workers=workers,
            processes=worker_processes,
            ahead=(worker_processes or workers) + 2,
        )
        self._results: list[dict[str, Any]] | None = None
        """Of the newest evaluation, as long as no page shows it."""
        self._reported = time.monotonic()
        self._epoch_steps = -(-steps_per_epoch(train, self._loader) // settings.accumulate)
        self.total_steps = settings.epochs * self._epoch_steps
        if settings.max_steps:
            self.total_steps = min(self.total_steps, settings.max_steps)
        decay_steps = tuple(round(epoch * self._epoch_steps) for epoch in settings.decay_epochs)
        cosine_steps = settings.epochs * self._epoch_steps if settings.schedule == "cosine" else 0
        self._schedule = Schedule(settings.lr, settings.warmup_steps, decay_steps, cosine_steps=cosine_steps)
        paddle.seed(settings.seed)
        self.model = build(config.model, len(config.classes), settings.frozen_norm, config.box_width, config.widths)
        self.model.freeze(settings.freeze_at)
        if settings.rois:
            self.model.settings = dataclasses.replace(self.model.settings, box_samples=settings.rois)
        if settings.qat:
            from edge_seg.models import fake_quant

            fake_quant.enable(self.model)
        if self._processes.size > 1:
            self.model.synchronize_norm(self._processes.mean_of)
        self.optimizer = Optimizer(self.model, settings)
        self._loss_scale = amp.LossScale(settings.amp)
        self._scalars: Scalars = open_scalars(scalars, path / SCALARS) if self._processes.leads else NoScalars()
        self._ema = Ema(self.model, settings.ema) if settings.ema and self._processes.leads else None

    def start(self, source: Source | None = None, *, partial: bool = False) -> None:
        """Makes the run folder, with a first checkpoint of the source's weights or untrained ones.

        Raises :class:`DataError` when the weights are another model's; with ``partial`` what fits is taken.
        """
        if source is not None:
            for line in load(self.model, source, self.config.classes, partial=partial).lines(source.file):
                self._display.say(line)
        if self._ema is not None:
            self._ema.reset()
        with folder.begin(self.path, self.config, self._val) as begun:
            checkpoint.save(begun, self.state, self.model, self.optimizer, self._ema)

    def resume(self) -> None:
        """Goes back to the last checkpoint; what was written to ``metrics.jsonl`` after it is cut off.

        Raises :class:`EdgeSegError` when the run was begun with other settings, or the checkpoint is damaged.
        """
        self.config = folder.reopen(self.path, self.config)
        self.state = checkpoint.load_state(self.path)
        checkpoint.load_arrays(self.path, self.state.step, self.model, self.optimizer, self._ema)
        metrics = self.path / METRICS
        if metrics.is_file() and metrics.stat().st_size > self.state.metrics_bytes:
            os.truncate(metrics, self.state.metrics_bytes)
        self._display.say(f"resuming at step {self.state.step} of {self.total_steps}")

    def share(self) -> None:
        """Where the leader starts, in all processes; it alone calls :meth:`start` or :meth:`resume` before."""
        if self._processes.size > 1:
            self._share_state()
            self.model.set_state_dict(self._processes.share_arrays(self.model.state_dict()))
            self.optimizer.restore(self._processes.share_arrays(self.optimizer.state()))

    def _share_state(self) -> None:
        processes = self._processes
        self.state = processes.share(self.state) if processes.leads else processes.receive(State)

    def run(self) -> RunConfig:
        """Trains to the end and returns the configuration with the best weights' metrics.

        Raises :class:`EdgeSegError` when the loss is no longer a number, or another process was lost.
        """
        leads = self._processes.leads
        first = max(self.state.step, self.state.evaluated + 1)
        evaluations = sum(self._evaluates_at(step) for step in range(first, self.total_steps + 1))
        clock = Clock(self.total_steps - self.state.step, evaluations)
        self.model.train()
        first = self.state.step * self._settings.accumulate
        with (
            self._kept_when_stopped(),
            contextlib.closing(batches(self._train, self._loader, self._settings.seed, first)) as source,
        ):
            while True:
                if self._evaluates_at(self.state.step) and self.state.evaluated < self.state.step:
                    if leads:
                        self._evaluate(clock)
                    self._share_state()
                if self.state.step >= self.total_steps or self._stops_early():
                    break
                with held_stops():
                    self._advance(source, clock)
        if leads and not self.state.best:
            with self._averaged():
                self._keep_best({})  # without evaluations the last weights are the best
        self._report(last=True)
        self._scalars.close()
        self._share_state()  # no process leaves while another still needs it
        return self.config

    @contextlib.contextmanager
    def _kept_when_stopped(self) -> Iterator[None]:
        """Writes a checkpoint of the last whole step when the training is asked to stop."""
        begun = self.state.step
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            if self._processes.leads and self._between_steps and self.state.step not in (begun, self._saved):
                with held_stops():  # a terminal's Ctrl-C comes twice
                    self._save()
            raise

    def _advance(self, source: Iterator[Any], clock: Clock) -> None:
        """One step, and what is due after it."""
        self._between_steps = False  # a signal that comes twice isn't held back
        begin = time.monotonic()
        losses = self._step(source, self.state.step)
        state, settings = self.state, self._settings
        state.step += 1
        # A resumed window comes sorted from its file: the order is this step's, so that the metrics are the same bytes.
        state.window = {name: state.window.get(name, 0.0) + value for name, value in losses.items()}
        state.window_steps += 1
        lr = self._schedule(state.step - 1)
        if state.step % settings.log_every == 0 or state.step == self.total_steps:
            means: dict[str, float | None] = {name: value / state.window_steps for name, value in state.window.items()}
            if self._processes.leads:
                self._write_metrics("train", {"lr": lr, **means})
            state.window, state.window_steps = {}, 0
        clock.step(time.monotonic() - begin)
        state.seconds += time.monotonic() - begin
        epoch_ends = state.step % self._epoch_steps == 0
        # An evaluation writes its state to the checkpoint of its step.
        needed = state.step % settings.checkpoint_every == 0 or state.step == self.total_steps
        needed = needed or self._evaluates_at(state.step)
        if self._processes.leads and (needed or (epoch_ends and self._can_afford_to_save())):
            self._save()
        if needed or epoch_ends:
            self._processes.meet()
        self._between_steps = True
        self._show(losses, lr, clock)

    def _can_afford_to_save(self) -> bool:
        return time.monotonic() - self._saved_at >= self._save_seconds / CHECKPOINT_SHARE

    def _save(self) -> None:
        begin = time.monotonic()
        checkpoint.save(self.path, self.state, self.model, self.optimizer, self._ema)
        self._saved, self._saved_at = self.state.step, time.monotonic()
        self._save_seconds = self._saved_at - begin

    def _step(self, source: Iterator[Any], step: int) -> dict[str, float]:
        """One step of the optimiser, from the mean gradient of its batches; returns their mean losses."""
        settings, count = self._settings, self._settings.accumulate
        factor = self._loss_scale.factor(self.state) / count
        values: dict[str, float] = {}
        for number in range(step * count, (step + 1) * count):
            batch, rngs = next(source), self._draws(number)
            with amp.autocast(settings.amp):
                losses = self.model.loss(batch, rngs, self._processes.weights)
            total = sum(losses[name] for name in sorted(losses))
            for name, value in (("loss", total), *losses.items()):
                values[name] = values.get(name, 0.0) + float(value) / count
            (total if factor == 1 else total * factor).backward()
        values = dict(zip(values, self._processes.mean(values.values()), strict=True))
        if not math.isfinite(values["loss"]):
            raise self._not_finite(values, step)
        self._processes.average_gradients(self.optimizer.parameters)
        if self._loss_scale.unscale(self.optimizer.parameters, self.state):
            self.optimizer.step(self._schedule(step))
        else:
            self.optimizer.skip()
        if self._ema is not None:
            self._ema.update(step)
        return values

    def _draws(self, number: int) -> list[np.random.Generator]:
        """What draws anchors and proposals for each of this process's images of batch ``number``.

        Each image has its own, so that it doesn't matter how the batch is shared out.
        """
        settings = self._settings
        first = number * settings.whole_batch + self._processes.rank * settings.batch
        return [np.random.Generator(np.random.Philox(key=[settings.seed, first + i])) for i in range(settings.batch)]

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        """While it is open the model has the weights that are evaluated and kept: the mean, if there is one."""
        return contextlib.nullcontext() if self._ema is None else self._ema.in_place()

    def _stops_early(self) -> bool:
        patience = self._settings.patience
        if not patience or self.state.stale < patience:
            return False
        self._display.say(
            f"stopped early: no better mask mAP in {counted(self.state.stale, 'evaluation')} (--patience {patience})"
        )
        return True

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
        with self._averaged():
            self._evaluate_weights(clock)

    def _evaluate_weights(self, clock: Clock) -> None:
        begin = time.monotonic()
        config, state = self.config, self.state
        segmenter = Segmenter.over(
            DynamicEngine(self.model, config.size), config.preprocess, config.postprocess, classes=config.classes
        )
        results: list[dict[str, Any]] = []
        found = evaluate(
            segmenter,
            self._val,
            results=results,
            progress=lambda done, total: self._display.status("evaluating", done, total),
        )
        self.model.train()
        metrics = {"box_map": found.box_map, "mask_map": found.mask_map}
        self._write_metrics("eval", {**metrics, "box_ap50": found.box_ap50, "mask_ap50": found.mask_ap50})
        best = not state.best or (found.mask_map or 0.0) >= (state.best["mask_map"] or 0.0)
        better = not state.best or (found.mask_map or 0.0) > (state.best["mask_map"] or 0.0)
        state.stale = 0 if better else state.stale + 1
        state.evaluated = state.step
        if best:
            state.best = metrics
            self._keep_best(metrics)
        seconds = time.monotonic() - begin
        clock.evaluation(seconds)
        state.seconds += seconds
        checkpoint.save_state(self.path, state)
        self._results = results
        self._report()
        shown = ", ".join(f"{kind} mAP {_percent(metrics[f'{kind}_map'])}" for kind in ("box", "mask"))
        self._display.say(
            f"step {state.step}/{self.total_steps} epoch {self._epoch:.4g}: {shown}{' (best)' if best else ''}"
            f", {duration(state.seconds)} so far, {clock.left} left"
        )

    def _report(self, *, last: bool = False) -> None:
        """Writes the page of the newest evaluation, once a minute and at the end; no training ends for want of it."""
        now = time.monotonic()
        if not self._processes.leads or self._results is None or not (last or now - self._reported >= REPORT_EVERY_S):
            return
        from edge_seg.train.page import write_report

        try:
            write_report(self.path, self.config, self._val, self._results)
        except EdgeSegError as problem:
            if last:
                self._display.say(f"no {REPORT}: {problem}")
        self._reported, self._results = now, None

    def _keep_best(self, metrics: dict[str, float | None]) -> None:
        write_arrays(self.path / WEIGHTS, self.model.state_dict())
        self.config = dataclasses.replace(self.config, metrics=metrics)
        write_config(self.path, self.config)

    def _write_metrics(self, kind: str, values: dict[str, float | None]) -> None:
        line = json.dumps({"kind": kind, "step": self.state.step, "epoch": round(self._epoch, 6), **values})
        self._scalars.write(self.state.step, kind, values)
        path = self.path / METRICS
        with named(path), path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
            self.state.metrics_bytes = file.tell()

    @property
    def _epoch(self) -> float:
        return self.state.step / self._epoch_steps

    def _show(self, losses: dict[str, float], lr: float, clock: Clock) -> None:
        rate = self._settings.whole_batch * self._settings.accumulate / clock.step_seconds
        details = {
            "epoch": f"{self._epoch:.1f}/{self._settings.epochs}",
            **{name: f"{value:.3f}" for name, value in losses.items()},
            "lr": f"{lr:.2g}",
            "images/s": f"{rate:.1f}",
        }
        if paddle.device.get_device().startswith("gpu"):
            details["GPU memory"] = f"{paddle.device.cuda.max_memory_allocated() / 2**30:.1f} GB"
        self._display.status("step", self.state.step, self.total_steps, details, clock.left)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
