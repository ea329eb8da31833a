"""The speed table: the columns of the published one, each measured cell with its device, each "-" with its reason.

Which record fills a speed cell: one whose samples and machine states are ``valid`` by today's rules (whatever the
record says of itself); others only where they are asked for, and then marked. Records belong to one row when model,
weights, precision, input size, proposals, images and number of objects are the same (the cost and the accuracy depend
on all of these); to one column by the kind of machine. Of one device, recipe, number of threads and choice of cores the
newest record counts; of the numbers of threads and cores the one with the lowest model time. What is left, one for each
device and recipe, stands in the cell.

Published figures are others' figures: they stand in rows of their own, marked as cited, and never mix with ours.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from bench.cost import Cost
from bench.report import with_spread
from bench.verdict import trusted
from edge_seg.records.record import TOTAL, Record, Verdict
from edge_seg.targets.protocol import clean
from edge_seg.words import counted
from edge_seg.zoo import ZOO, ZooModel

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)

COLUMNS = {
    "map": "Box/Seg mAP",
    "size": "Size",
    "gpu": "GPU speed",
    "arm": "Arm speed",
    "x86": "x86 speed",
}
COST = "Arm instructions (emulated)"
SPEEDS = {
    "gpu": "no record from a GPU; `edge-seg convert RUN --recipe gpu-fp32 --out BUNDLE` and `edge-seg bench run BUNDLE`"
    " on a machine with one make it",
    "arm": "no record from an Arm board; `edge-seg bench run BUNDLE --on ssh://USER@BOARD` with a bundle of arm-fp32"
    " makes one",
    "x86": "no record from an x86 machine; `edge-seg bench run BUNDLE` on one makes it",
}
"""Speed columns, and why they are empty without a record."""


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
    """The rows, in the zoo's order of models; ``columns`` are the titles by key."""

    rows: tuple[Row, ...]
    columns: dict[str, str]


def make_table(records: Sequence[Record], *, show_degraded: bool = False, costs: Sequence[Cost] = ()) -> Table:
    """The table of these records and of the zoo's published figures.

    With ``show_degraded``, a cell without a valid record shows the newest others, marked. ``costs`` add a column.
    """
    devices = Devices(records)
    ordered = sorted(groups(records, conditions).values(), key=lambda group: _order(group[0]))
    measured = [
        dataclasses.replace(_measured_row(group, devices, show_degraded, costs), conditions=words)
        for group, words in zip(ordered, conditions_in_words([group[0] for group in ordered]), strict=True)
    ]
    names = list(dict.fromkeys([*ZOO, *(row.model for row in measured)]))
    rows: list[Row] = []
    for name in names:
        if name in ZOO and ZOO[name].published is not None:
            rows.append(_published_row(ZOO[name], bool(costs)))
        rows += [row for row in measured if row.model == name]
    return Table(tuple(rows), {**COLUMNS, "cost": COST} if costs else COLUMNS)


class Devices:
    """Names of the records' devices: the board or processor, with its own name or a number where several are alike."""

    def __init__(self, records: Iterable[Record]) -> None:
        names: dict[str, dict[tuple[Any, ...], str | None]] = {}
        for record in sorted(records, key=when):
            names.setdefault(_title(record), {}).setdefault(self.key(record), record.board)
        self._names: dict[tuple[Any, ...], str] = {}
        for title, alike in names.items():
            own = list(alike.values())
            for number, (key, board) in enumerate(alike.items(), 1):
                told = board if board and own.count(board) == 1 else f"no. {number}"
                self._names[key] = title if len(alike) == 1 else f"{title} ({told})"

    @staticmethod
    def key(record: Record) -> tuple[Any, ...]:
        """The same for records of one device only."""
        machine = record.machine
        return _title(record), machine.cores, machine.identity

    def name(self, record: Record) -> str:
        """What the record's device is called."""
        return self._names[self.key(record)]


def gpu_of(record: Record) -> dict[str, str]:
    """What the driver showed of the GPU that ran the bundle, by the driver's names; empty for other records."""
    engine = record.load.get("engine")
    shown = engine.get("gpu") if isinstance(engine, dict) else None
    if not record.bundle.target.startswith("gpu") or not isinstance(shown, dict):
        return {}
    return {clean(name, 40): clean(value, 80) for name, value in list(shown.items())[:20]}


def _title(record: Record) -> str:
    """The device's name: the GPU's where one ran the bundle."""
    return gpu_of(record).get("name") or record.machine.title


def _published_row(model: ZooModel, with_cost: bool) -> Row:
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
        **({"cost": Cell(note=none)} if with_cost else {}),
    }
    return Row(model.name, model.title, "published (cited)", True, cells)


def conditions(record: Record) -> tuple[Any, ...]:
    """What must be the same for two times to stand in one row."""
    bundle, scenario = record.bundle, record.scenario
    images = tuple(image.sha256 for image in scenario.images)
    found = None if scenario.instances is not None else (bundle.keep, bundle.score_threshold)
    exact = bundle.precision == "fp32"
    return (
        bundle.model,
        _weights(record),
        "" if exact else bundle.precision,
        bundle.size,
        bundle.proposals,
        images,
        scenario.instances,
        found,
    )


def _weights(record: Record) -> str:
    """What tells one training from another: the weights' hash where the bundle names it.

    Random weights are alike where the number of objects is fixed: then nothing depends on their values.
    """
    if record.bundle.random_weights and record.scenario.instances is not None:
        return "random"
    return str(record.bundle.source.get("weights_sha256", record.bundle.name))


def _order(record: Record) -> tuple[Any, ...]:
    height, width = record.bundle.size
    return height * width, record.scenario.instances or -1, record.bundle.precision != "fp32", when(record)


def when(record: Record) -> datetime.datetime:
    """The record's time; of one that can't be read, the earliest."""
    try:
        time = datetime.datetime.fromisoformat(record.time.replace("Z", "+00:00"))
        return time if time.tzinfo else time.replace(tzinfo=datetime.timezone.utc)
    except (ValueError, OverflowError):
        return datetime.datetime.min.replace(tzinfo=datetime.timezone.utc)


def _measured_row(group: list[Record], devices: Devices, show_degraded: bool, costs: Sequence[Cost]) -> Row:
    first = group[0]
    cells = {"map": _map_cell(group), "size": _size_cell(group)}
    for column in SPEEDS:
        those = [record for record in group if _column(record) == column]
        cells[column] = _speed_cell(column, those, devices, show_degraded)
    if costs:
        cells["cost"] = _cost_cell(first, costs)
    title = ZOO[first.bundle.model].title if first.bundle.model in ZOO else first.bundle.model
    return Row(first.bundle.model, title, "", False, cells)


def conditions_in_words(records: Sequence[Record]) -> list[str]:
    """Of records of different conditions what tells them apart, for people: hashes say nothing to them.

    Where size, objects, image, precision and random weights aren't enough, the others that differ are named.
    """
    words = [_words(record) for record in records]
    for telling in _TELLING:
        for alike in groups(range(len(records)), lambda index: (records[index].bundle.model, words[index])).values():
            told = [telling(records[index]) for index in alike]
            if len(set(told)) > 1:
                for index, text in zip(alike, told, strict=True):
                    words[index] += f", {text}"
    for alike in groups(range(len(records)), lambda index: (records[index].bundle.model, words[index])).values():
        if len(alike) > 1:
            for number, index in enumerate(alike, 1):
                words[index] += f", weights or images no. {number}"
    return words


def counted_objects(count: float) -> str:
    """``1 object``, ``20 objects``, ``7.5 objects``."""
    return f"{count:.3g} object{'s' * (count != 1)}"


def _words(record: Record) -> str:
    height, width = record.bundle.size
    images = record.scenario.images
    where = images[0].name if len(images) == 1 else f"{len(images)} images"
    count = record.scenario.instances
    objects = f"objects as found in {where}" if count is None else f"{counted_objects(count)} in {where}"
    precision = "" if record.bundle.precision == "fp32" else f", {record.bundle.precision}"
    weights = ", random weights" if record.bundle.random_weights else ""
    return f"{height}x{width}, {objects}{precision}{weights}"


_TELLING: tuple[Callable[[Record], str], ...] = (
    lambda record: f"{record.bundle.proposals} proposals",
    lambda record: f"up to {record.bundle.keep} above {record.bundle.score_threshold:g}",
    lambda record: f"{record.bundle.name} ({record.bundle.classes} classes)",
    lambda record: "image of " + " and ".join(f"{one.width}x{one.height}" for one in record.scenario.images[:3]),
)
"""What else two rows of one model may differ in."""


def _map_cell(group: list[Record]) -> Cell:
    newest = _newest(group)
    if newest.bundle.random_weights:
        return Cell(note="random weights: a model that has learned nothing has no mAP; `edge-seg train` trains one")
    if newest.bundle.precision != "fp32":
        return Cell(
            note=f"{newest.bundle.precision} changes the accuracy, and the training's mAP isn't this bundle's;"
            " `edge-seg eval BUNDLE --data DATA` measures it"
        )
    metrics = newest.bundle.source.get("metrics")
    if not isinstance(metrics, dict) or not all(isinstance(metrics.get(key), float) for key in ("box_map", "mask_map")):
        return Cell(
            note="the bundle's manifest holds no mAP: its training measured none; `edge-seg eval BUNDLE --data DATA`"
            " measures it"
        )
    text = f"{100 * metrics['box_map']:.1f} / {100 * metrics['mask_map']:.1f}"
    return Cell((text,), (newest,), "measured by the training on its own validation images")


def _size_cell(group: list[Record]) -> Cell:
    newest = [_newest(same) for same in groups(group, lambda record: record.bundle.recipe).values()]
    sizes: dict[str, list[str]] = {}
    for record in newest:
        sizes.setdefault(f"{record.bundle.model_bytes / 1e6:.1f} MB", []).append(f"`{record.bundle.recipe}`")
    return Cell(tuple(f"{size} {', '.join(recipes)}" for size, recipes in sizes.items()), tuple(newest))


def _column(record: Record) -> str | None:
    if record.bundle.target.startswith("gpu"):
        return "gpu"
    if record.machine.is_arm or (record.machine.arch is None and record.bundle.target == "arm"):
        return "arm"
    if record.machine.is_x86 or (record.machine.arch is None and record.bundle.target == "x86"):
        return "x86"
    return None


def _speed_cell(column: str, records: list[Record], devices: Devices, show_degraded: bool) -> Cell:
    if not records:
        return Cell(note=SPEEDS[column])
    chosen: list[tuple[Record, Verdict]] = []
    refused: list[tuple[Record, Verdict]] = []
    for alike in groups(records, lambda record: (*Devices.key(record), record.bundle.recipe)).values():
        found = [_newest_valid(same) for same in groups(alike, how).values()]
        valid = [(record, verdict) for record, verdict in found if verdict.status == "valid"]
        shown = valid or ([pair for pair in found if pair[1].status != "emulated"] if show_degraded else [])
        if shown:
            chosen.append(min(shown, key=lambda pair: pair[0].model_ms().median))
        else:
            refused.append(max(found, key=lambda pair: when(pair[0])))
    chosen.sort(key=lambda pair: (devices.name(pair[0]), pair[0].model_ms().median))
    notes = [
        f"{devices.name(record)}, `{record.bundle.recipe}`, is {verdict.status}:"
        f" {'; '.join(f'{reason.message} ({reason.remedy})' for reason in verdict.reasons[:2])}"
        for record, verdict in refused
    ]
    note = f"no valid record: {' | '.join(notes)}" if notes else None
    lines = tuple(_speed_line(record, verdict, devices) for record, verdict in chosen)
    return Cell(lines, tuple(record for record, _ in chosen), note)


def how(record: Record) -> tuple[Any, ...]:
    """What the user may choose freely for the fastest time: threads and cores."""
    return record.scenario.threads, record.scenario.cores, record.scenario.power_mode


def _newest_valid(records: list[Record]) -> tuple[Record, Verdict]:
    """The newest valid one; without such, the newest of all."""
    newest = sorted(records, key=when)[::-1]
    for record in newest:
        verdict = trusted(record)
        if verdict.status == "valid":
            return record, verdict
    return newest[0], trusted(newest[0])


def _speed_line(record: Record, verdict: Verdict, devices: Devices) -> str:
    threads = record.scenario.threads
    cores = f" on cores {','.join(map(str, record.scenario.cores))}" if record.scenario.cores else ""
    marked = ""
    if verdict.status != "valid":
        marked = f" ({verdict.status}: {', '.join(dict.fromkeys(reason.code for reason in verdict.reasons))})"
    return (
        f"{devices.name(record)}, `{record.bundle.recipe}`, {threads} thread{'s' * (threads != 1)}{cores}: "
        f"{with_spread(record.model_ms())} / {with_spread(record.stage_ms(TOTAL))}{marked}"
    )


def _cost_cell(first: Record, costs: Sequence[Cost]) -> Cell:
    bundle = first.bundle
    alike = [
        cost
        for cost in costs
        if (cost.model, cost.size, cost.proposals) == (bundle.model, bundle.size, bundle.proposals)
        and cost.instances == first.objects()
    ]
    if not alike:
        return Cell(note="not counted; `edge-seg bench cost BUNDLE --instances N --out FILE` counts it")
    newest = {(cost.recipe, cost.cpu): cost for cost in alike}
    lines = tuple(
        f"{cost.total / 1e6:,.0f} M `{cost.recipe}` ({cost.cpu})".replace(",", "\u202f") for cost in newest.values()
    )
    note = "instructions of one emulated core for an image, not a time: caches and issue width aren't in them"
    return Cell(lines, note=note)


def _newest(records: Iterable[Record]) -> Record:
    """The last by time; of equal times the one that stands later in the file."""
    return max(enumerate(records), key=lambda pair: (when(pair[1]), pair[0]))[1]


def groups(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """The items by ``key``, in their order."""
    found: dict[Key, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def markdown(table: Table) -> str:
    """The table, its notes, and a line for each record that fills a cell."""
    notes: dict[str, int] = {}
    lines = [f"| {' | '.join(['Model', *table.columns.values()])} |", f"|{' --- |' * (1 + len(table.columns))}"]
    for row in table.rows:
        cells = [_escape(f"{row.title}<br>{row.conditions}")]
        for column in table.columns:
            cell = row.cells[column]
            mark = f" <sup>{notes.setdefault(cell.note, len(notes) + 1)}</sup>" if cell.note else ""
            cells.append(_escape("<br>".join(cell.lines) or "-") + mark)
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Measured speed cells: model time (detect + NMS + mask) / end to end (with pre- and post-processing, without "
        "decoding the file), one image at a time; median ± half the middle half's width.",
        "",
    ]
    lines += [f"{number}. {_escape(note)}" for note, number in notes.items()]
    speeds = {record.id: record for row in table.rows for name in SPEEDS for record in row.cells[name].records}
    if speeds:
        lines += ["", "Records of the speed cells:", ""]
        lines += [f"- `{record.id}`: {_escape(_origin(record))}" for record in speeds.values()]
    return "\n".join(lines) + "\n"


def _origin(record: Record) -> str:
    machine, bundle = record.machine, record.bundle
    gpu = gpu_of(record)
    parts = [
        f"{ZOO[bundle.model].title if bundle.model in ZOO else bundle.model} `{bundle.recipe}`",
        f"{gpu['name']} (driver {gpu.get('driver_version', 'unknown')})" if "name" in gpu else None,
        machine.title,
        machine.cpu if machine.cpu not in (None, machine.title) else None,
        f"{counted(machine.cores, 'core')}" if machine.cores else None,
        f"{machine.memory_bytes / 2**30:.1f} GiB" if machine.memory_bytes else None,
        machine.os,
        engine_of(record),
        f"{counted(record.objects(), 'object')} an image",
        f"{counted(record.model_ms().runs, 'run')} an image",
        record.time,
    ]
    return ", ".join(part for part in parts if part)


def engine_of(record: Record) -> str:
    """The engine with the version that ran, where the runner told it, else the manifest's."""
    engine = record.load.get("engine")
    ran = engine if isinstance(engine, dict) else {}
    name, version = ran.get("name", record.bundle.engine), ran.get("version", record.bundle.engine_version)
    return f"{clean(name, 40)} {clean(version, 40)}"  # a device's words


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
        for column in table.columns:
            cell = row.cells[column]
            plain[column] = {
                "text": list(cell.lines),
                "records": [_json_record(record) if column in SPEEDS else record.id for record in cell.records],
                "note": cell.note,
            }
        rows.append(plain)
    return {"columns": table.columns, "rows": rows}


def _json_record(record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "machine": record.machine.title,
        "identity": record.machine.identity,
        "on": record.board or record.target,
        "recipe": record.bundle.recipe,
        "threads": record.scenario.threads,
        "objects": record.objects(),
        "verdict": trusted(record).status,
        "model_ms": dataclasses.asdict(record.model_ms()),
        "end_to_end_ms": dataclasses.asdict(record.stage_ms(TOTAL)),
    }
