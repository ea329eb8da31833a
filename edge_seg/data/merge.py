"""Several data sets → one, with the classes matched by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edge_seg.data.dataset import CocoDataset, ImageRecord


def merge(sets: Sequence[Mapping[str, CocoDataset]]) -> dict[str, CocoDataset]:
    """All sets as one, split by split; classes are matched by name, in the order in which they turn up.

    Images are numbered anew. An undivided set ("all") may only be merged with such sets; see :func:`combine`.
    """
    names: dict[str, int] = {}
    for one in sets:
        for dataset in one.values():
            for name in dataset.classes:
                names.setdefault(name, len(names))
    merged: dict[str, CocoDataset] = {}
    number = 0
    for split in dict.fromkeys(split for one in sets for split in one):
        images: list[ImageRecord] = []
        file = Path()
        for one in sets:
            if split not in one:
                continue
            dataset = one[split]
            file = dataset.coco_json
            labels = [names[name] for name in dataset.classes]
            for record in dataset.images:
                number += 1
                annotations = tuple(replace(a, label=labels[a.label]) for a in record.annotations)
                images.append(replace(record, id=number, annotations=annotations))
        merged[split] = CocoDataset(file, tuple(images), tuple(names), tuple(range(1, len(names) + 1)))
    return merged


def combine(splits: Mapping[str, CocoDataset]) -> CocoDataset:
    """All splits of one data set as one."""
    return merge([{"all": dataset} for dataset in splits.values()])["all"]
