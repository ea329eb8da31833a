"""A run folder's beginning: made whole or not at all, or found and checked before a training goes on in it."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_seg.data.coco import CocoDataset, ImageRecord
from edge_seg.errors import RunError, UsageError
from edge_seg.files import atomic_dir, locked, write_text
from edge_seg.runtime.image import read_image
from edge_seg.train.run import COMMAND, CONFIG, GOLDEN, RunConfig, TrainSettings, read_config, write_config

GOLDEN_SIDE = 1280
"""Longest side of the golden image, pixels: it travels with every bundle."""

# What may change when a training is resumed: it doesn't alter the steps that were done.
_FREE = {"batch", "processes", "epochs", "max_steps", "eval_every", "checkpoint_every", "weights", "patience"}


def check_new(out: Path) -> None:
    """Raises :class:`UsageError` when ``out`` holds a training already."""
    if (out / CONFIG).is_file():
        raise UsageError(
            f"{out}: holds a training already",
            remedy="add --resume to go on with it, or give another --out",
            code="run-exists",
        )


def held(out: Path) -> contextlib.AbstractContextManager[None]:
    """Holds the run folder against a second training in it, which raises :class:`UsageError` then."""
    return locked(
        out,
        UsageError(
            f"{out}: another training is writing there",
            remedy="let it end, or stop it first; `fuser` shows its process",
            code="run-busy",
        ),
    )


@contextlib.contextmanager
def begin(out: Path, config: RunConfig, val: CocoDataset) -> Iterator[Path]:
    """Makes the run folder: yields its temporary place for the first checkpoint, then it is there as a whole.

    Raises :class:`UsageError` when ``out`` isn't empty.
    """
    with atomic_dir(out) as partial:
        write_config(partial, config)
        write_text(partial / COMMAND, command_line())
        write_golden(partial / GOLDEN, read_image(_golden(val).path))
        yield partial


def reopen(out: Path, config: RunConfig) -> RunConfig:
    """Checks that the run in ``out`` was begun with the same settings and data; returns its configuration, updated.

    Raises :class:`RunError` or :class:`UsageError` naming what differs.
    """
    before = read_config(out)
    begun = (out / COMMAND).read_text(encoding="utf-8").splitlines()[:1] if (out / COMMAND).is_file() else []
    remedy = f"give the same as in: {begun[0]}" if begun else "give the same as when the training began"
    for name in ("model", "classes", "category_ids", "size", "preprocess", "postprocess"):
        if getattr(before, name) != getattr(config, name):
            raise UsageError(
                f"{out}: begun with {name} {_plain(getattr(before, name))}, now {_plain(getattr(config, name))}",
                remedy=remedy,
                code="run-differs",
            )
    _check_batch(out, before.settings, config.settings)
    for field in dataclasses.fields(TrainSettings):
        old, new = getattr(before.settings, field.name), getattr(config.settings, field.name)
        longer = field.name == "decay_epochs" and before.settings.epochs != config.settings.epochs
        if old != new and field.name not in _FREE and not longer:
            option = "--" + field.name.replace("_", "-")
            raise UsageError(
                f"{out}: begun with {option} {_plain(old)}, now {_plain(new)}", remedy=remedy, code="run-differs"
            )
    if config.settings.schedule == "cosine" and before.settings.epochs != config.settings.epochs:
        raise UsageError(
            f"{out}: begun with --epochs {before.settings.epochs}, now {config.settings.epochs}: a cosine ends with "
            "its last epoch and can't be made longer",
            remedy=remedy,
            code="run-differs",
        )
    if before.data_sha256 != config.data_sha256:
        raise RunError(
            f"{config.data}: its training annotations have changed since this training began",
            remedy="bring them back, or begin another run (--weights takes over this one's model.pdparams)",
            code="data-changed",
        )
    config = dataclasses.replace(config, metrics=before.metrics)
    write_config(out, config)
    write_text(out / COMMAND, "".join(line + "\n" for line in begun) + command_line())
    return config


def _check_batch(out: Path, before: TrainSettings, now: TrainSettings) -> None:
    """The same batch may be shared out to more or fewer processes than before."""
    if before.whole_batch == now.whole_batch:
        return
    fits = before.whole_batch % now.processes == 0
    same = f"--batch {before.whole_batch // now.processes} here, or " if fits else ""
    raise UsageError(
        f"{out}: begun with batches of {before.whole_batch} images (--batch {before.batch}, {before.processes} "
        f"processes), now {now.whole_batch} (--batch {now.batch}, {now.processes})",
        remedy=f"give {same}start it as it was begun",
        code="run-differs",
    )


def command_line() -> str:
    """The line that made a run, for its ``command.txt``."""
    return shlex.join(["edge-seg", *sys.argv[1:]]) + "\n"


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "(none)"
    return str(value)


def _golden(val: CocoDataset) -> ImageRecord:
    """The image with the most different classes, then with the most objects; the first of equals."""

    def richness(record: ImageRecord) -> tuple[int, int]:
        objects = [a.label for a in record.annotations if not a.crowd]
        return len(set(objects)), len(objects)

    return max(val.images, key=richness)


def write_golden(file: Path, image: NDArray[np.uint8]) -> None:
    """Writes uint8[h, w, 3] BGR as PNG, at most ``GOLDEN_SIDE`` pixels long."""
    scale = GOLDEN_SIDE / max(image.shape[:2])
    if scale < 1:
        sides = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(cv2.resize(image, sides, interpolation=cv2.INTER_AREA), np.uint8)
    ok, data = cv2.imencode(".png", image)
    assert ok, "OpenCV can't write PNG"
    file.write_bytes(data.tobytes())
