"""Which record stands for a device, a model and a set of conditions.

A cell holds one record: of the records of one device and set of conditions the valid ones come before others, then the
newest of each number of threads, then the number of threads with the lowest model time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.table import Devices, conditions, conditions_in_words, groups, how, when
from edge_seg.records.record import TOTAL, Record
from edge_seg.zoo import ZOO


@dataclass(frozen=True)
class Conditions:
    """A row of the matrix: a recipe and what must be the same for two times to be compared.

    ``objects`` None: as they were found. ``text`` names them all where rows of one model differ in more than size and
    objects; ``key`` is what they are compared by.
    """

    model: str
    recipe: str
    size: tuple[int, int]
    objects: int | None
    text: str
    key: Hashable = dataclasses.field(repr=False)

    @property
    def title(self) -> str:
        """The model's name for people."""
        return ZOO[self.model].title if self.model in ZOO else self.model


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
    rows = _rows(records)
    for place, same in groups(records, lambda one: (rows[_row_key(one)], devices.name(one))).items():
        trusted = [one for one in same if one.verdict.status == "valid"] or same
        lasts = [newest(alike) for alike in groups(trusted, how).values()]
        cells[place] = min(lasts, key=lambda one: one.model_ms().median)
    order = list(ZOO)
    ordered = sorted(
        rows.values(),
        key=lambda row: (
            order.index(row.model) if row.model in order else len(order),
            row.model, row.size, row.objects or 0, row.text, row.recipe,
        ),
    )  # fmt: skip
    return Matrix(tuple(dict.fromkeys(map(devices.name, records))), tuple(ordered), cells)


def _row_key(record: Record) -> tuple[Hashable, ...]:
    return record.bundle.recipe, conditions(record)


def _rows(records: Sequence[Record]) -> dict[Hashable, Conditions]:
    firsts = [same[0] for same in groups(records, conditions).values()]
    words = dict(zip(map(conditions, firsts), conditions_in_words(firsts), strict=True))
    return {
        _row_key(one): Conditions(
            one.bundle.model,
            one.bundle.recipe,
            one.bundle.size,
            one.scenario.instances,
            words[conditions(one)],
            _row_key(one),
        )
        for one in records
    }


def as_json(records: Sequence[Record]) -> dict[str, Any]:
    """The matrix as plain values: times in ms, mAP from 0 to 1 or None, the record's id and verdict."""
    matrix = make_matrix(records)
    cells = []
    for (row, device), record in matrix.cells.items():
        cells.append(
            {
                **{name: getattr(row, name) for name in ("model", "recipe", "size", "objects", "text")},
                "device": device,
                "record": record.id,
                "threads": record.scenario.threads,
                "model_ms": dataclasses.asdict(record.model_ms()),
                "model_ms_interval": dataclasses.asdict(record.model_interval()),
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
    return max(enumerate(records), key=lambda item: (when(item[1]), item[0]))[1]
