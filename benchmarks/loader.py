"""How long a training waits for its batches: the loader's stall, as a share of the time.

``python -m benchmarks.loader --model mask_rcnn_r18_fpn`` trains for real; without ``--model`` a step is a pause of
``--step-ms``, as of a GPU that leaves the CPU free. Ends with one JSON object.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

from edge_seg.data import synth
from edge_seg.data.batch import Batch
from edge_seg.data.coco import load_split
from edge_seg.data.loader import LoaderSettings, batches
from edge_seg.manifest import PreprocessSpec
from edge_seg.zoo import ZOO

IMAGES, SKIPPED = 64, 2


def real_step(model: str) -> Callable[[Batch], None]:
    """A step of the optimiser on the CPU, on as many threads as a training takes."""
    from edge_seg.models.build import build_model
    from edge_seg.train import device
    from edge_seg.train.optimizer import Optimizer
    from edge_seg.train.run import TrainSettings

    device.use("cpu")
    layers = build_model(model, len(synth.CLASSES))
    layers.train()
    optimizer = Optimizer(layers, TrainSettings(epochs=1, batch=1, lr=0.0025, warmup_steps=0, decay_epochs=(), seed=0))

    def step(batch: Batch) -> None:
        rngs = [np.random.default_rng(image) for image in batch.image_ids]
        sum(layers.loss(batch, rngs).values()).backward()
        optimizer.step(0.0001)

    return step


@click.command()
@click.option("--model", type=click.Choice(list(ZOO)), help="Train this model.  [default: pause for --step-ms]")
@click.option("--step-ms", type=click.IntRange(1), default=50, show_default=True)
@click.option("--size", type=click.IntRange(64), default=320, show_default=True, help="Side of images and input.")
@click.option("--batch", type=click.IntRange(1), default=2, show_default=True)
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="As of `edge-seg train`.")
@click.option("--steps", type=click.IntRange(1), default=40, show_default=True)
def main(model: str | None, step_ms: int, size: int, batch: int, workers: int, steps: int) -> None:
    """Measure the loader's stall, without the first two steps."""
    step = real_step(model) if model else lambda batch: time.sleep(step_ms / 1000)
    with tempfile.TemporaryDirectory(prefix="edge-seg-loader-") as folder:
        synth.make(Path(folder, "shapes"), images=IMAGES, size=size, seed=1)
        data = load_split(Path(folder, "shapes"), "train")
        settings = LoaderSettings(
            PreprocessSpec((size, size)),
            batch_size=batch,
            scale_range=(0.8, 1.25),
            processes=workers,
            ahead=(workers or 1) + 2,
        )
        waited, worked = [], []
        with contextlib.closing(batches(data, settings, 0)) as source:
            for _ in range(steps + SKIPPED):
                begin = time.perf_counter()
                made = next(source)
                ready = time.perf_counter()
                step(made)
                waited.append(ready - begin)
                worked.append(time.perf_counter() - ready)
    stall, work = sum(waited[SKIPPED:]), sum(worked[SKIPPED:])
    click.echo(
        json.dumps(
            {
                "step": model or f"pause of {step_ms} ms",
                "size": size,
                "batch": batch,
                "workers": workers,
                "steps": steps,
                "step_s": round(work / steps, 4),
                "stall": round(stall / (stall + work), 5),
            }
        )
    )


if __name__ == "__main__":
    main()
