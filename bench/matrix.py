"""Which record stands for a device, a model and a set of conditions.

A cell holds one record: of the records of one device and set of conditions the valid ones come before others, then the
newest of each number of threads, then the number of threads with the lowest model time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from bench.table import Devices
from edge_seg.records.record import TOTAL, Record
from edge_seg.zoo import ZOO

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Conditions:
    """A row of the matrix: what must be the same for two times to be compared. ``objects`` None: as they were found."""

    model: str
    recipe: str
    size: tuple[int, int]
    objects: int | None
    weights: str

    @staticmethod
    def of(record: Record) -> Conditions:
        """A record's conditions."""
        bundle = record.bundle
        weights = str(bundle.source.get("weights_sha256", bundle.name))
        return Conditions(bundle.model, bundle.recipe, bundle.size, record.scenario.instances, weights)

    @property
    def title(self) -> str:
        """The model's name for people."""
        return ZOO[self.model].title if self.model in ZOO else self.model

    @property
    def text(self) -> str:
        """Size and objects."""
        objects = "objects as found" if self.objects is None else f"{self.objects} objects"
        return f"{self.size[0]} × {self.size[1]}, {objects}"


@dataclass(frozen=True)
class Matrix:
    """``cells`` holds a record for each pair of conditions and device that has one."""

    devices: tuple[str, ...]
    rows: tuple[Conditions, ...]
    cells: dict[tuple[Conditions, str], Record]


def make_matrix(records: Sequence[Record]) -> Matrix:
    """The best record for each device and each set of conditions."""
    devices = Devices(records)
    cells: dict[tuple[Conditions, str], Record] = {}
    for place, same in groups(records, lambda one: (Conditions.of(one), devices.name(one))).items():
        trusted = [one for one in same if one.verdict.status == "valid"] or same
        lasts = [newest(alike) for alike in groups(trusted, lambda one: one.scenario.threads).values()]
        cells[place] = min(lasts, key=lambda one: one.model_ms().median)
    order = list(ZOO)
    rows = sorted(
        {row for row, _ in cells},
        key=lambda row: (
            order.index(row.model) if row.model in order else len(order),
            row.model, row.size, row.objects or 0, row.recipe, row.weights,
        ),
    )  # fmt: skip
    return Matrix(tuple(dict.fromkeys(map(devices.name, records))), tuple(rows), cells)


def as_json(records: Sequence[Record]) -> dict[str, Any]:
    """The matrix as plain values: times in ms, mAP from 0 to 1 or None, the record's id and verdict."""
    matrix = make_matrix(records)
    cells = []
    for (row, device), record in matrix.cells.items():
        cells.append(
            {
                **{name: value for name, value in dataclasses.asdict(row).items() if name != "weights"},
                "device": device,
                "record": record.id,
                "threads": record.scenario.threads,
                "model_ms": dataclasses.asdict(record.model_ms()),
                "end_to_end_ms": dataclasses.asdict(record.stage_ms(TOTAL)),
                "box_map": accuracy(record, "box_map"),
                "mask_map": accuracy(record, "mask_map"),
                "verdict": record.verdict.status,
            }
        )
    return {"devices": list(matrix.devices), "records": len(records), "cells": cells}


def accuracy(record: Record, name: str) -> float | None:
    """``box_map`` or ``mask_map`` of the bundle, 0 to 1, as its training measured it; None where that isn't known.

    The training's isn't the bundle's own where its precision changes the accuracy.
    """
    metrics = record.bundle.source.get("metrics")
    own = not record.bundle.random_weights and record.bundle.precision == "fp32"
    value = metrics.get(name) if isinstance(metrics, dict) and own else None
    return value if isinstance(value, float) else None


def newest(records: Sequence[Record]) -> Record:
    """The last by time; of equal times the one that stands later in the file."""
    return max(enumerate(records), key=lambda item: (item[1].time, item[0]))[1]


def groups(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """The items by ``key``, in their order."""
    found: dict[Key, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found
