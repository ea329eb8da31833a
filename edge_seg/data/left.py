"""What is left to train on once crowds, and what is too small at the network's size, are taken away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_seg.data.dataset import CocoDataset, ImageRecord
from edge_seg.data.findings import ERROR, WARNING, Findings
from edge_seg.data.transforms import LEAST_SIDE, letterbox, short_side
from edge_seg.words import counted

FEW = 10
"""Fewer objects of a class than this teach little; a training on them is warned of, not refused."""
SMALL = (1, 4, 16)
"""Objects are counted whose shorter side is less than so many pixels of the network's input."""

Fit = Callable[[ImageRecord], tuple[int, int]]
"""An image → its (height, width) as the network gets it."""


@dataclass(frozen=True)
class Left:
    """``per_class``: objects that are trained on, by class; ``vanished`` have a side under ``LEAST_SIDE`` pixels.

    ``under`` counts objects whose shorter side is less than 1, 4 and 16 pixels at the network's size, crowds apart;
    ``sides`` are these sides, in pixels.
    """

    per_class: dict[str, int]
    vanished: dict[str, int]
    crowds: int
    under: dict[int, int]
    sides: list[float]

    @property
    def total(self) -> int:
        return sum(self.per_class.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "instances_left": self.total,
            "left_per_class": self.per_class,
            "vanished_per_class": self.vanished,
            "instances_under_pixels": {str(side): count for side, count in self.under.items()},
        }


def fitted(size: tuple[int, int], short_sides: tuple[int, ...] = (), long_side: int = 1333) -> Fit:
    """How images are scaled in training: fitted into ``size`` (H, W), or by the largest of ``short_sides``."""
    if short_sides:
        return lambda record: short_side(record, max(short_sides), long_side)
    return lambda record: letterbox(record, size)


def count_left(dataset: CocoDataset, fit: Fit) -> Left:
    """Counts the objects of a split at the network's size."""
    # By name: two categories may have one, which is told elsewhere.
    kept: Counter[str] = Counter()
    vanished: Counter[str] = Counter()
    crowds = 0
    sides = []
    for record in dataset.images:
        height, width = fit(record)
        across, down = width / record.width, height / record.height
        for a in record.annotations:
            if a.crowd:
                crowds += 1
                continue
            side = min((a.box[2] - a.box[0]) * across, (a.box[3] - a.box[1]) * down)
            sides.append(side)
            (kept if side >= LEAST_SIDE else vanished)[dataset.classes[a.label]] += 1
    return Left(
        per_class={name: kept[name] for name in dataset.classes},
        vanished={name: vanished[name] for name in dataset.classes if vanished[name]},
        crowds=crowds,
        under={limit: sum(side < limit for side in sides) for limit in SMALL},
        sides=sides,
    )


def judge(split: str, dataset: CocoDataset, left: Left, size: str, findings: Findings) -> None:
    """Adds to ``findings`` what a training on this must know: nothing left is an error, little is a warning."""
    file = dataset.coco_json
    objects = left.total + sum(left.vanished.values())
    if left.vanished:
        per_class = ", ".join(f"{count} {name}" for name, count in left.vanished.items())
        many = "all" if not left.total else str(sum(left.vanished.values()))
        few = f"{many} of {counted(objects, 'object')} of {split}"
        text = f"{few} have a side under {LEAST_SIDE:g} pixel at {size}: {per_class}"
        findings.add("vanish", file, "", text)
    if left.crowds and split == "train":
        findings.add("crowd", file, "", f"{left.crowds} of {counted(objects + left.crowds, 'object')} of {split}")
    if split == "val" and not objects:
        findings.add("val-empty", file, "", counted(len(dataset), "image"))
    if split != "train":
        return
    if not left.total:
        why = [f"{left.crowds} are crowds"] * bool(left.crowds)
        why += [f"{sum(left.vanished.values())} vanish at {size}"] * bool(left.vanished)
        text = f"no object is left of {objects + left.crowds} in {counted(len(dataset), 'image')}"
        if not objects + left.crowds:
            held = f"{counted(len(dataset), 'image')} without an object" if len(dataset) else "no image"
            text = f"{held} that can be used"
        findings.add("nothing-left", file, "", f"{text}{': ' if why else ''}{', '.join(why)}")
        return
    annotated = Counter(a.label for record in dataset.images for a in record.annotations)
    for label, name in enumerate(dataset.classes):
        count = left.per_class[name]
        if not annotated[label]:
            findings.add("category-empty", file, f"class {name!r}", "no object has it")
        elif count < FEW:
            findings.add("few", file, f"class {name!r}", f"{counted(count, 'object')} to train on at {size}")


def before_training(train: CocoDataset, val: CocoDataset, fit: Fit, input_size: tuple[int, int]) -> list[str]:
    """The warnings that a training on these splits begins with; ``input_size`` (H, W) is named in them.

    Raises :class:`DataError` when nothing is left to train on.
    """
    size = f"{input_size[0]}x{input_size[1]}"
    findings = Findings()
    findings.extend((*train.findings, *val.findings))
    left = {}
    for split, dataset in (("train", train), ("val", val)):
        left[split] = count_left(dataset, fit)
        judge(split, dataset, left[split], size, findings)
    if any(finding.severity == ERROR for finding in findings):
        findings.refuse()
    under = ", ".join(f"{count} under {side}" for side, count in left["train"].under.items() if count)
    more = "`edge-seg data check --json` lists all"
    lines = []
    for group in findings.groups(WARNING):
        first, *rest = group.lines(2, more)
        lines += [f"Warning: {first}", *rest]
    per_class = ", ".join(f"{count} {name}" for name, count in left["train"].per_class.items())
    return [*lines, f"to train on: {per_class}{f'; shorter side in pixels at {size}: {under}' if under else ''}"]
