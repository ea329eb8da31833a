"""A model learns eight images by heart: what fails here has a fault in its targets, its losses or its decoding.

``python -m benchmarks.memorise mask_rcnn_tiny_fpn`` draws the images, trains on them from random weights through
``edge-seg train`` (docs/training.md, "A handful of images") and evaluates on the same images. It prints a line for each
evaluation and ends with one JSON object: the curve, the seconds and steps per second, and how good the masks would be
with the true boxes or with ideal masks, which tells what limits the result.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from edge_seg.data import synth
from edge_seg.data.coco import CocoDataset, load_split
from edge_seg.data.loader import LoaderSettings, make_batch
from edge_seg.models.build import default_proposals
from edge_seg.models.mask_head import mask_targets
from edge_seg.paddle_env import paddle
from edge_seg.runtime.masks import paste
from edge_seg.train.coco_numbers import compare
from edge_seg.train.run import METRICS, load_run
from edge_seg.zoo import ZOO

IMAGES, SEED = 8, 1
OPTIONS = (
    *("--flip", "0", "--scale", "1", "1", "--batch", "4"),
    *("--optimizer", "adamw", "--lr", "0.001", "--weight-decay", "0", "--clip-norm", "1", "--schedule", "cosine"),
)
"""docs/training.md has the same."""


Results = list[dict[str, Any]]


def make_data(folder: Path, size: int) -> None:
    """Eight images that are trained on and evaluated."""
    synth.make(folder, images=IMAGES + 1, size=size, seed=SEED, val_fraction=1 / (IMAGES + 1))
    shutil.copyfile(folder / "train.json", folder / "val.json")


def curve(run: Path) -> list[dict[str, Any]]:
    """The evaluations so far."""
    lines = (run / METRICS).read_text(encoding="utf-8").splitlines() if (run / METRICS).is_file() else []
    return [line for line in map(json.loads, lines) if line["kind"] == "eval"]


def limits(path: Path, data: CocoDataset) -> dict[str, float | None]:
    """Mask mAP of the run; of its masks in the true boxes; of ideal 28 x 28 masks in its boxes and in the true ones."""
    run = load_run(path)
    model, config = run.build_model(), run.config
    model.set_input(config.size, default_proposals(config.size))
    settings = LoaderSettings(config.preprocess, batch_size=len(data), flip=0.0)
    batch = make_batch(data, settings, 0, 0)
    records = {record.id: record for record in data.images}
    found: dict[str, Results] = {name: [] for name in ("run", "true_boxes", "ideal_masks", "ideal_masks_true_boxes")}
    for i, image_id in enumerate(batch.image_ids):
        record, truth, labels = records[image_id], batch.boxes[i].reshape(-1, 4), batch.labels[i]
        sides = record.height, record.width, batch.sizes[i][1] / record.width

        def add(
            name: str,
            boxes: NDArray[np.float32],
            scores: NDArray[Any],
            classes: NDArray[np.int64],
            masks: NDArray[np.float32],
            image: int = image_id,
            sides: tuple[int, int, float] = sides,
        ) -> None:
            codes = paste(masks, (boxes / sides[2]).astype(np.float32), sides[0], sides[1], 0.5)
            for code, score, label in zip(codes, scores, classes, strict=True):
                code = {**code, "counts": code["counts"].decode()}
                category = data.category_ids[int(label)]
                line = {"image_id": image, "category_id": category, "score": float(score), "segmentation": code}
                found[name].append(line)

        image = paddle.to_tensor(batch.images[i : i + 1])
        kept, masks = model.predict(image, config.postprocess)
        add("run", kept.boxes, kept.scores, kept.classes, masks)
        if not len(truth):
            continue
        sure = np.ones(len(truth))
        nearest = _iou(kept.boxes, truth).argmax(axis=1)
        ideal = mask_targets([batch.outlines[i][j] for j in nearest], kept.boxes)
        add("ideal_masks", kept.boxes, kept.scores, kept.classes, ideal)
        add("ideal_masks_true_boxes", truth, sure, labels, mask_targets(batch.outlines[i], truth))
        channel = (np.arange(len(truth)) * model.num_classes + labels).astype(np.int32)
        with paddle.no_grad():
            maps = model.detect(image)[2]
            count = paddle.full([1], len(truth), dtype="int32")
            drawn = model.masks(maps, paddle.to_tensor(truth), count, paddle.to_tensor(channel)).numpy()
        add("true_boxes", truth, sure, labels, drawn)
    known = data.ground_truth(data.images)
    return {name: compare(known, results, "segm").average_precision() for name, results in found.items()}


def _iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    union: NDArray[np.float32] = overlap / (areas[0][:, None] + areas[1][None] - overlap)
    return union


@click.command()
@click.argument("model", type=click.Choice(list(ZOO)), default="mask_rcnn_tiny_fpn")
@click.option("--size", type=click.IntRange(64), default=192, show_default=True, help="Side of images and input.")
@click.option("--steps", type=click.IntRange(1), default=600, show_default=True, help="How long to train.")
@click.option("--evaluate-every", type=click.IntRange(1), default=100, show_default=True, help="Steps.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def main(model: str, size: int, steps: int, evaluate_every: int, options: tuple[str, ...]) -> None:
    """Learn eight images by heart; OPTIONS, after `--`, are more of `edge-seg train`'s."""
    epoch_steps = IMAGES // 4
    with tempfile.TemporaryDirectory(prefix="edge-seg-memorise-") as folder:
        data, run = Path(folder, "eight"), Path(folder, "run")
        make_data(data, size)
        words = ["train", model, "--data", str(data), "--out", str(run), "--size", str(size), "--weights", "none"]
        words += ["--epochs", str(-(-steps // epoch_steps)), "--eval-every", str(max(1, evaluate_every // epoch_steps))]
        began, shown = time.monotonic(), 0
        with Path(folder, "stderr").open("w+") as stderr:
            command = [sys.executable, "-m", "edge_seg.cli", *words, *OPTIONS, *options]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
            lines: list[dict[str, Any]] = []
            while True:
                done = process.poll() is not None
                lines = curve(run)
                for line in lines[shown:]:
                    line["seconds"] = round(time.monotonic() - began)
                    maps = " ".join(f"{kind} mAP {line[f'{kind}_map'] or 0:.3f}" for kind in ("box", "mask"))
                    click.echo(f"step {line['step']:5} {line['seconds']:6} s  {maps}", err=True)
                shown = len(lines)
                if done:
                    break
                time.sleep(1)
            if process.returncode:
                stderr.seek(0)
                raise click.ClickException(f"the training failed:\n{stderr.read()[-2000:]}")
        state = json.loads((run / "last/state.json").read_text(encoding="utf-8"))
        click.echo(
            json.dumps(
                {
                    "model": model,
                    "size": size,
                    "steps": state["step"],
                    "seconds": round(state["seconds"], 1),
                    "curve": [{key: line[key] for key in ("step", "box_map", "mask_map")} for line in lines],
                    "mask_map_limits": limits(run, load_split(data, "train")),
                }
            )
        )


if __name__ == "__main__":
    main()
