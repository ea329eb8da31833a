"""``edge-seg fit`` from beginning to end: which pictures, point after point, the front confirmed, the choice made."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.tune.log import Log, Subject
from convert.tune.meter import Again, Bundle, Measured, Meter, Say
from convert.tune.search import Value, front, next_choice
from convert.tune.space import Choice, Setting, Space
from convert.tune.trial import Order, Point, make_point
from edge_seg.data.coco import CocoDataset, ImageRecord
from edge_seg.errors import EdgeSegError, UsageError
from edge_seg.files import check_replaceable, remove, scratch_dir, sha256
from edge_seg.train.run import Run
from edge_seg.words import counted

POINTS = "points.jsonl"
RUNS = "runs"
_BUNDLES = ".bundles"
CLOCKED = 4
"""Pictures that time is measured on."""


@dataclass(frozen=True)
class Plan:
    """What is to be searched. ``box_width`` is that of ``run``; ``most`` bounds the points that are tried."""

    run: Run
    data: Path
    dataset: CocoDataset
    records: tuple[ImageRecord, ...]
    space: Space
    box_width: int
    out: Path
    seed: int
    most: int
    command: str
    target: float | None = None


@dataclass(frozen=True)
class Placed:
    """A point with its cost."""

    point: Point
    cost: float


@dataclass(frozen=True)
class Found:
    """What the search came to. ``front`` is confirmed, cheapest first; ``dropped`` says why a point isn't on it.

    ``again`` is the front measured once more, where that was asked for.
    """

    placed: tuple[Placed, ...]
    front: tuple[Placed, ...]
    failures: dict[Setting, str]
    dropped: dict[Setting, str]
    again: Again | None = None

    def best_within(self, target: float) -> Placed | None:
        """The most accurate point of the front that costs at most ``target``."""
        return max((p for p in self.front if p.cost <= target), key=lambda p: p.point.accuracy, default=None)


def choose_images(dataset: CocoDataset, most: int, seed: int) -> tuple[ImageRecord, ...]:
    """At most so many pictures, drawn by ``seed``, in the dataset's order."""
    order = np.random.default_rng(seed).permutation(len(dataset.images))[:most]
    return tuple(dataset.images[index] for index in sorted(order.tolist()))


def choose_clocked(records: tuple[ImageRecord, ...]) -> tuple[ImageRecord, ...]:
    """Pictures to measure time on: from those with few objects to those with many, evenly."""
    ordered = sorted(records, key=lambda record: (len(record.annotations), record.id))
    count = min(CLOCKED, len(ordered))
    return tuple(ordered[int((place + 0.5) * len(ordered) / count)] for place in range(count))


def open_log(plan: Plan, again: bool = False) -> Log:
    """The search's log in ``plan.out``; with ``again`` there must be one.

    Raises UsageError when there is none, or it is a folder of other things.
    """
    check_replaceable(plan.out, POINTS)
    if again and not (plan.out / POINTS).is_file():
        raise _nothing_timed(plan)
    subject = Subject(
        weights_sha256=sha256(plan.run.weights),
        data_sha256=sha256(plan.dataset.coco_json),
        split="val",
        seed=plan.seed,
        images=tuple(record.id for record in plan.records),
        pictures=tuple(record.path.name for record in choose_clocked(plan.records)),
    )
    return Log(plan.out / POINTS, subject)


class Workshop:
    """Makes points and their bundles; bundles that are no longer needed are removed by :meth:`keep_only`."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.folder = plan.out / _BUNDLES

    def make(self, setting: Setting) -> Point:
        """Converts and evaluates. Raises :class:`EdgeSegError`."""
        plan = self._plan
        pruned = str(self.run_of(setting)) if setting.box_width != plan.box_width else None
        order = Order(
            setting=setting,
            run=str(plan.run.path),
            pruned=pruned,
            data=str(plan.data),
            split="val",
            image_ids=tuple(record.id for record in plan.records),
            bundle=str(self._place(setting)),
            seed=plan.seed,
            command=plan.command,
        )
        with scratch_dir(plan.out / "order") as scratch:
            return make_point(order, scratch)

    def run_of(self, setting: Setting) -> Path:
        """The run that ``setting`` is converted from: the user's, or the pruned one."""
        plan = self._plan
        return plan.run.path if setting.box_width == plan.box_width else plan.out / RUNS / f"box-{setting.box_width}"

    def bundle(self, setting: Setting) -> Path:
        """Where its bundle lies; made anew if it is gone."""
        place = self._place(setting)
        if not place.exists():
            self.make(setting)
        return place

    def keep_only(self, settings: set[Setting]) -> None:
        """Removes all other bundles: those of a large model would fill a disk."""
        keep = {self._place(setting) for setting in settings}
        for place in self.folder.iterdir() if self.folder.is_dir() else ():
            if place not in keep:
                remove(place)

    def close(self) -> None:
        """Removes all bundles."""
        remove(self.folder)

    def _place(self, setting: Setting) -> Path:
        return self.folder / setting.key


def search(
    plan: Plan, log: Log, meter_over: Callable[[Bundle, Say], Meter], again: bool, say: Say, status: Say
) -> tuple[Found, Meter]:
    """All of it; ``say`` is told each result, ``status`` what is being done.

    What the log holds is part of it. With ``again`` nothing is searched beyond that, and the front is measured once
    more.

    Raises :class:`EdgeSegError` when the first point, to which all others are compared, or every point fails.
    """
    workshop = Workshop(plan)
    label = ""

    def detail(text: str) -> None:
        status(f"{label}: {text}" if label else text)

    meter = meter_over(workshop.bundle, detail)
    choices = {plan.space.setting(choice): choice for choice in plan.space}
    chosen = {choices[s]: point for s, point in log.points.items() if s in choices and meter.knows(point)}
    if again and not chosen:
        raise _nothing_timed(plan)
    failed: dict[Choice, str] = {}
    reference = plan.space.setting(plan.space.corners()[0])

    def values() -> dict[Choice, Value]:
        return {choice: Value(point.accuracy, meter.cost(point)) for choice, point in chosen.items()}

    with contextlib.closing(workshop):
        if chosen:
            say(f"{counted(len(chosen), 'point')} known from before")
        for point in chosen.values():
            meter.measure(point)
        while not again and len(chosen) + len(failed) < plan.most:
            known = values()
            choice = next_choice(plan.space, known, failed, plan.target)
            if choice is None:
                break
            setting = plan.space.setting(choice)
            label = f"{len(chosen) + len(failed) + 1} of at most {plan.most}: {setting.key}"
            try:
                chosen[choice] = _point(setting, log, workshop, meter, detail)
            except EdgeSegError as problem:
                if setting == reference:
                    raise
                failed[choice] = problem.message
                say(f"{label}: can't be made: {problem.message.splitlines()[0]}")
                continue
            point = chosen[choice]
            say(f"{label}: {_told(point)}, {meter.cost(point):.4g} {meter.unit}")
            ahead = _front_of([Placed(p, meter.cost(p)) for p in chosen.values()])
            workshop.keep_only({reference, *(p.point.setting for p in ahead)})
        label = ""
        dropped = _confirm(list(chosen.values()), meter)
        placed = tuple(Placed(point, meter.cost(point)) for point in chosen.values())
        steady = _front_of([p for p in placed if p.point.setting not in dropped])
        once_more = meter.again([p.point for p in steady]) if again and isinstance(meter, Measured) else None
    failures = {plan.space.setting(choice): why for choice, why in failed.items()}
    return Found(placed, tuple(steady), failures, dropped, once_more), meter


def _nothing_timed(plan: Plan) -> UsageError:
    """The error when there is nothing to be measured again."""
    return UsageError(
        f"--again: {plan.out} holds no point of these settings that was timed on so many threads",
        remedy="search first, or give the same options as in the search",
    )


def _point(setting: Setting, log: Log, workshop: Workshop, meter: Meter, status: Say) -> Point:
    point = log.points.get(setting)
    if point is None:
        status("converting and evaluating")
        point = workshop.make(setting)
        log.add_point(point)
    meter.measure(point)
    return point


def _confirm(points: list[Point], meter: Meter) -> dict[Setting, str]:
    """Measures the front again, and what comes to the front when a point falls, until all of it holds."""
    dropped: dict[Setting, str] = {}
    confirmed: set[Setting] = set()
    while True:
        ahead = _front_of([Placed(p, meter.cost(p)) for p in points if p.setting not in dropped])
        pending = [p.point for p in ahead if p.point.setting not in confirmed]
        if not pending:
            return dropped
        unsteady = meter.confirm(pending)
        dropped.update(unsteady)
        confirmed.update(p.setting for p in pending)


def _front_of(placed: list[Placed]) -> list[Placed]:
    ahead = front(Value(p.point.accuracy, p.cost) for p in placed)
    by_value = {Value(p.point.accuracy, p.cost): p for p in reversed(placed)}
    return [by_value[value] for value in ahead]


def _told(point: Point) -> str:
    return "nothing to find" if point.mask_map is None else f"mask mAP {point.mask_map:.3f}"
