"""The page of ``edge-seg bench report``: the matrix of devices and models first, then each device, then all at once."""

from __future__ import annotations

import dataclasses
import shlex
import statistics
from collections.abc import Callable, Hashable, Sequence

from bench.matrix import Conditions, Matrix, accuracy, groups, make_matrix, newest
from bench.report import milliseconds, with_spread
from bench.table import Devices, counted_objects, gpu_of
from edge_seg.pages.blocks import (
    Answer,
    Block,
    Cell,
    Code,
    Column,
    Facts,
    Figure,
    Fold,
    Grid,
    Prose,
    Section,
    State,
    Table,
    absent,
)
from edge_seg.pages.page import Page
from edge_seg.pages.plots import Axis, Evidence, Look, Panel, Series, chart, looks, panels, stacked, strips
from edge_seg.records.board_state import BoardState
from edge_seg.records.record import MODEL_STAGES, STAGES, TOTAL, BadLine, Record
from edge_seg.records.statistics import quantile
from edge_seg.targets.protocol import INNER_STAGES
from edge_seg.words import counted
from edge_seg.zoo import ZOO

_STATES: dict[str, State] = {"valid": "good", "degraded": "warn", "unknown": "warn", "emulated": "off"}
_MOST_OVER_TIME = 2
"""Records of a device whose samples are drawn one by one."""
_MODEL_TIME = Axis("model time", "ms")


def make_page(records: Sequence[Record], bad: Sequence[BadLine] = (), command: str = "") -> Page:
    """The page of these records; ``bad`` are the lines that couldn't be read."""
    matrix = make_matrix(records)
    named = Devices(records)
    look = looks(dict.fromkeys(_series_name(one) for one in records))
    devices = groups(records, named.name)
    sections = [Section("Matrix", _matrix_blocks(matrix, bad), lead=_LEAD, missing=_NO_RECORDS)]
    for device, own in devices.items():
        shown = [record for (_, place), record in matrix.cells.items() if place == device]
        sections.append(_device_section(device, own, shown, look))
    sections.append(Section("All records", _record_blocks(records, named), missing="There is no record."))
    sections.append(Section("Accuracy against latency", _accuracy_blocks(matrix), missing="There is no record."))
    versions = {one.bundle.engine: one.bundle.engine_version for one in records}
    return Page(
        title="Speed of the models on the devices",
        answer=_answer(matrix, records),
        sections=sections,
        facts=[
            counted(len(records), "record"),
            counted(len(matrix.devices), "device"),
            counted(len({row.model for row in matrix.rows}), "model"),
        ],
        command=command,
        versions=versions,
    )


_LEAD = (
    "Model time is what speed tables publish: detection, non-maximum suppression and masks of one image. End to end"
    " adds pre- and post-processing. Times are the median ± half the width of the middle half of the runs; below them"
    " stands the interval in which the median lies with 95 % confidence (bootstrap)."
)
_NO_RECORDS = "There is no record. Make some with: edge-seg bench run BUNDLE --out FILE"


def _answer(matrix: Matrix, records: Sequence[Record]) -> Answer:
    if not records:
        return Answer("off", "No records", _NO_RECORDS)
    valid = [record for record in matrix.cells.values() if record.verdict.status == "valid"]
    if not valid:
        return Answer("bad", "No valid record", "The reasons, each with its remedy, are under All records.")
    fastest = min(valid, key=lambda record: record.model_ms().median)
    device = next(place for (_, place), record in matrix.cells.items() if record is fastest)
    detail = f"The fastest: {_series_name(fastest)} on {device}, model time {with_spread(fastest.model_ms())}."
    if len(valid) == len(matrix.cells):
        return Answer("good", f"All {len(valid)} cells of the matrix are valid", detail)
    return Answer("warn", f"{len(valid)} of {counted(len(matrix.cells), 'cell')} of the matrix are valid", detail)


def _matrix_blocks(matrix: Matrix, bad: Sequence[BadLine]) -> list[Block]:
    if not matrix.rows:
        return [Prose(str(line), "warn") for line in bad]
    columns = [Column("model"), Column("precision"), Column("mask mAP", number=True)]
    columns += [Column(device) for device in matrix.devices]
    table = Table(columns, [_matrix_row(matrix, row) for row in matrix.rows])
    if not bad:
        return [table]
    left_out = f"{counted(len(bad), 'line')} could not be read, and {'is' if len(bad) == 1 else 'are'} left out"
    return [table, Fold(left_out, [Prose(str(line), "warn") for line in bad[:50]])]


def _matrix_row(matrix: Matrix, row: Conditions) -> list[Cell | str]:
    found = [matrix.cells.get((row, device)) for device in matrix.devices]
    some = next(record for record in found if record is not None)
    cells: list[Cell | str] = [
        Cell(row.title, note=row.text),
        Cell(some.bundle.precision, note=row.recipe),
        _accuracy_cell(some),
    ]
    for record in found:
        if record is None:
            cells.append(absent("not measured there"))
            continue
        threads = counted(record.scenario.threads, "thread")
        note = f"{_interval(record)}; end to end {with_spread(record.stage_ms(TOTAL))}; {threads};"
        note += f" {record.verdict.status}"
        state = _STATES.get(record.verdict.status, "warn")
        cells.append(Cell(with_spread(record.model_ms()), note=note, state=state, title=f"record {record.id}"))
    return cells


def _accuracy_cell(record: Record) -> Cell:
    mask, box = accuracy(record, "mask_map"), accuracy(record, "box_map")
    if mask is not None:
        return Cell(f"{100 * mask:.1f} %", note=f"box {100 * box:.1f} %" if box is not None else "")
    return absent("random weights" if record.bundle.random_weights else "the bundle names none")


def _device_section(device: str, own: Sequence[Record], shown: Sequence[Record], look: dict[str, Look]) -> Section:
    machine = newest(own).machine
    facts = [
        ("processor", machine.cpu),
        ("SoC", machine.soc),
        ("cores", str(machine.cores or "")),
        ("cores that a program may use", machine.allowed_cores),
        ("memory", f"{machine.memory_bytes / 2**30:.1f} GiB" if machine.memory_bytes else None),
        *((name, value) for name, value in gpu_of(newest(own)).items()),
        ("system", machine.os),
        ("kernel", machine.kernel),
        ("measured through", ", ".join(dict.fromkeys(record.target for record in own))),
    ]
    over_time = sorted(shown, key=lambda one: one.time, reverse=True)[:_MOST_OVER_TIME]
    blocks: list[Block] = [Facts([(name, value) for name, value in facts if value])]
    blocks.append(Grid([*_waterfall(shown), _spread(shown), _memory(shown), *_against(own, look)]))
    blocks += [figure for record in over_time for figure in _over_time(record)]
    if len(shown) > len(over_time):
        blocks.append(Prose(f"Runs one by one: {len(over_time)} of {counted(len(shown), 'record')} shown, the newest."))
    blocks += [Fold(f"Measure again: {_label(one)}", [Code(_command(one))]) for one in shown]
    return Section(device, blocks)


def _interval(record: Record) -> str:
    interval = record.model_interval()
    return f"{milliseconds(interval.low)} to {milliseconds(interval.high)} ms"


_PARTS = ("trunk", "proposals", "RoIAlign", "box head", "mask head", "NMS and the rest")


def _waterfall(records: Sequence[Record]) -> list[Figure]:
    """By the stages that every runner tells, and by their parts where the runtime does what is between the graphs."""
    axis = Axis("time an image", "ms")
    rows = {_label(record): {stage: record.stage_ms(stage).median for stage in STAGES} for record in records}
    figures = [stacked("Where the time goes", rows, axis, _evidence(records, "medians"), look=looks(STAGES))]
    apart = [record for record in records if record.tells("trunk")]
    if apart:
        rows = {_label(record): _parts_ms(record) for record in apart}
        what = "medians; the trunk holds the proposals where they have no part of their own"
        axis = Axis("model time", "ms")
        figures.append(stacked("The parts of the model's time", rows, axis, _evidence(apart, what), look=looks(_PARTS)))
    return figures


def _parts_ms(record: Record) -> dict[str, float]:
    """Medians of the parts, ms, of several images their mean; what no part accounts for is with the NMS."""
    groups_ns = [[sample.ns for sample in group] for group in record.by_image()]

    def median(part: Callable[[dict[str, int]], int]) -> float:
        return statistics.fmean(statistics.median(map(part, group)) for group in groups_ns) / 1e6

    def of(stage: str) -> Callable[[dict[str, int]], int]:
        return lambda ns: ns.get(stage, 0)

    rest = median(lambda ns: sum(ns[s] for s in MODEL_STAGES) - sum(ns.get(s, 0) for s in INNER_STAGES))
    values = (*(median(of(stage)) for stage in INNER_STAGES), max(0.0, rest))
    return {part: value for part, value in zip(_PARTS, values, strict=True) if value > 0}


def _spread(records: Sequence[Record]) -> Figure:
    runs = {
        _label(record): [sample.model_ns / 1e6 for image in record.by_image() for sample in image] for record in records
    }
    styles = looks(_series_name(record) for record in records)
    look = {_label(record): styles[_series_name(record)] for record in records}
    return strips("All runs", runs, _MODEL_TIME, _evidence(records), look=look)


def _against(records: Sequence[Record], look: dict[str, Look]) -> list[Block]:
    """Model time against what was varied, all else being the same; a remark names what wasn't."""
    figures: list[Block] = []
    missing = []
    for title, axis, value, how in _VARIED:
        series = _varied(records, value)
        if series:
            evidence = _evidence(records, "medians", "the middle half of the runs")
            figures.append(chart(f"Model time against {title}", series, axis, _MODEL_TIME, evidence, look=look))
        else:
            missing.append(f"against {title} ({how})")
    if missing:
        figures.append(Prose(f"Not measured here: model time {'; '.join(missing)}."))
    return figures


def _objects(record: Record) -> float:
    return record.objects()


def _pixels(record: Record) -> float:
    return record.bundle.size[0] * record.bundle.size[1] / 1e6


def _threads(record: Record) -> float:
    return record.scenario.threads


def _cores(record: Record) -> float:
    """The cores that the runner was bound to, or all that there are."""
    return len(record.scenario.cores or ()) or record.machine.cores or 0


_VARIED: tuple[tuple[str, Axis, Callable[[Record], float], str], ...] = (
    ("objects", Axis("objects an image", zero=True), _objects, "--instances 1,5,20"),
    ("input size", Axis("input", "megapixels", zero=True), _pixels, "bundles of several --size"),
    ("threads", Axis("threads", whole=True), _threads, "--threads 1,2,4"),
    ("cores", Axis("cores", whole=True), _cores, "--cores 0-1, then 0-3"),
)


def _varied(records: Sequence[Record], value: Callable[[Record], float]) -> list[Series]:
    """A line for each set of records that differ in nothing but ``value``; one with a single value isn't drawn."""
    others = [other for _, _, other, _ in _VARIED if other is not value]
    if value is _cores:  # bound to N cores, a runner gets N threads unless told otherwise
        others.remove(_threads)
        records = [record for record in records if record.scenario.threads == _cores(record)]
    series: dict[str, Series] = {}

    def alike(record: Record) -> tuple[Hashable, ...]:
        return _series_name(record), *(other(record) for other in others)

    for same in groups(records, alike).values():
        lasts = sorted((newest(group) for group in groups(same, value).values()), key=value)
        name = _series_name(lasts[0])
        # Of several lines of one model and recipe the longest is drawn: each has conditions of its own.
        if len(lasts) > max(1, len(series[name].x) if name in series else 0):
            middle = [_quartiles(record) for record in lasts]
            series[name] = Series(
                name,
                [value(record) for record in lasts],
                [record.model_ms().median for record in lasts],
                "both",
                low=[low for low, _ in middle],
                high=[high for _, high in middle],
            )
    return list(series.values())


def _quartiles(record: Record) -> tuple[float, float]:
    """Of model time, ms; of several images the mean of each one's, as the median is."""
    ordered = [sorted(sample.model_ns / 1e6 for sample in image) for image in record.by_image()]
    low, high = (sum(quantile(values, share) for values in ordered) / len(ordered) for share in (0.25, 0.75))
    return low, high


def _over_time(record: Record) -> list[Figure]:
    """Samples in their order, and what the machine showed of itself meanwhile: in one plot where both tell the time."""
    states = [state for state in (*record.before, *record.during, *record.after) if state.uptime_s is not None]
    starts = [sample.start_ns / 1e9 for sample in record.samples if sample.start_ns is not None]
    begin = states[0].uptime_s or 0.0 if states else 0.0
    # The runner's steady clock and the kernel's uptime are the same on most devices, and are asked whether they are.
    timed = len(starts) == len(record.samples) and states and begin - 1 <= starts[0] <= (states[-1].uptime_s or 0.0) + 1
    places = [start - begin for start in starts] if timed else [float(n + 1) for n in range(len(record.samples))]
    runs = Panel(_samples(record, places), _MODEL_TIME)
    seen = [
        Panel(_readings(states, begin, lambda state: state.temperature_c, 1.0), Axis("temperature", "°C")),
        Panel(_readings(states, begin, lambda state: state.frequency_khz, 1e6), Axis("frequency", "GHz", zero=True)),
    ]
    seen = [panel for panel in seen if panel.series]
    taken, source = counted(len(record.samples), "run"), f"record {record.id}"
    shots = counted(len(states), "snapshot")
    since = Axis("since the first snapshot", "s")
    title = f"Runs in their order: {_label(record)}"
    if timed and seen:
        return [panels(title, [runs, *seen], since, Evidence(f"{taken}, {shots}", source), wide=True)]
    figure = panels(title, [runs], since if timed else Axis("run", whole=True), Evidence(taken, source), wide=True)
    if seen:
        title = f"The device meanwhile: {_label(record)}"
        return [figure, panels(title, seen, since, Evidence(shots, source), wide=True)]
    text = f"{figure.caption} The machine shows neither temperature nor frequency."
    return [dataclasses.replace(figure, caption=text)]


def _samples(record: Record, places: Sequence[float]) -> list[Series]:
    """Those that count, and those that were still warming up."""
    left = list(record.warm or (0,) * len(record.scenario.images))
    points: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for place, sample in zip(places, record.samples, strict=True):
        warming = left[sample.image] > 0
        left[sample.image] -= warming
        points[warming].append((place, sample.model_ns / 1e6))
    names = {False: "model time", True: "warming up, not counted"}
    return [
        Series(names[warming], [at for at, _ in found], [ms for _, ms in found], "points")
        for warming, found in points.items()
        if found
    ]


def _readings(
    states: Sequence[BoardState],
    begin: float,
    read: Callable[[BoardState], dict[str, float] | dict[str, int] | None],
    unit: float,
) -> list[Series]:
    """What each sensor or core showed over the seconds since ``begin``, the first eight of them."""
    names = sorted({name for state in states for name in read(state) or {}})
    series = []
    for name in names[:8]:
        points = [(state.uptime_s or 0.0, (read(state) or {})[name]) for state in states if name in (read(state) or {})]
        series.append(Series(name, [at - begin for at, _ in points], [value / unit for _, value in points]))
    return series


_MEMORY = ("after loading", "more at its peak")


def _memory(records: Sequence[Record]) -> Figure:
    """What the runner's process holds, whole bars being peaks."""
    rows: dict[str, dict[str, float]] = {}
    told = []
    for record in records:
        load, peak = ((record.memory or {}).get(name) for name in ("load_bytes", "peak_bytes"))
        if load is not None and peak is not None:
            parts = (load / 1e6, max(0, peak - load) / 1e6)
            rows[_label(record)] = dict(zip(_MEMORY, parts, strict=True))
            told.append(record)
    without = len(records) - len(told)
    what = f"peaks of the whole process{f'; {without} without' if without else ''}"
    axis, missing = Axis("memory", "MB"), "No runner told its memory."
    return stacked("Memory", rows, axis, _evidence(told, what), look=looks(_MEMORY), missing=missing)


def _accuracy_blocks(matrix: Matrix) -> list[Block]:
    styles = looks(matrix.devices)
    series = []
    without = 0
    for device in matrix.devices:
        own = [record for (_, place), record in matrix.cells.items() if place == device]
        known = [record for record in own if accuracy(record, "mask_map") is not None]
        without += len(own) - len(known)
        # Beyond a dozen, names would cover each other; the matrix has them.
        labels = [_series_name(record) for record in known] if len(matrix.cells) <= 12 else []
        times = [record.model_ms().median for record in known]
        percents = [100 * (accuracy(record, "mask_map") or 0.0) for record in known]
        series.append(Series(device, times, percents, "points", labels=labels))
    if not matrix.cells:
        return []
    why = "No record is of a bundle with a measured mAP: train a model, and convert its run."
    evidence = Evidence(f"{counted(sum(len(one.x) for one in series), 'cell')} of the matrix", "their records' medians")
    figure = chart(
        "Mask mAP against model time", series, Axis("model time", "ms", log=True), Axis("mask mAP", "%"), evidence,
        look=styles, wide=True, missing=why,
    )  # fmt: skip
    return [figure, Prose(f"{without} of {counted(len(matrix.cells), 'cell')} have no mAP.")] if without else [figure]


def _record_blocks(records: Sequence[Record], named: Devices) -> list[Block]:
    if not records:
        return []
    rows: list[list[Cell | str]] = []
    for record in sorted(records, key=lambda one: one.time, reverse=True):
        verdict = record.verdict
        reasons = [f"{reason.message}: {reason.remedy}" for reason in verdict.reasons]
        why = "; ".join([*([f"ended early: {record.ended.message}"] if record.ended else []), *reasons])
        rows.append([
            Cell(record.id, note=record.time),
            named.name(record),
            _label(record),
            f"{len(record.samples):,}",
            Cell(with_spread(record.model_ms()), note=_interval(record)),
            Cell(verdict.status, state=_STATES.get(verdict.status, "warn")),
            why,
        ])  # fmt: skip
    columns = [
        Column("record"),
        Column("device"),
        Column("what", wide=True),
        Column("runs", number=True),
        Column("model time", number=True),
        Column("verdict"),
        Column("why, and what to do", wide=True),
    ]
    return [Table(columns, rows)]


def _command(record: Record) -> str:
    """The command that measures again; the bundle's own folder isn't in a record."""
    scenario = record.scenario
    words = ["edge-seg", "bench", "run", record.bundle.name, "--threads", str(scenario.threads)]
    exact = ["--warmup", str(scenario.warmup), "--repeat", str(scenario.repeats)]
    words += ["--mode", scenario.mode] if scenario.mode in ("quick", "full", "sustained") else exact
    words += [] if scenario.instances is None else ["--instances", str(scenario.instances)]
    words += [] if scenario.cores is None else ["--cores", ",".join(map(str, scenario.cores))]
    words += [] if scenario.power_mode is None else ["--power-mode", scenario.power_mode]
    words += [] if record.target == "local" else ["--on", record.board or record.target]
    return shlex.join(words)


def _evidence(records: Sequence[Record], what: str = "", band: str = "") -> Evidence:
    counts = sorted({record.model_ms().runs for record in records}) or [0]
    runs = counted(counts[-1], "run")
    runs = runs if len(counts) == 1 else f"{counts[0]:,} to {runs}"
    named = ", ".join(record.id for record in records[:4]) + (" …" if len(records) > 4 else "")
    return Evidence(f"{runs} an image{f', {what}' if what else ''}", f"records {named}", band)


def _series_name(record: Record) -> str:
    title = ZOO[record.bundle.model].title if record.bundle.model in ZOO else record.bundle.model
    return f"{title.removeprefix('MaskRCNN-')} {record.bundle.recipe}"


def _label(record: Record) -> str:
    height, width = record.bundle.size
    size = f"{height}" if height == width else f"{height}×{width}"
    threads = counted(record.scenario.threads, "thread")
    return f"{_series_name(record)} {size}, {counted_objects(record.objects())}, {threads}"
