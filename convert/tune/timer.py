"""Model time on this machine, measured so that it can be compared: through the runner, against a reference.

A machine's speed changes from one minute to the next. So every measurement is a *pair*: the reference bundle and the
point's, one right after the other, and what counts is the ratio of the two. On one thread the runner reports the CPU
time of each sample too, and the part of a sample in which other programs had the core is left out. What they cost
beside that (caches, a core's other thread) shows in most samples but not in all: for the ratio, the lowest tenth of an
image's samples is taken. On a busy machine ten runs of one bundle differed by 10 % in it, by 25 % in medians of plain
time.

A point's milliseconds are the median of its ratios times the reference's own median, at the lower quartile of all its
measurements in the search: the machine when it was quiet, but not one lucky measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_seg.errors import EngineError
from edge_seg.targets.drive import drive
from edge_seg.targets.local import Local

SILENCE_S = 600.0
WARMUP = 2
LEAST, MOST, SECONDS = 5, 60, 1.5
"""Timed runs of each image in a measurement: as many as fit into the seconds, between the two bounds."""
_MODEL = ("detect", "nms", "mask")


@dataclass(frozen=True)
class Pair:
    """Model time of the reference and of a point, measured one after the other, ms an image, at the lowest tenth.

    ``reference_median_ms`` is the reference's again, at the median.
    ``disturbed`` is the larger share of the two measurements in which other programs had the core; None where it can't
    be known (several threads).
    """

    reference_ms: float
    reference_median_ms: float
    ms: float
    disturbed: float | None

    @property
    def ratio(self) -> float:
        return self.ms / self.reference_ms


@dataclass(frozen=True)
class Run:
    """One run of a runner: model time, ms an image, at the lowest tenth and the median, and the share others took."""

    ms: float
    median_ms: float
    disturbed: float | None


class Timer:
    """Measures bundles on ``images`` with ``threads``."""

    def __init__(self, images: Sequence[Path], threads: int) -> None:
        self._images = [str(image) for image in images]
        self._threads = threads
        self._last: dict[Path, float] = {}

    def pair(self, reference: Path, bundle: Path) -> Pair:
        """The reference, then the bundle. Raises :class:`EngineError` when one can't be run."""
        before, here = self.read(reference), self.read(bundle)
        shares = [run.disturbed for run in (before, here) if run.disturbed is not None]
        return Pair(before.ms, before.median_ms, here.ms, max(shares) if shares else None)

    def read(self, bundle: Path) -> Run:
        """One run of the runner: the mean over images of each image's times.

        A bundle's first run tells how many repeats fill the time, and counts only where it filled it itself: the lowest
        tenth of five samples is above that of thirty.
        """
        if bundle not in self._last:
            first = self._run(bundle, LEAST)
            if self._repeats(bundle) <= LEAST:
                return first
        return self._run(bundle, self._repeats(bundle))

    def _repeats(self, bundle: Path) -> int:
        return min(MOST, max(LEAST, round(1000 * SECONDS / (self._last[bundle] * len(self._images)))))

    def _run(self, bundle: Path, repeats: int) -> Run:
        options = ["--bundle", str(bundle), "--warmup", str(WARMUP), "--repeat", str(repeats)]
        options += ["--threads", str(self._threads), "--json", "--images", *self._images]
        by_image: dict[str, list[float]] = {image: [] for image in self._images}
        taken, whole = 0.0, 0.0
        told = self._threads == 1
        for line in drive(Local(), options, silence=SILENCE_S).samples:
            ns = line["ns"]
            model = sum(ns[stage] for stage in _MODEL)
            told = told and "cpu_ns" in line
            mine = min(1.0, line["cpu_ns"] / ns["total"]) if told else 1.0
            by_image[line["image"]].append(model * mine / 1e6)
            taken, whole = taken + ns["total"] * (1 - mine), whole + ns["total"]
        if not all(by_image.values()):
            raise EngineError(f"the runner measured nothing on {bundle.name}", code="runner-protocol")
        tenths, medians = np.mean([np.percentile(times, (10, 50)) for times in by_image.values()], axis=0)
        self._last[bundle] = medians
        return Run(float(tenths), float(medians), taken / whole if told else None)


def quiet_ms(pairs: Sequence[Pair]) -> float:
    """The reference's own time: the lower quartile of its medians."""
    return float(np.percentile([pair.reference_median_ms for pair in pairs], 25))
