"""Model time on this machine, measured so that it holds: through the runner, against a reference in the same minutes.

A machine's speed changes from one minute to the next. So a point is measured in *visits*: the reference bundle and the
point's, one right after the other, and what counts is the ratio of the two. On one thread the runner tells the CPU time
of each sample too, and the part of a sample in which other programs had the core is left out. What they cost beside
that (caches, a core's other thread) shows in most samples but not in all: for the ratio, the time at the lowest tenth
of a picture's samples is taken. On a busy machine ten runs of one bundle differed by 10 % in it, by 25 % in medians of
plain time.

A point's milliseconds are to be those of any later measurement, `bench run`'s median: the median of the point's ratios
times the reference's own median, at the lower quartile of all its visits in the search. That is the machine when it was
quiet, but not one lucky visit, which would promise what another hour doesn't keep.
"""

from __future__ import annotations

import statistics
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
"""Timed runs of each picture in a visit: as many as fit into the seconds, between the two bounds."""
_MODEL = ("detect", "nms", "mask")


@dataclass(frozen=True)
class Visit:
    """Model time of the reference and of a point, measured one after the other, ms a picture, at the lowest tenth.

    ``reference_median_ms`` is the reference's again, at the median.
    ``disturbed`` is the larger share of the two measurements in which other programs had the core; None where it can't
    be known (several threads).
    """

    reference_ms: float
    reference_median_ms: float
    ms: float
    disturbed: float | None
    confirming: bool = False

    @property
    def ratio(self) -> float:
        return self.ms / self.reference_ms


@dataclass(frozen=True)
class Reading:
    """One run of a runner: model time, ms a picture, at the lowest tenth and the median, and the share others took."""

    ms: float
    median_ms: float
    disturbed: float | None


class Clock:
    """Measures bundles on ``pictures`` with ``threads``."""

    def __init__(self, pictures: Sequence[Path], threads: int) -> None:
        self._pictures = [str(picture) for picture in pictures]
        self._threads = threads
        self._last: dict[Path, float] = {}

    def visit(self, reference: Path, bundle: Path, *, confirming: bool) -> Visit:
        """The reference, then the bundle. Raises :class:`EngineError` when one can't be run."""
        before, here = self.read(reference), self.read(bundle)
        shares = [reading.disturbed for reading in (before, here) if reading.disturbed is not None]
        return Visit(before.ms, before.median_ms, here.ms, max(shares) if shares else None, confirming)

    def read(self, bundle: Path) -> Reading:
        """One run of the runner: the mean over pictures of each picture's times.

        A bundle's first run tells how many repeats fill the time, and counts only where it filled it itself: the lowest
        tenth of five samples is above that of thirty.
        """
        if bundle not in self._last:
            first = self._run(bundle, LEAST)
            if self._repeats(bundle) <= LEAST:
                return first
        return self._run(bundle, self._repeats(bundle))

    def _repeats(self, bundle: Path) -> int:
        return min(MOST, max(LEAST, round(1000 * SECONDS / (self._last[bundle] * len(self._pictures)))))

    def _run(self, bundle: Path, repeats: int) -> Reading:
        options = ["--bundle", str(bundle), "--warmup", str(WARMUP), "--repeat", str(repeats)]
        options += ["--threads", str(self._threads), "--json", "--images", *self._pictures]
        by_picture: dict[str, list[float]] = {picture: [] for picture in self._pictures}
        taken, whole = 0.0, 0.0
        told = self._threads == 1
        for line in drive(Local(), options, silence=SILENCE_S).samples:
            ns = line["ns"]
            model = sum(ns[stage] for stage in _MODEL)
            told = told and "cpu_ns" in line
            mine = min(1.0, line["cpu_ns"] / ns["total"]) if told else 1.0
            by_picture[line["image"]].append(model * mine / 1e6)
            taken, whole = taken + ns["total"] * (1 - mine), whole + ns["total"]
        if not all(by_picture.values()):
            raise EngineError(f"the runner measured nothing on {bundle.name}", code="runner-protocol")
        tenths, medians = np.mean([np.percentile(times, (10, 50)) for times in by_picture.values()], axis=0)
        self._last[bundle] = medians
        return Reading(float(tenths), float(medians), taken / whole if told else None)


def quiet_ms(visits: Sequence[Visit]) -> float:
    """The reference's own time: the lower quartile of its visits' medians."""
    return float(np.percentile([visit.reference_median_ms for visit in visits], 25))


def ratio(visits: Sequence[Visit]) -> float:
    """A point's time as a part of the reference's."""
    return statistics.median(visit.ratio for visit in visits)


def holds(visits: Sequence[Visit], within: float) -> bool:
    """Whether the visits of the search and those that confirm it, taken apart, give the whole's ratio to ``within``."""
    search = [visit for visit in visits if not visit.confirming]
    again = [visit for visit in visits if visit.confirming]
    if not search or not again:
        return False
    whole = ratio(visits)
    return all(abs(ratio(part) - whole) <= within * whole for part in (search, again))
