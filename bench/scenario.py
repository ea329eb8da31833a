"""How to measure: how often, for how long, on which cores; and when a warm-up is over."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_seg.errors import UsageError
from edge_seg.records.machine import Machine, allowed, kinds_of_cores, parse_cores
from edge_seg.records.record import Sample

WINDOW = 5
"""Runs whose median is followed during the warm-up."""
STEADY_SHARE = 0.02
MOST_REPEATS = 100_000
ESTIMATE_MARGIN = 1.3
"""The short pass, from which the number of runs is estimated, is slower than the timed one, or a little faster."""
FEW, SOME = 3, 10
"""An image with at most 3 objects has few, with at most 10 some, with more many."""
STRATA = ("few", "some", "many")


@dataclass(frozen=True)
class Mode:
    """``runs`` and ``seconds`` are the least of timed runs an image; ``warmup`` the most runs of the warm-up."""

    runs: int
    seconds: float
    warmup: int


MODES = {
    "quick": Mode(runs=20, seconds=1.0, warmup=20),
    "full": Mode(runs=64, seconds=10.0, warmup=30),
    "sustained": Mode(runs=64, seconds=300.0, warmup=0),
}
FIXED_WARMUP = 5


@dataclass(frozen=True)
class Settings:
    """How to measure, whatever the bundle. Every pair of ``threads`` and ``instances`` is one scenario.

    ``images`` empty: the bundle's golden image. ``threads`` empty: as many as the target has cores. ``instances``
    empty: what the golden result was made with (an untrained model finds nothing by itself). ``repeats`` and ``warmup``
    fix the numbers of runs, else ``mode`` chooses them, with at least ``runs`` runs and ``seconds`` seconds where these
    are given. ``cores``: ``big``, ``little`` or a list such as ``0-3``. ``strata``: of the images so many with few,
    some and many objects each. ``silence``: seconds without a word after which a runner counts as hung; ``longest``:
    seconds after which a measurement is ended whatever it says. ``keep_on_board``: bundles stay there for the next
    time.
    """

    images: tuple[Path, ...] = ()
    warmup: int | None = None
    repeats: int | None = None
    threads: tuple[int, ...] = ()
    instances: tuple[int, ...] = ()
    silence: float = 600.0
    mode: str = "full"
    runs: int | None = None
    seconds: float | None = None
    cores: str | None = None
    power_mode: str | None = None
    strata: int | None = None
    longest: float = 3600.0
    keep_on_board: bool = False

    @property
    def fixed(self) -> bool:
        """Whether the user chose the number of runs."""
        return self.repeats is not None


@dataclass(frozen=True)
class Runs:
    """What the runner is asked for: ``warmup`` untimed runs, then ``repeats``, of which up to ``warm`` only warm up."""

    warmup: int
    repeats: int
    warm: int


def plan_runs(settings: Settings, run_s: float) -> Runs:
    """The numbers of runs, where one takes about ``run_s`` seconds."""
    if settings.repeats is not None:
        return Runs(FIXED_WARMUP if settings.warmup is None else settings.warmup, settings.repeats, 0)
    mode = MODES[settings.mode]
    seconds = mode.seconds if settings.seconds is None else settings.seconds
    runs = max(mode.runs if settings.runs is None else settings.runs, round(ESTIMATE_MARGIN * seconds / run_s))
    if settings.warmup is not None:
        return Runs(settings.warmup, min(runs, MOST_REPEATS), 0)
    return Runs(0, min(runs + mode.warmup, MOST_REPEATS), mode.warmup)


def warm_runs(samples: Sequence[Sample], most: int) -> int:
    """How many runs belong to the warm-up: until the sliding median of model time moves by less than 2 %.

    At most ``most``: what isn't steady by then is for the verdict to judge.
    """
    times = [sample.model_ns for sample in samples]
    for begin in range(min(most, max(0, len(times) - 2 * WINDOW)) + 1):
        earlier = statistics.median(times[begin : begin + WINDOW])
        later = statistics.median(times[begin + WINDOW : begin + 2 * WINDOW] or [earlier])
        if abs(later - earlier) <= STEADY_SHARE * earlier:
            return min(begin, most)
    return min(most, max(0, len(times) - 1))


def choose_cores(words: str, machine: Machine) -> tuple[int, ...]:
    """The cores that ``big``, ``little`` or a list name on that machine. Raises UsageError when there are none such."""
    usable = allowed(machine)
    if words in ("big", "little"):
        kinds = [kind for kind in kinds_of_cores(machine) if set(kind) & set(usable)]
        if len(kinds) < 2:
            known = "its cores are all alike" if kinds else "it doesn't show its cores' speeds"
            raise UsageError(
                f"--cores {words}: {known}", remedy="name the cores by number, such as 0-3", code="cores-alike"
            )
        # Of three kinds the slowest is the little one: the others share the work that is called big.
        chosen = kinds[-1] if words == "little" else tuple(sorted(core for kind in kinds[:-1] for core in kind))
        return tuple(core for core in chosen if core in usable)
    cores = parse_cores(words)
    if not cores:
        raise UsageError(f"--cores: {words!r} is no list of cores", remedy="write big, little, or 0-3 or 4,5")
    if usable and (others := sorted(set(cores) - set(usable))):
        raise UsageError(
            f"--cores: {', '.join(map(str, others[:5]))} can't be used there; its cores are {_spans(usable)}",
            remedy="name cores that it has and that programs may use",
            code="cores-missing",
        )
    return cores


def _spans(cores: Sequence[int]) -> str:
    return (
        f"{cores[0]}-{cores[-1]}"
        if len(cores) > 2 and cores[-1] - cores[0] == len(cores) - 1
        else ",".join(map(str, cores))
    )


def stratum(objects: float) -> str:
    """``few``, ``some`` or ``many``."""
    return STRATA[(objects > FEW) + (objects > SOME)]


def choose_strata(objects: Mapping[str, int], each: int) -> list[str]:
    """Of images with so many objects, ``each`` of every stratum: spread over it from its fewest to its most."""
    chosen = []
    for name in STRATA:
        there = sorted((count, image) for image, count in objects.items() if stratum(count) == name)
        places = {round(i * (len(there) - 1) / max(1, each - 1)) for i in range(min(each, len(there)))}
        chosen += [there[place][1] for place in sorted(places)]
    return chosen
