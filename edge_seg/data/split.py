"""Divides images into splits: by share, with every class in each split as far as that goes, groups kept together."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edge_seg.data.dataset import CocoDataset, ImageRecord
from edge_seg.errors import DataError, UsageError
from edge_seg.words import counted

Group = Callable[[ImageRecord], str]


def shares(val: float, test: float = 0.0) -> dict[str, float]:
    """The share of each split; raises :class:`UsageError` when nothing would be left for train."""
    if not 0 < val < 1:
        raise UsageError(f"validation fraction {val}: expected a number between 0 and 1")
    if not 0 <= test < 1 or val + test >= 1:
        raise UsageError(f"fractions {val} and {test}: expected less than 1 together, the rest is for training")
    return {"train": 1 - val - test, "val": val, **({"test": test} if test else {})}


def group_by(pattern: str) -> Group:
    """Images whose names agree in what ``pattern``, a regular expression, matches (its first group, if it has one).

    An image whose name doesn't match is a group of its own. Raises :class:`UsageError` for a bad expression.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as problem:
        raise UsageError(f"--group {pattern!r}: not a regular expression: {problem}") from None

    def group(record: ImageRecord) -> str:
        match = compiled.search(record.path.name)
        if match is None:
            return f"image {record.path}"
        return f"group {match[1] if compiled.groups else match[0]}"

    return group


def divide(
    dataset: CocoDataset,
    parts: Mapping[str, float],
    seed: int,
    *,
    balance: bool = True,
    group: Group | None = None,
) -> dict[str, CocoDataset]:
    """``dataset`` in parts of these shares, each with at least one image; the same seed divides the same way.

    With ``balance``, classes are shared out like the images, the rarest first (iterative stratification, Sechidis et
    al. 2011); without, images are drawn at random. Images of one ``group`` stay together. Raises :class:`DataError`
    when there are fewer images or groups than parts.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for place, record in enumerate(dataset.images):
        groups[group(record) if group is not None else str(place)].append(place)
    if len(groups) < len(parts):
        what = ("image", "") if group is None else ("group of images", "groups of images")
        raise DataError(
            f"{dataset.coco_json}: {counted(len(groups), *what)}; at least {len(parts)} are needed, one for each of "
            f"{', '.join(parts)}",
            remedy="annotate more images",
        )
    members = list(groups.values())
    order = np.random.default_rng(seed).permutation(len(members)).tolist()
    counts = [Counter(a.label for place in m for a in dataset.images[place].annotations) for m in members]
    chosen = _stratify(members, counts if balance else [Counter() for _ in members], order, parts)
    for name in parts:
        if name not in chosen:  # a small share of few groups: the largest split gives one
            fullest = max(parts, key=chosen.count)
            chosen[max(n for n, split in enumerate(chosen) if split == fullest)] = name
    place_of = {place: split for m, split in zip(members, chosen, strict=True) for place in m}
    return {
        name: replace(
            dataset, images=tuple(r for n, r in enumerate(dataset.images) if place_of[n] == name), findings=()
        )
        for name in parts
    }


def _stratify(
    members: Sequence[Sequence[int]], counts: Sequence[Counter[int]], order: Sequence[int], parts: Mapping[str, float]
) -> list[str]:
    """The split of each group: for the rarest class left, a group goes where that class is lacking most."""
    total: Counter[int] = Counter()
    for count in counts:
        total.update(count)
    lacking = {name: {label: share * number for label, number in total.items()} for name, share in parts.items()}
    room = {name: share * sum(map(len, members)) for name, share in parts.items()}
    chosen = [""] * len(members)
    holding: dict[int, list[int]] = {label: [n for n in order if counts[n][label]] for label in total}
    for label in sorted(total, key=lambda one: (total[one], one)):
        for number in holding[label]:
            if not chosen[number]:
                need = lacking
                chosen[number] = max(parts, key=lambda name: (need[name][label], room[name]))
                _take(chosen[number], members[number], counts[number], lacking, room)
    for number in order:
        if not chosen[number]:
            chosen[number] = max(parts, key=lambda name: room[name])
            _take(chosen[number], members[number], counts[number], lacking, room)
    return chosen


def _take(
    name: str, images: Sequence[int], count: Counter[int], lacking: dict[str, dict[int, float]], room: dict[str, float]
) -> None:
    room[name] -= len(images)
    for label, number in count.items():
        lacking[name][label] -= number


def counts_of(splits: Mapping[str, CocoDataset]) -> dict[str, Any]:
    """What each split holds, and the classes: for the command line."""
    held: dict[str, Any] = {
        name: {"images": len(one), "instances": sum(len(record.annotations) for record in one.images)}
        for name, one in splits.items()
    }
    return {**held, "classes": list(next(iter(splits.values())).classes)}
