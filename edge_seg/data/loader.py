"""Batches for training, made ahead by threads.

Nothing is remembered from batch to batch: which pictures are in it and how they are scaled, mirrored and placed follow
from (seed, epoch, place in the epoch) alone. A training that was killed at step n goes on with the batches that it
would have had.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_seg.data.batch import Batch
from edge_seg.data.coco import CocoDataset, ImageRecord
from edge_seg.data.transforms import Placement, letterbox, open_picture, put_picture, put_targets, short_side
from edge_seg.errors import DataError, EdgeSegError, UsageError
from edge_seg.manifest import PreprocessSpec

STRIDE = 32
"""Sides of an input are multiples of this, the coarsest feature map's stride."""


@dataclass(frozen=True)
class LoaderSettings:
    """How batches are made.

    Without ``short_sides`` every picture is fitted into ``preprocess.size``, as at run time, and scaled by a factor
    drawn from ``scale_range`` (what leaves the window is cut off, what is left free is filled). With ``short_sides``,
    one of them is drawn for each picture, and the longer side is at most ``long_side``; ``preprocess.size`` is not
    used. ``flip`` is how often a picture is mirrored, 0 to 1. ``workers`` threads work ``ahead`` batches ahead.
    """

    preprocess: PreprocessSpec
    batch_size: int = 1
    scale_range: tuple[float, float] = (1.0, 1.0)
    short_sides: tuple[int, ...] = ()
    long_side: int = 1333
    flip: float = 0.5
    workers: int = 1
    ahead: int = 3

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UsageError(f"batch size {self.batch_size}: expected at least 1")
        if not 0 < self.scale_range[0] <= self.scale_range[1]:
            raise UsageError(f"scale range {self.scale_range}: expected two factors above 0, the smaller first")
        if self.short_sides and not 0 < min(self.short_sides) <= max(self.short_sides) <= self.long_side:
            raise UsageError(
                f"short sides {self.short_sides}: expected sizes in pixels up to long side {self.long_side}"
            )
        if not 0 <= self.flip <= 1:
            raise UsageError(f"flip {self.flip}: expected 0 to 1")


@dataclass(frozen=True)
class _Sample:
    """A picture's turn: the picture, and the random numbers that are its own."""

    record: ImageRecord
    rng: np.random.Generator


def steps_per_epoch(dataset: CocoDataset, settings: LoaderSettings) -> int:
    """How many batches it takes until every picture was used; the last may already hold pictures of the next epoch."""
    return -(-len(dataset) // settings.batch_size)


def batches(
    dataset: CocoDataset, settings: LoaderSettings, seed: int, start_step: int = 0
) -> Generator[Batch, None, None]:
    """Batch number ``start_step`` and those after it, without end. Close the iterator to stop the threads.

    Raises :class:`DataError`, from the iterator, when a picture can't be read or has another size than annotated.
    """
    pool = ThreadPoolExecutor(settings.workers, thread_name_prefix="loader")
    waiting: deque[Future[Batch]] = deque()
    try:
        step = start_step
        while True:
            while len(waiting) < settings.ahead:
                waiting.append(pool.submit(make_batch, dataset, settings, seed, step))
                step += 1
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def make_batch(dataset: CocoDataset, settings: LoaderSettings, seed: int, step: int) -> Batch:
    """Batch number ``step``; raises :class:`DataError` naming the picture at which it failed."""
    samples = [_sample(dataset, seed, step * settings.batch_size + i) for i in range(settings.batch_size)]
    placements = [_place(settings, sample) for sample in samples]
    height, width = _window(settings, placements)
    images = np.full((len(samples), 3, height, width), settings.preprocess.pad, np.float32)
    batch = Batch(images, [], [], [], [], [])
    for sample, placement, out in zip(samples, placements, images, strict=True):
        record = sample.record
        try:
            size = put_picture(open_picture(record), placement, settings.preprocess, out)
            targets = put_targets(record, placement, height, width)
        except EdgeSegError:
            raise
        except Exception as problem:  # whatever a library says, the user needs to know at which picture
            raise DataError(f"{record.path}: {type(problem).__name__}: {problem}") from problem
        batch.boxes.append(targets.boxes)
        batch.labels.append(targets.labels)
        batch.outlines.append(targets.outlines)
        batch.sizes.append(size)
        batch.image_ids.append(record.id)
    return batch


def _sample(dataset: CocoDataset, seed: int, turn: int) -> _Sample:
    epoch, place = divmod(turn, len(dataset))
    order = _order(seed, epoch, len(dataset))
    return _Sample(dataset.images[order[place]], np.random.default_rng([seed, epoch, place]))


@functools.lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(count)


def _place(settings: LoaderSettings, sample: _Sample) -> Placement:
    record, rng = sample.record, sample.rng
    mirrored = bool(rng.random() < settings.flip)
    if settings.short_sides:
        short = int(rng.choice(settings.short_sides))
        height, width = short_side(record, short, settings.long_side)
        return Placement(width, height, mirrored)
    low, high = settings.scale_range
    height, width = letterbox(record, settings.preprocess.size, float(rng.uniform(low, high)))
    if low == high == 1.0:
        return Placement(width, height, mirrored)
    free_height, free_width = settings.preprocess.size[0] - height, settings.preprocess.size[1] - width
    return Placement(width, height, mirrored, _offset(rng, free_width), _offset(rng, free_height))


def _offset(rng: np.random.Generator, free: int) -> int:
    """A place between the two ends: of the free space, or, when it is negative, of what doesn't fit."""
    return int(rng.integers(min(0, free), max(0, free) + 1))


def _window(settings: LoaderSettings, placements: list[Placement]) -> tuple[int, int]:
    if not settings.short_sides:
        return settings.preprocess.size
    height = max(placement.scaled_height for placement in placements)
    width = max(placement.scaled_width for placement in placements)
    return -(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE
