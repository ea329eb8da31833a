"""The speed table: the columns of the published one, each measured cell with its records, each "-" with its reason.

Which record fills a speed cell: only ``valid`` ones count, never degraded or emulated ones. Records belong to one row
when model, weights, input size, proposals, pictures and number of objects are the same (the cost depends on all of
these); to one column by the kind of machine. Of one machine, recipe and number of threads the newest record counts; of
the numbers of threads the one with the lowest model time. What is left, one for each machine and recipe, stands in the
cell.

Published figures are others' figures: they stand in rows of their own, marked as cited, and never mix with ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.report import with_spread
from edge_seg.records.record import TOTAL, Record
from edge_seg.zoo import ZOO, ZooModel

COLUMNS = {
    "map": "Box/Seg mAP",
    "size": "Size",
    "gpu": "GPU speed",
    "arm": "Arm speed",
    "x86": "x86 speed",
}
SPEEDS = {"gpu": "a GPU", "arm": "an Arm board", "x86": "an x86 machine"}
"""Speed columns, and what a record for them comes from."""


@dataclass(frozen=True)
class Cell:
    """A cell: its lines (none = "-"), the records they come from, and a note (the reason of a "-", or a source)."""

    lines: tuple[str, ...] = ()
    records: tuple[Record, ...] = ()
    note: str | None = None


@dataclass(frozen=True)
class Row:
    """A row: published figures (``cited``) or measured ones of one model under one set of conditions."""

    model: str
    title: str
    conditions: str
    cited: bool
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Table:
    """The rows, in the zoo's order of models."""

    rows: tuple[Row, ...]


def make_table(records: Sequence[Record]) -> Table:
    """The table of these records and of the zoo's published figures."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(_conditions(record), []).append(record)
    measured = [_measured_row(group) for _, group in sorted(groups.items(), key=lambda item: _order(item[1][0]))]
    names = list(dict.fromkeys([*ZOO, *(row.model for row in measured)]))
    rows: list[Row] = []
    for name in names:
        if name in ZOO and ZOO[name].published is not None:
            rows.append(_published_row(ZOO[name]))
        rows += [row for row in measured if row.model == name]
    return Table(tuple(rows))


def _published_row(model: ZooModel) -> Row:
    figures = model.published
    assert figures is not None
    source = f"cited, not measured here: {figures.source}. {figures.note}"
    none = "the cited page gives no figure"
    cells = {
        "map": Cell((f"{figures.box_map} / {figures.mask_map}",), note=source),
        "size": Cell((f"{figures.size_mb} MB",), note=source),
        "gpu": Cell(note=none) if figures.gpu_ms is None else Cell((f"{figures.gpu_ms} ms",), note=source),
        "arm": Cell(note=none),
        "x86": Cell(note=none),
    }
    return Row(model.name, model.title, "published (cited)", True, cells)


def _conditions(record: Record) -> tuple[Any, ...]:
    bundle, scenario = record.bundle, record.scenario
    pictures = tuple(picture.sha256 for picture in scenario.images)
    found = None if scenario.instances is not None else (bundle.keep, bundle.score_threshold)
    return bundle.model, _weights(record), bundle.size, bundle.proposals, pictures, scenario.instances, found


def _weights(record: Record) -> str:
    """What tells one training from another: the weights' hash where the bundle names it."""
    return str(record.bundle.source.get("weights_sha256", record.bundle.name))


def _order(record: Record) -> tuple[Any, ...]:
    height, width = record.bundle.size
    return height * width, record.scenario.instances or -1, record.time


def _measured_row(group: list[Record]) -> Row:
    first = group[0]
    height, width = first.bundle.size
    pictures = first.scenario.images
    where = pictures[0].name if len(pictures) == 1 else f"{len(pictures)} pictures"
    count = first.scenario.instances
    objects = f"objects as found in {where}" if count is None else f"{count} objects in {where}"
    weights = ", random weights" if first.bundle.random_weights else ""
    cells = {"map": _map_cell(group), "size": _size_cell(group)}
    for column in SPEEDS:
        cells[column] = _speed_cell(column, [record for record in group if _column(record) == column])
    title = ZOO[first.bundle.model].title if first.bundle.model in ZOO else first.bundle.model
    return Row(first.bundle.model, title, f"{height}x{width}, {objects}{weights}", False, cells)


def _map_cell(group: list[Record]) -> Cell:
    newest = _newest(group)
    if newest.bundle.random_weights:
        return Cell(note="random weights: a model that has learned nothing has no mAP")
    metrics = newest.bundle.source.get("metrics")
    if not isinstance(metrics, dict) or not all(isinstance(metrics.get(key), float) for key in ("box_map", "mask_map")):
        return Cell(note="the bundle's manifest holds no mAP: its training measured none")
    text = f"{100 * metrics['box_map']:.1f} / {100 * metrics['mask_map']:.1f} [{newest.id}]"
    return Cell((text,), (newest,), "measured by the training on its own validation pictures")


def _size_cell(group: list[Record]) -> Cell:
    newest = [_newest(same) for same in _split(group, lambda record: (record.bundle.recipe,))]
    lines = tuple(
        f"{record.bundle.model_bytes / 1e6:.1f} MB `{record.bundle.recipe}` [{record.id}]" for record in newest
    )
    return Cell(lines, tuple(newest))


def _column(record: Record) -> str | None:
    if record.bundle.target.startswith("gpu"):
        return "gpu"
    if record.machine.is_arm or (record.machine.arch is None and record.bundle.target == "arm"):
        return "arm"
    if record.machine.is_x86 or (record.machine.arch is None and record.bundle.target == "x86"):
        return "x86"
    return None


def _speed_cell(column: str, records: list[Record]) -> Cell:
    if not records:
        return Cell(note=f"no record from {SPEEDS[column]}")
    valid = [record for record in records if record.verdict.status == "valid"]
    if not valid:
        newest = _newest(records)
        why = "; ".join(reason.message for reason in newest.verdict.reasons)
        return Cell(note=f"no valid record; the newest, {newest.id}, is {newest.verdict.status}: {why}")
    chosen = []
    for alike in _split(valid, lambda record: (record.machine.title, record.machine.cores, record.bundle.recipe)):
        newest_of_threads = [_newest(same) for same in _split(alike, lambda record: (record.scenario.threads,))]
        chosen.append(min(newest_of_threads, key=lambda record: record.model_ms().median))
    chosen.sort(key=lambda record: record.model_ms().median)
    return Cell(tuple(_speed_line(record) for record in chosen), tuple(chosen))


def _speed_line(record: Record) -> str:
    threads = record.scenario.threads
    return (
        f"{with_spread(record.model_ms())} / {with_spread(record.stage_ms(TOTAL))}, `{record.bundle.recipe}`, "
        f"{threads} thread{'s' * (threads != 1)} [{record.id}]"
    )


def _newest(records: Iterable[Record]) -> Record:
    """The last by time; of equal times the one that stands later in the file."""
    chosen = None
    for record in records:
        if chosen is None or record.time >= chosen.time:
            chosen = record
    assert chosen is not None
    return chosen


def _split(records: Iterable[Record], key: Callable[[Record], tuple[Any, ...]]) -> list[list[Record]]:
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return list(groups.values())


def markdown(table: Table) -> str:
    """The table, its notes, and a line for each record that fills a cell."""
    notes: dict[str, int] = {}
    lines = [f"| {' | '.join(['Model', *COLUMNS.values()])} |", f"|{' --- |' * (1 + len(COLUMNS))}"]
    for row in table.rows:
        cells = [_escape(f"{row.title}<br>{row.conditions}")]
        for column in COLUMNS:
            cell = row.cells[column]
            mark = f" <sup>{notes.setdefault(cell.note, len(notes) + 1)}</sup>" if cell.note else ""
            cells.append(_escape("<br>".join(cell.lines) or "-") + mark)
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Measured speed cells: model time (detect + NMS + mask) / end to end (with pre- and post-processing, without "
        "decoding the file), one picture at a time; median ± half the middle half's width; [record].",
        "",
    ]
    lines += [f"{number}. {_escape(note)}" for note, number in notes.items()]
    used = {record.id: record for row in table.rows for cell in row.cells.values() for record in cell.records}
    if used:
        lines += ["", "Records:", ""]
        lines += [f"- `{record.id}`: {_escape(_origin(record))}" for record in used.values()]
    return "\n".join(lines) + "\n"


def _origin(record: Record) -> str:
    machine = record.machine
    parts = [
        machine.title,
        machine.cpu if machine.cpu not in (None, machine.title) else None,
        f"{machine.cores} cores" if machine.cores else None,
        f"{machine.memory_bytes / 2**30:.1f} GiB" if machine.memory_bytes else None,
        machine.os,
        f"{record.bundle.engine} {record.bundle.engine_version}",
        f"{record.objects():.3g} objects a picture",
        f"{record.model_ms().runs} runs a picture",
        record.time,
    ]
    return ", ".join(part for part in parts if part)


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def as_json_value(table: Table) -> dict[str, Any]:
    """The table as plain values: speeds in ms as numbers, ids of records, reasons."""
    rows = []
    for row in table.rows:
        plain: dict[str, Any] = {
            "model": row.model,
            "title": row.title,
            "conditions": row.conditions,
            "cited": row.cited,
        }
        for column in COLUMNS:
            cell = row.cells[column]
            plain[column] = {
                "text": list(cell.lines),
                "records": [_json_record(record) if column in SPEEDS else record.id for record in cell.records],
                "note": cell.note,
            }
        rows.append(plain)
    return {"columns": COLUMNS, "rows": rows}


def _json_record(record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "machine": record.machine.title,
        "recipe": record.bundle.recipe,
        "threads": record.scenario.threads,
        "objects": record.objects(),
        "model_ms": dataclasses.asdict(record.model_ms()),
        "end_to_end_ms": dataclasses.asdict(record.stage_ms(TOTAL)),
    }
