"""Two bundles, or two files of records, held against each other: a ratio of model times with its interval.

What can be measured is measured in turns, so that whatever disturbs the machine disturbs both alike. Records are only
compared where nothing but what is asked for differs; the field that differs is named.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.table import Devices, engine_of
from bench.verdict import trusted
from edge_seg.bundle import Bundle, open_bundle
from edge_seg.errors import EdgeSegError, UsageError
from edge_seg.records.record import MODEL_STAGES, Record, read
from edge_seg.records.statistics import Interval, paired_ratio, ratio_of_medians
from edge_seg.runtime.predict import find_files
from edge_seg.targets import Target
from edge_seg.targets.drive import Asked, Session, drive
from edge_seg.targets.local import Local
from edge_seg.words import counted

FIELDS: dict[str, Callable[[Record], object]] = {
    "model": lambda record: record.bundle.model,
    "recipe": lambda record: record.bundle.recipe,
    "size": lambda record: "x".join(map(str, record.bundle.size)),
    "proposals": lambda record: record.bundle.proposals,
    "images": lambda record: tuple(image.sha256[:12] for image in record.scenario.images),
    "objects": lambda record: (
        record.scenario.instances
        if record.scenario.instances is not None
        else f"as found, up to {record.bundle.keep} above {record.bundle.score_threshold:g}"
    ),
    "threads": lambda record: record.scenario.threads,
    "cores": lambda record: record.scenario.cores,
    "power-mode": lambda record: record.scenario.power_mode,
    "machine": Devices.key,
    "emulated": lambda record: record.target.startswith("emulated:"),
}
"""What must be alike, unless the comparison is across it."""

WARM_UP_ROUNDS = 3
PAUSE_S = 0.4
"""Between turns. OpenMP's threads spin for 0.2 s after their work, which would be taken from the other one."""
STARTS = 2
"""Times that both runners are started, each first in its turn: where a process's memory lies, and who was there first,
is worth some percent for as long as it lives."""
FAR_RUNS = 3
"""Timed runs a turn where each turn starts the runner anew."""


class CompareError(EdgeSegError):
    """What is to be compared can't be."""

    code = "not-comparable"


@dataclass(frozen=True)
class Comparison:
    """How much ``second`` takes of ``first``'s model time. ``paired``: in turns; else from records of two times."""

    what: str
    first: str
    second: str
    first_ms: float
    second_ms: float
    ratio: Interval
    paired: bool
    warnings: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What the interval bears."""
        if self.ratio.low > 1:
            return "slower"
        return "faster" if self.ratio.high < 1 else "no difference shown"


def compare_records(first: Sequence[Record], second: Sequence[Record], across: Sequence[str]) -> list[Comparison]:
    """Compares the newest records that are alike in everything but ``across``.

    Raises CompareError, naming the fields that differ, when none are.
    """
    fields = [name for name in FIELDS if name not in across]
    ours, theirs = _by(first, fields), _by(second, fields)
    common = [key for key in ours if key in theirs]
    if not common:
        raise _differ(first, second, fields)
    return [_compare(ours[key], theirs[key]) for key in common]


def _by(records: Sequence[Record], fields: Sequence[str]) -> dict[tuple[object, ...], Record]:
    """The newest record of each kind, those that are valid first."""
    ordered = sorted(records, key=lambda record: (trusted(record).status == "valid", record.time))
    return {tuple(FIELDS[name](record) for name in fields): record for record in ordered}


def _differ(first: Sequence[Record], second: Sequence[Record], fields: Sequence[str]) -> CompareError:
    pairs = [(a, b) for a in first[-50:] for b in second[-50:]]
    if not pairs:
        return CompareError("one side holds no record", remedy="measure with `edge-seg bench run --out FILE`")

    def differences(pair: tuple[Record, Record]) -> list[str]:
        return [name for name in fields if FIELDS[name](pair[0]) != FIELDS[name](pair[1])]

    nearest = min(pairs, key=lambda pair: len(differences(pair)))
    names = differences(nearest)
    told = "; ".join(f"{name}: {FIELDS[name](nearest[0])} and {FIELDS[name](nearest[1])}" for name in names)
    return CompareError(
        f"no two records are comparable; the nearest, {nearest[0].id} and {nearest[1].id}, differ in {told}",
        remedy=f"measure both alike, or say --across {','.join(names)} if that is what you compare",
    )


def _compare(first: Record, second: Record) -> Comparison:
    groups = [[[sample.model_ns for sample in group] for group in record.by_image()] for record in (first, second)]
    warnings = [
        f"record {record.id} is {verdict.status}: {'; '.join(reason.message for reason in verdict.reasons)}"
        for record in (first, second)
        if (verdict := trusted(record)).status != "valid"
    ]
    if abs(first.objects() - second.objects()) > 0.5:
        warnings.append(f"{first.objects():.3g} and {second.objects():.3g} objects an image were found")
    height, width = first.bundle.size
    return Comparison(
        what=f"{first.bundle.model}, {height}x{width}, {counted(first.objects(), 'object')}",
        first=_name(first),
        second=_name(second),
        first_ms=first.model_ms().median,
        second_ms=second.model_ms().median,
        ratio=ratio_of_medians(groups[0], groups[1]),
        paired=False,
        warnings=tuple(warnings),
    )


def _name(record: Record) -> str:
    return (
        f"{record.bundle.recipe} ({engine_of(record)}, {counted(record.scenario.threads, 'thread')},"
        f" {record.machine.title}, {record.id})"
    )


def read_side(text: str) -> list[Record]:
    """The records of ``FILE``, or the one of ``FILE#ID``. Raises RecordError, or UsageError for an unknown id."""
    name, mark, record_id = text.rpartition("#")
    path = Path(name if mark else text)
    if mark and not path.exists():
        path, record_id = Path(text), ""
    records, _ = read(path)
    if not record_id or not mark:
        return records
    chosen = [record for record in records if record.id.startswith(record_id)]
    if not chosen:
        raise UsageError(f"{path}: no record {record_id}", remedy=f"`edge-seg bench show {path}` lists them")
    return chosen


Turn = Callable[[], tuple[float, int]]
"""Runs once; model time in ms, and the number of objects."""


def compare_bundles(
    target: Target,
    bundles: tuple[Path, Path],
    images: Sequence[Path],
    instances: int | None,
    threads: int,
    rounds: int,
    progress: Callable[[str], None],
) -> Comparison:
    """Both bundles on one target, in turns of changing order. Raises EdgeSegError when one of them can't be run."""
    opened = [open_bundle(path) for path in bundles]
    image = [file.resolve() for file in find_files(images)][:1] or [opened[0].path / opened[0].manifest.golden.image]
    wanted = opened[0].manifest.golden.instances if instances is None else instances
    here = isinstance(target, Local)  # elsewhere each turn is a start
    starts = min(STARTS, rounds) if here else 1
    times: list[list[float]] = [[], []]
    counts = [0, 0]
    for start in range(starts):
        order = (0, 1) if start % 2 == 0 else (1, 0)
        share = rounds * (start + 1) // starts - rounds * start // starts
        with contextlib.ExitStack() as stack:
            turns = [stack.enter_context(turns_of(target, opened[side], image[0], wanted, threads)) for side in order]
            told = _of_start(progress, start, starts)
            found, objects = take_turns(turns, share, WARM_UP_ROUNDS if here else 0, told)
        for side, ms, count in zip(order, found, objects, strict=True):
            times[side] += ms
            counts[side] = count
    if counts[0] != counts[1]:
        raise CompareError(
            f"objects: {bundles[0]} finds {counts[0]} and {bundles[1]} {counts[1]}, and their number decides the time",
            remedy="fix it with --instances N",
        )
    manifest = opened[0].manifest
    height, width = manifest.preprocess.size
    return Comparison(
        what=f"{manifest.model}, {height}x{width}, {counted(counts[0], 'object')}, "
        f"{counted(threads, 'thread') if threads else 'all threads'}, {target.name}",
        first=str(bundles[0]),
        second=str(bundles[1]),
        first_ms=statistics.median(times[0]),
        second_ms=statistics.median(times[1]),
        ratio=paired_ratio(times[0], times[1]),
        paired=True,
    )


def _of_start(progress: Callable[[str], None], start: int, starts: int) -> Callable[[str], None]:
    return progress if starts == 1 else lambda text: progress(f"start {start + 1} of {starts}, {text}")


def take_turns(
    turns: Sequence[Turn], rounds: int, warm_up: int, progress: Callable[[str], None]
) -> tuple[list[list[float]], list[int]]:
    """Every contestant's times, ms, one a round, and the number of objects that it found last."""
    times: list[list[float]] = [[] for _ in turns]
    counts = [0] * len(turns)
    order = random.Random(0)
    for number in range(-warm_up, rounds):
        progress("warming up" if number < 0 else f"round {number + 1} of {rounds}")
        # Drawn anew each round: with a fixed order, who follows whom is worth some percent.
        for side in order.sample(range(len(turns)), len(turns)):
            ms, counts[side] = turns[side]()
            if number >= 0:
                times[side].append(ms)
    return times, counts


@contextlib.contextmanager
def turns_of(target: Target, bundle: Bundle, image: Path, instances: int | None, threads: int) -> Iterator[Turn]:
    """Turns of a bundle on ``target``: a runner of its own, which is told the image each time."""
    there, file = target.push(bundle.path), target.push(image)
    words = ["--bundle", there, "--threads", str(threads), "--json"]
    words += ["--instances", str(instances)] if instances is not None else []
    if type(target) is not Local:  # a connection's leash holds the runner's stdin: each turn starts it anew

        def far() -> tuple[float, int]:
            options = [*words, "--images", file, "--warmup", "2", "--repeat", str(FAR_RUNS)]
            outcome = drive(target, options, silence=600, asked=Asked([file], FAR_RUNS, instances, 3600))
            times = [model_ms(sample["ns"]) for sample in outcome.samples]
            return statistics.median(times), outcome.samples[-1]["instances"]

        yield far
        return
    session = Session(target.runner, [*words, "--images", "-", "--warmup", "0", "--repeat", "1"], silence=600)
    try:

        def near() -> tuple[float, int]:
            time.sleep(PAUSE_S)
            session.say(file)
            sample = session.until("sample")
            session.until("result")
            return model_ms(sample["ns"]), sample["instances"]

        yield near
    finally:
        session.close()


def model_ms(ns: dict[str, int]) -> float:
    """Model time of a sample's times."""
    return sum(ns[stage] for stage in MODEL_STAGES) / 1e6
