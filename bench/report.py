"""A record in words and as plain values: what ``edge-seg bench run`` prints."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

from bench.measure import Failure
from bench.scenario import STRATA, stratum
from edge_seg.records.record import STAGES, TOTAL, Record, Sample
from edge_seg.records.statistics import Summary
from edge_seg.words import counted


def record_text(record: Record) -> str:
    """A few lines for people: the two clocks, the stages, the verdict with what to do about it."""
    bundle, scenario = record.bundle, record.scenario
    height, width = bundle.size
    model, total = record.model_ms(), record.stage_ms(TOTAL)
    stages = "   ".join(f"{stage} {milliseconds(record.stage_ms(stage).median)}" for stage in STAGES)
    threads = f"{counted(scenario.threads, 'thread')}"
    if scenario.cores:
        threads += f" on cores {','.join(map(str, scenario.cores))}"
    tail = _tail(model)
    lines = [
        f"{bundle.model}, {bundle.recipe}, {height}x{width}, {threads}, {counted(record.objects(), 'object')} an image"
        + (" (random weights)" if bundle.random_weights else ""),
        f"  model time  {with_spread(model)}   end to end  {with_spread(total)}"
        f"   ({counted(model.runs, 'run')} an image)",
        f"  {stages}   (medians, ms)",
        *([f"  {tail}"] if tail else []),
        *_strata(record),
        f"  record {record.id}: {record.verdict.status}",
    ]
    for reason in record.verdict.reasons:
        lines += [f"    {reason.message}", f"      {reason.remedy}"]
    return "\n".join(lines)


def _tail(model: Summary) -> str:
    """The slow runs: percentiles by LoadGen's order statistic, with what they lie below with 99 % confidence."""
    figures = ((90, model.p90, model.p90_bound), (99, model.p99, model.p99_bound))
    return "   ".join(
        f"p{percent} {milliseconds(value)} ms" + (f" (below {milliseconds(bound)} ms)" if bound is not None else "")
        for percent, value, bound in figures
        if value is not None
    )


def _strata(record: Record) -> list[str]:
    """Model time where there are few, some and many objects, if the images have different ones."""
    groups: dict[str, list[list[Sample]]] = {}
    for group in record.by_image():
        groups.setdefault(stratum(statistics.median(sample.instances for sample in group)), []).append(group)
    if len(groups) < 2:
        return []
    words = []
    for name in STRATA:
        medians = [statistics.median(s.model_ns for s in group) / 1e6 for group in groups.get(name, [])]
        if medians:
            count = len(medians)
            words.append(f"{name} {milliseconds(statistics.fmean(medians))} ms ({count} image{'s' * (count != 1)})")
    return [f"  by objects: {'   '.join(words)}"]


def record_json(record: Record) -> dict[str, Any]:
    """The record's identity, scenario, statistics (ms) and verdict; the samples stay in the file of records."""
    bundle = record.bundle
    return {
        "id": record.id,
        "on": record.board or record.target,
        "bundle": bundle.name,
        "bundle_id": bundle.id,
        "model": bundle.model,
        "recipe": bundle.recipe,
        "size": list(bundle.size),
        "random_weights": bundle.random_weights,
        "images": [image.name for image in record.scenario.images],
        "threads": record.scenario.threads,
        "instances": record.scenario.instances,
        "objects": record.objects(),
        "model_ms": dataclasses.asdict(record.model_ms()),
        "end_to_end_ms": dataclasses.asdict(record.stage_ms(TOTAL)),
        "stages_ms": {stage: dataclasses.asdict(record.stage_ms(stage)) for stage in STAGES},
        "verdict": dataclasses.asdict(record.verdict),
    }


def failure_text(failure: Failure) -> str:
    """What failed, why, and what to do."""
    said = str(failure.error)
    return f"Error: {said if said.startswith(failure.what) else f'{failure.what}: {said}'}"


def with_spread(summary: Summary) -> str:
    """Median ± half the middle half's width, in ms."""
    digits = _digits(summary.median)
    return f"{summary.median:.{digits}f} ± {summary.spread:.{digits}f} ms"


def milliseconds(value: float) -> str:
    """Three figures or so: 1157, 90.1, 3.14, 0.021."""
    return f"{value:.{_digits(value)}f}"


def _digits(value: float) -> int:
    return next((digits for limit, digits in ((1000, 0), (10, 1), (1, 2)) if value >= limit), 3)


def record_line(record: Record) -> str:
    """One line of a list: id, when, where, what, how fast, and the verdict."""
    height, width = record.bundle.size
    verdict = record.verdict
    why = f" ({', '.join(dict.fromkeys(reason.code for reason in verdict.reasons))})" if verdict.reasons else ""
    return (
        f"{record.id}  {record.time[:16]}  {record.board or record.machine.title}  {record.bundle.model}"
        f" {record.bundle.recipe} {height}x{width}  {counted(record.scenario.threads, 'thread')}"
        f"  {counted(record.objects(), 'object')}"
        f"  {with_spread(record.model_ms())}  {verdict.status}{why}"
    )


def state_text(record: Record) -> str:
    """What the machine showed while it was measured: frequencies, temperatures, load."""
    states = [*record.before, *record.during, *record.after]
    machine = record.machine
    lines = [f"  on {record.target}: {', '.join(filter(None, (machine.title, machine.os, machine.kernel)))}"]
    temperatures = [degrees for state in states for degrees in (state.temperature_c or {}).values()]
    frequencies = [khz / 1e6 for state in record.during for khz in (state.frequency_khz or {}).values()]
    loads = [state.load_average[0] for state in states if state.load_average]
    governors = sorted({name for state in states for name in (state.governor or {}).values()})
    for name, values, unit in (
        ("temperature", temperatures, "°C"),
        ("frequency", frequencies, "GHz"),
        ("load average", loads, ""),
    ):
        told = f"{min(values):.3g} to {max(values):.3g} {unit}" if values else "not shown"
        lines.append(f"  {name}: {told}".rstrip())
    lines.append(f"  governor: {', '.join(governors) or 'not shown'}")
    if record.ended:
        lines.append(f"  ended early: {record.ended.message.splitlines()[0]}")
    return "\n".join(lines)


def record_row(record: Record) -> dict[str, Any]:
    """The record as one line of a table for other programs; times in ms."""
    model, total = record.model_ms(), record.stage_ms(TOTAL)
    bundle, scenario, machine = record.bundle, record.scenario, record.machine
    return {
        "id": record.id,
        "time": record.time,
        "on": record.board or record.target,
        "machine": machine.title,
        "identity": machine.identity,
        "cpu": machine.cpu,
        "cores": machine.cores,
        "os": machine.os,
        "model": bundle.model,
        "recipe": bundle.recipe,
        "precision": bundle.precision,
        "engine": bundle.engine,
        "engine_version": bundle.engine_version,
        "bundle": bundle.id,
        "height": bundle.size[0],
        "width": bundle.size[1],
        "random_weights": bundle.random_weights,
        "images": len(scenario.images),
        "objects": record.objects(),
        "threads": scenario.threads,
        "runs": model.runs,
        "model_ms": model.median,
        "model_iqr_ms": model.iqr,
        "model_min_ms": model.minimum,
        "model_p90_ms": model.p90,
        "model_p99_ms": model.p99,
        "end_to_end_ms": total.median,
        **{f"{stage}_ms": record.stage_ms(stage).median for stage in STAGES},
        "peak_bytes": (record.memory or {}).get("peak_bytes"),
        "model_bytes": bundle.model_bytes,
        "verdict": record.verdict.status,
        "reasons": " ".join(reason.code for reason in record.verdict.reasons),
        "ended": record.ended.code if record.ended else None,
    }


def sample_rows(record: Record) -> list[dict[str, Any]]:
    """Each timed run as one line; ``warm`` marks those that count."""
    rows = []
    warm = record.warm or (0,) * len(record.scenario.images)
    for index, group in enumerate(record.all_by_image()):
        for number, sample in enumerate(group):
            rows.append(
                {
                    "record": record.id,
                    "image": record.scenario.images[index].name,
                    "repeat": sample.repeat,
                    "counts": number >= warm[index],
                    "objects": sample.instances,
                    **{f"{stage}_ms": sample.ns[stage] / 1e6 for stage in (*STAGES, TOTAL)},
                    "model_ms": sample.model_ns / 1e6,
                    "cpu_ms": None if sample.cpu_ns is None else sample.cpu_ns / 1e6,
                    "start_s": None if sample.start_ns is None else sample.start_ns / 1e9,
                }
            )
    return rows
