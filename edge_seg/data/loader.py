"""Batches for training, made ahead by threads or processes.

Nothing is remembered from batch to batch: which images are in it and how they are scaled, mirrored and placed follow
from (seed, epoch, place in the epoch) alone. A training that was killed at step n goes on with the batches that it
would have had.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_seg.data.batch import Batch
from edge_seg.data.coco import CocoDataset, ImageRecord
from edge_seg.data.colors import Jitter
from edge_seg.data.sampler import Sampler
from edge_seg.data.transforms import Placement, Targets, letterbox, open_image, put_image, put_targets, short_side
from edge_seg.errors import DataError, EdgeSegError, UsageError
from edge_seg.manifest import PreprocessSpec
from edge_seg.process.python import die_with_parent

STRIDE = 32
"""Sides of an input are multiples of this, the coarsest feature map's stride."""


@dataclass(frozen=True)
class LoaderSettings:
    """How batches are made.

    Without ``short_sides`` every image is fitted into ``preprocess.size``, as at run time, and scaled by a factor
    drawn from ``scale_range`` (what leaves the window is cut off, what is left free is filled). With ``short_sides``,
    one of them is drawn for each image, and the longer side is at most ``long_side``; ``preprocess.size`` is not used.

    How often an image is changed, 0 to 1: ``flip`` mirrors it, ``vertical_flip`` turns it upside down, ``crop`` shows a
    part of it (half to all of each side), ``expand`` lays it on a ground up to twice as large, ``mosaic`` joins it with
    three others. ``color_jitter`` is how much light and colours may differ. ``group_by_aspect`` and ``repeat_factor``
    are for the :class:`edge_seg.data.sampler.Sampler`.

    Where several processes train together, each makes its own ``part`` of ``parts`` of every batch of ``batch_size``.

    ``workers`` threads, or with ``processes`` so many processes, work ``ahead`` batches ahead.
    """

    preprocess: PreprocessSpec
    batch_size: int = 1
    scale_range: tuple[float, float] = (1.0, 1.0)
    short_sides: tuple[int, ...] = ()
    long_side: int = 1333
    flip: float = 0.5
    vertical_flip: float = 0.0
    color_jitter: float = 0.0
    crop: float = 0.0
    expand: float = 0.0
    mosaic: float = 0.0
    group_by_aspect: bool = False
    repeat_factor: float = 0.0
    part: int = 0
    parts: int = 1
    workers: int = 1
    processes: int = 0
    ahead: int = 3

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UsageError(f"batch size {self.batch_size}: expected at least 1")
        if self.batch_size % self.parts or not 0 <= self.part < self.parts:
            raise UsageError(f"part {self.part} of {self.parts} of a batch of {self.batch_size}: expected equal parts")
        if not 0 < self.scale_range[0] <= self.scale_range[1]:
            raise UsageError(f"scale range {self.scale_range}: expected two factors above 0, the smaller first")
        if self.short_sides and not 0 < min(self.short_sides) <= max(self.short_sides) <= self.long_side:
            raise UsageError(
                f"short sides {self.short_sides}: expected sizes in pixels up to long side {self.long_side}"
            )
        for name in ("flip", "vertical_flip", "color_jitter", "crop", "expand", "mosaic"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name.replace('_', ' ')} {getattr(self, name)}: expected 0 to 1")
        if self.mosaic and self.short_sides:
            raise UsageError("a mosaic needs a window of one size", remedy="leave out --mosaic, or --short-side")

    def sampler(self, dataset: CocoDataset, seed: int) -> Sampler:
        """The order of the images in each epoch."""
        batch = self.batch_size if self.group_by_aspect else 0
        return Sampler(dataset, seed, repeat_factor=self.repeat_factor, batch=batch)


@dataclass(frozen=True)
class _Part:
    """One image's place in a window."""

    record: ImageRecord
    placement: Placement
    jitter: Jitter | None


def steps_per_epoch(dataset: CocoDataset, settings: LoaderSettings) -> int:
    """How many batches it takes until every image was used; the last may already hold images of the next epoch."""
    return -(-settings.sampler(dataset, 0).length // settings.batch_size)


def batches(
    dataset: CocoDataset, settings: LoaderSettings, seed: int, start_step: int = 0
) -> Generator[Batch, None, None]:
    """Batch number ``start_step`` and those after it, without end. Close the iterator to stop the workers.

    Raises :class:`DataError`, from the iterator, when an image can't be read or has another size than annotated.
    """
    pool, make = _pool(dataset, settings, seed)
    waiting: deque[Future[Batch]] = deque()
    try:
        step = start_step
        while True:
            while len(waiting) < settings.ahead:
                waiting.append(pool.submit(make, step))
                step += 1
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise EdgeSegError(
            "a process that prepares batches was killed",
            remedy="memory ran out, as a rule: use fewer --workers, and resume",
            code="worker-killed",
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _pool(dataset: CocoDataset, settings: LoaderSettings, seed: int) -> tuple[Executor, Callable[[int], Batch]]:
    """Workers, and what they are to do with a batch's number."""
    if not settings.processes:
        maker = BatchMaker(dataset, settings, seed)
        return ThreadPoolExecutor(settings.workers, thread_name_prefix="loader"), maker
    # Not forked: this process has paddle's threads, whose locks a child would inherit as they are.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(settings.processes, context, _begin_worker, (dataset, settings, seed))
    return pool, _work


_maker: BatchMaker | None = None


def _begin_worker(dataset: CocoDataset, settings: LoaderSettings, seed: int) -> None:
    global _maker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the trainer's
    die_with_parent()
    cv2.setNumThreads(1)
    _maker = BatchMaker(dataset, settings, seed)


def _work(number: int) -> Batch:
    assert _maker is not None
    return _maker(number)


def make_batch(dataset: CocoDataset, settings: LoaderSettings, seed: int, step: int) -> Batch:
    """Batch number ``step``; raises :class:`DataError` naming the image at which it failed."""
    return BatchMaker(dataset, settings, seed)(step)


class BatchMaker:
    """Makes batches by their numbers."""

    def __init__(self, dataset: CocoDataset, settings: LoaderSettings, seed: int) -> None:
        self._dataset, self._settings, self._seed = dataset, settings, seed
        self._sampler = settings.sampler(dataset, seed)

    def __call__(self, step: int) -> Batch:
        """Batch number ``step``; raises :class:`DataError` naming the image at which it failed."""
        settings = self._settings
        samples = [self._sample(step * settings.batch_size + i) for i in range(settings.batch_size)]
        height, width = self._window(samples)
        count = settings.batch_size // settings.parts
        samples = samples[settings.part * count : (settings.part + 1) * count]
        images = np.full((len(samples), 3, height, width), settings.preprocess.pad, np.float32)
        batch = Batch(images, [], [], [], [], [])
        for parts, out in zip(samples, images, strict=True):
            sizes, targets = zip(*(self._put(part, out) for part in parts), strict=True)
            batch.boxes.append(np.concatenate([found.boxes for found in targets]))
            batch.labels.append(np.concatenate([found.labels for found in targets]))
            batch.outlines.append([outline for found in targets for outline in found.outlines])
            batch.sizes.append((max(size[0] for size in sizes), max(size[1] for size in sizes)))
            batch.image_ids.append(parts[0].record.id)
        return batch

    def _put(self, part: _Part, out: NDArray[np.float32]) -> tuple[tuple[int, int], Targets]:
        """Writes the part's image into ``out``, float32[3, H, W]; where it ends, and its objects."""
        record = part.record
        try:
            size = put_image(open_image(record), part.placement, self._settings.preprocess, out, part.jitter)
            return size, put_targets(record, part.placement, *out.shape[1:])
        except EdgeSegError:
            raise
        except Exception as problem:  # whatever a library says, the user needs to know at which image
            raise DataError(f"{record.path}: {type(problem).__name__}: {problem}") from problem

    def _sample(self, turn: int) -> list[_Part]:
        """What one image of a batch is made of; the turn's random numbers are its own."""
        epoch, place = divmod(turn, self._sampler.length)
        rng = np.random.default_rng([self._seed, epoch, place])
        record = self._dataset.images[self._sampler.index(epoch, place)]
        settings = self._settings
        if settings.mosaic and rng.random() < settings.mosaic:
            others = [self._dataset.images[int(i)] for i in rng.integers(len(self._dataset), size=3)]
            return self._mosaic([record, *others], rng)
        return [_Part(record, self._place(record, rng), self._jitter(rng))]

    def _jitter(self, rng: np.random.Generator) -> Jitter | None:
        return Jitter.drawn(rng, self._settings.color_jitter) if self._settings.color_jitter else None

    def _turns(self, rng: np.random.Generator) -> tuple[bool, bool]:
        """Mirrored, and upside down."""
        settings = self._settings
        mirrored = bool(rng.random() < settings.flip)
        return mirrored, bool(settings.vertical_flip and rng.random() < settings.vertical_flip)

    def _place(self, record: ImageRecord, rng: np.random.Generator) -> Placement:
        mirrored, flipped = self._turns(rng)
        view = self._view(record, rng)
        shown = record if view is None else dataclasses.replace(record, width=view[2], height=view[3])
        height, width, left, top = self._fit(shown, rng)
        if view is None:
            return Placement(width, height, mirrored, left, top, flipped)
        across, down = width / shown.width, height / shown.height
        return Placement(
            max(1, round(record.width * across)),
            max(1, round(record.height * down)),
            mirrored,
            left - round(view[0] * across),
            top - round(view[1] * down),
            flipped,
            (left, top, left + width, top + height),
        )

    def _fit(self, shown: ImageRecord, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Height and width to which what is shown is scaled, and its left and top in the window."""
        settings = self._settings
        if settings.short_sides:
            return (*short_side(shown, int(rng.choice(settings.short_sides)), settings.long_side), 0, 0)
        low, high = settings.scale_range
        height, width = letterbox(shown, settings.preprocess.size, float(rng.uniform(low, high)))
        if low == high == 1.0:
            return height, width, 0, 0
        window = settings.preprocess.size
        left, top = _offset(rng, window[1] - width), _offset(rng, window[0] - height)
        return height, width, left, top

    def _view(self, record: ImageRecord, rng: np.random.Generator) -> tuple[int, int, int, int] | None:
        """The part of the image's plane that is shown: left, top (negative when expanded), width, height."""
        settings = self._settings
        if settings.crop and rng.random() < settings.crop:
            width, height = (max(1, round(side * rng.uniform(0.5, 1))) for side in (record.width, record.height))
            left, top = rng.integers(record.width - width + 1), rng.integers(record.height - height + 1)
            return int(left), int(top), width, height
        if settings.expand and rng.random() < settings.expand:
            factor = rng.uniform(1, 2)
            width, height = round(record.width * factor), round(record.height * factor)
            left, top = rng.integers(width - record.width + 1), rng.integers(height - record.height + 1)
            return -int(left), -int(top), width, height
        return None

    def _mosaic(self, records: list[ImageRecord], rng: np.random.Generator) -> list[_Part]:
        """Four images that meet at a point near the window's middle."""
        height, width = self._settings.preprocess.size
        x, y = (int(side * rng.uniform(0.3, 0.7)) for side in (width, height))
        parts = []
        for record, (right, below) in zip(records, ((0, 0), (1, 0), (0, 1), (1, 1)), strict=True):
            scaled_height, scaled_width = letterbox(record, (height, width), float(rng.uniform(0.5, 1.0)))
            mirrored, flipped = self._turns(rng)
            left, top = x if right else x - scaled_width, y if below else y - scaled_height
            frame = (x if right else 0, y if below else 0, width if right else x, height if below else y)
            placement = Placement(scaled_width, scaled_height, mirrored, left, top, flipped, frame)
            parts.append(_Part(record, placement, self._jitter(rng)))
        return parts

    def _window(self, samples: list[list[_Part]]) -> tuple[int, int]:
        if not self._settings.short_sides:
            return self._settings.preprocess.size
        extents = [part.placement.extent for parts in samples for part in parts]
        height, width = max(h for h, _ in extents), max(w for _, w in extents)
        return -(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE


def _offset(rng: np.random.Generator, free: int) -> int:
    """A place between the two ends: of the free space, or, when it is negative, of what doesn't fit."""
    return int(rng.integers(min(0, free), max(0, free) + 1))
