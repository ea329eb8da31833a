"""``edge-seg tune`` from beginning to end: which images, point after point, the front measured in turns, the choice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.tune.log import Log, Subject
from convert.tune.meter import Bundle, Meter, Say
from convert.tune.search import Candidates, Value, front
from convert.tune.trial import Order, make_point
from edge_seg.data.coco import CocoDataset, ImageRecord
from edge_seg.errors import EdgeSegError
from edge_seg.files import check_replaceable, scratch_dir, sha256
from edge_seg.partial import discard
from edge_seg.train.run import Run, load_run
from edge_seg.tuning import Placed, Point, Setting
from edge_seg.words import counted

POINTS = "points.jsonl"
RUNS = "runs"
_BUNDLES = ".bundles"
TIMED = 4
"""Images that time is measured on."""


@dataclass(frozen=True)
class Plan:
    """What is to be searched. ``box_width`` is that of ``run``; ``most`` bounds the points that are tried."""

    run: Run
    data: Path
    dataset: CocoDataset
    records: tuple[ImageRecord, ...]
    candidates: Candidates
    box_width: int
    out: Path
    seed: int
    most: int
    command: str
    target: float | None = None


@dataclass(frozen=True)
class Found:
    """What the search came to. ``front``: the Pareto front, cheapest first."""

    placed: tuple[Placed, ...]
    front: tuple[Placed, ...]
    failures: dict[Setting, str]


def choose_images(dataset: CocoDataset, most: int, seed: int) -> tuple[ImageRecord, ...]:
    """At most so many images, drawn by ``seed``, in the dataset's order."""
    order = np.random.default_rng(seed).permutation(len(dataset.images))[:most]
    return tuple(dataset.images[index] for index in sorted(order.tolist()))


def choose_timed(records: tuple[ImageRecord, ...]) -> tuple[ImageRecord, ...]:
    """Images to measure time on: from those with few objects to those with many, evenly."""
    ordered = sorted(records, key=lambda record: (len(record.annotations), record.id))
    count = min(TIMED, len(ordered))
    return tuple(ordered[int((place + 0.5) * len(ordered) / count)] for place in range(count))


def open_log(plan: Plan) -> Log:
    """The search's log in ``plan.out``. Raises UsageError when that is a folder of other things."""
    check_replaceable(plan.out, POINTS)
    subject = Subject(
        weights_sha256=sha256(plan.run.weights),
        data_sha256=sha256(plan.dataset.coco_json),
        split="val",
        seed=plan.seed,
        images=tuple(record.id for record in plan.records),
        timed=tuple(record.path.name for record in choose_timed(plan.records)),
    )
    return Log(plan.out / POINTS, subject)


def box_widths(run: Run, out: Path) -> dict[str, int]:
    """Box head's width by the sha256 of the weights: of ``run``, and of its pruned runs in ``out``."""
    from edge_seg.models.build import box_width

    runs = [run, *(load_run(folder) for folder in sorted((out / RUNS).glob("box-*")))]
    return {sha256(one.weights): one.config.box_width or box_width(one.config.model) for one in runs}


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
                discard(place)

    def close(self) -> None:
        """Removes all bundles."""
        discard(self.folder)

    def _place(self, setting: Setting) -> Path:
        return self.folder / setting.key


def search(
    plan: Plan, log: Log, meter_over: Callable[[Bundle, Say], Meter], say: Say, status: Say
) -> tuple[Found, Meter]:
    """All of it; ``say`` is told each result, ``status`` what is being done. What the log holds is part of it.

    Raises :class:`EdgeSegError` when the first point, to which all others are compared, or every point fails.
    """
    workshop = Workshop(plan)
    label = ""

    def detail(text: str) -> None:
        status(f"{label}: {text}" if label else text)

    meter = meter_over(workshop.bundle, detail)
    candidates, reference = plan.candidates, plan.candidates.reference
    made = {s: point for s, point in log.points.items() if s in candidates and meter.knows(point)}
    failed: dict[Setting, str] = {}
    with contextlib.closing(workshop):
        if made:
            say(f"{counted(len(made), 'point')} known from before")
        for point in made.values():
            meter.measure(point)
        while len(made) + len(failed) < plan.most:
            values = {setting: Value(point.accuracy, meter.cost(point)) for setting, point in made.items()}
            setting = candidates.next(values, failed)
            if setting is None:
                break
            label = f"{len(made) + len(failed) + 1} of at most {min(plan.most, len(candidates))}: {setting.key}"
            try:
                made[setting] = _point(setting, log, workshop, meter, detail)
            except EdgeSegError as problem:
                if setting == reference:
                    raise
                failed[setting] = problem.message
                say(f"{label}: can't be made: {problem.message.splitlines()[0]}")
                continue
            point = made[setting]
            say(f"{label}: {_told(point)}, {meter.cost(point):.4g} {meter.unit}")
            ahead = _front([Placed(p, meter.cost(p)) for p in made.values()])
            workshop.keep_only({reference, *(p.point.setting for p in ahead)})
        label = ""
        placed, front = _settle(list(made.values()), meter)
    return Found(placed, front, failed), meter


def _settle(points: list[Point], meter: Meter) -> tuple[tuple[Placed, ...], tuple[Placed, ...]]:
    """All points with their costs, and the front, of which every point has all its measurements."""
    while True:
        placed = [Placed(point, meter.cost(point), meter.spread(point)) for point in points]
        front = _front(placed)
        if all(meter.settled(p.point) for p in front):
            return tuple(placed), tuple(front)
        # What is measured may move: then others come to the front, and get their measurements in turn.
        meter.settle([p.point for p in front])


def _point(setting: Setting, log: Log, workshop: Workshop, meter: Meter, status: Say) -> Point:
    point = log.points.get(setting)
    if point is None:
        status("converting and evaluating")
        point = workshop.make(setting)
        log.add_point(point)
    meter.measure(point)
    return point


def _front(placed: list[Placed]) -> list[Placed]:
    ahead = front(Value(p.point.accuracy, p.cost) for p in placed)
    by_value = {Value(p.point.accuracy, p.cost): p for p in reversed(placed)}
    return [by_value[value] for value in ahead]


def _told(point: Point) -> str:
    return "nothing to find" if point.mask_map is None else f"mask mAP {point.mask_map:.3f}"
