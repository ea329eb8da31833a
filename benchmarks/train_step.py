"""A CPU training step here and in torchvision: the same net (Mask R-CNN, R18-FPN, 320, batch 2), one thread, in turns.

torch stands in an environment of its own, since its libraries and paddle's don't share a process well: that of
`tools/setup_peers.sh`, or another (`python -m benchmarks.train_step --torch PYTHON`).

Each side is a process that does one step when it is told to; the sides take turns, so that what else the machine does
meets both. CPU seconds are the process's own (all threads). Ends with one JSON line.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.contestant import Contestant

SIDE, BATCH, CLASSES, OBJECTS = 320, 2, 80, 5
LR, MOMENTUM = 0.0025, 0.9


def circles() -> list[NDArray[np.float64]]:
    """For each image the objects: x, y, radius in pixels, float64[OBJECTS, 3]."""
    rng = np.random.default_rng(0)
    return [
        np.column_stack([rng.uniform(60, SIDE - 60, (OBJECTS, 2)), rng.uniform(10, 55, OBJECTS)]) for _ in range(BATCH)
    ]


def images() -> NDArray[np.float32]:
    """float32[BATCH, 3, SIDE, SIDE] of bright circles in noise, 0 to 1."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:SIDE, :SIDE]
    pixels = rng.uniform(0, 0.5, (BATCH, 3, SIDE, SIDE))
    for image, found in zip(pixels, circles(), strict=True):
        for cx, cy, radius in found:
            image[:, (x - cx) ** 2 + (y - cy) ** 2 <= radius**2] += 0.4
    return pixels.astype(np.float32)


def torch_step() -> Callable[[], float]:
    """A function that does one step of torchvision's net and returns its loss."""
    torch = importlib.import_module("torch")
    detection = importlib.import_module("torchvision.models.detection")
    backbones = importlib.import_module("torchvision.models.detection.backbone_utils")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    backbone = backbones.resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=5)
    model = detection.MaskRCNN(backbone, CLASSES + 1, min_size=SIDE, max_size=SIDE).train()
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=MOMENTUM, weight_decay=1e-4)
    pixels = list(torch.from_numpy(images()))
    y, x = np.mgrid[:SIDE, :SIDE]
    targets = []
    for found in circles():
        masks = [(x - cx) ** 2 + (y - cy) ** 2 <= radius**2 for cx, cy, radius in found]
        boxes = [[cx - radius, cy - radius, cx + radius, cy + radius] for cx, cy, radius in found]
        targets.append(
            {
                "boxes": torch.tensor(boxes, dtype=torch.float32),
                "labels": torch.arange(1, OBJECTS + 1),
                "masks": torch.from_numpy(np.stack(masks).astype(np.uint8)),
            }
        )

    def step() -> float:
        loss = sum(model(pixels, targets).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss)

    return step


def paddle_step() -> Callable[[], float]:
    """A function that does one step of this project's net and returns its loss."""
    from edge_seg.data.batch import Batch
    from edge_seg.data.mask_target import Polygons
    from edge_seg.models.build import build_model
    from edge_seg.paddle_env import paddle
    from edge_seg.train import device
    from edge_seg.train.optimizer import Optimizer
    from edge_seg.train.run import TrainSettings

    device.use("cpu", threads=1)
    paddle.seed(0)
    # torchvision's normalization is frozen, in the same places.
    model = build_model("mask_rcnn_r18_fpn", CLASSES, frozen_norm=True)
    model.train()
    settings = TrainSettings(epochs=1, batch=BATCH, lr=LR, warmup_steps=0, decay_epochs=(), seed=0, momentum=MOMENTUM)
    optimizer = Optimizer(model, settings)
    angles = np.arange(32) * (2 * np.pi / 32)
    boxes, outlines = [], []
    for found in circles():
        corners = (found[:, :2] - found[:, 2:], found[:, :2] + found[:, 2:])
        boxes.append(np.concatenate(corners, axis=1).astype(np.float32))
        points = [np.stack([cx + r * np.cos(angles), cy + r * np.sin(angles)], 1).reshape(-1) for cx, cy, r in found]
        outlines.append([Polygons((polygon,)) for polygon in points])
    labels = [np.arange(OBJECTS)] * BATCH
    pixels = ((images() - 0.45) / 0.225).astype(np.float32)
    batch = Batch(pixels, boxes, labels, outlines, [(SIDE, SIDE)] * BATCH, list(range(BATCH)))  # type: ignore[arg-type]

    def step() -> float:
        rngs = [np.random.default_rng(i) for i in range(BATCH)]
        loss = sum(model.loss(batch, rngs).values())
        loss.backward()
        optimizer.step(LR)
        return float(loss)

    return step


SIDES = {"torch": torch_step, "paddle": paddle_step}


def work(side: str) -> None:
    """A step for each line on stdin; its CPU and wall seconds and the loss go to stdout as JSON."""
    step = SIDES[side]()
    print(json.dumps({"ready": side}), flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        loss = step()
        result = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall, "loss": loss}
        print(json.dumps(result), flush=True)


@click.command()
@click.option("--torch", default="build/peers/bin/python", show_default=True, help="Its Python.")
@click.option("--steps", type=click.IntRange(1), default=9, show_default=True, help="After two that don't count.")
@click.option("--work", "side", type=click.Choice(list(SIDES)), hidden=True)
def main(torch: str, steps: int, side: str | None) -> None:
    """Time training steps here and in torchvision."""
    if side:
        work(side)
        return
    if not Path(torch).is_file():
        raise click.UsageError(f"--torch {torch}: no such file; tools/setup_peers.sh makes an environment")
    os.environ["OMP_NUM_THREADS"] = "1"
    pythons = {"paddle": sys.executable, "torch": os.path.abspath(torch)}
    sides = [Contestant(name, ("--work", name), python, "benchmarks.train_step") for name, python in pythons.items()]
    seconds: dict[str, list[float]] = {name: [] for name in pythons}
    for number in range(steps + 2):
        for contestant in sides if number % 2 else sides[::-1]:
            result, name = contestant.turn(), contestant.name
            click.echo(f"{number:3} {name:6} {result['cpu_s']:.3f} CPU s  loss {result['loss']:.3f}", err=True)
            if number >= 2:
                seconds[name].append(result["cpu_s"])
    for contestant in sides:
        contestant.close()
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    speed = medians["torch"] / medians["paddle"]
    click.echo(json.dumps({"cpu_s": seconds, "median_cpu_s": medians, "speed_against_torchvision": speed}))


if __name__ == "__main__":
    main()
