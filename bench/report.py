"""A record in words and as plain values: what ``edge-seg bench run`` prints."""

from __future__ import annotations

import dataclasses
from typing import Any

from bench.measure import Failure
from edge_seg.records.record import STAGES, TOTAL, Record
from edge_seg.records.statistics import Summary


def record_text(record: Record) -> str:
    """A few lines for people: the two clocks, the stages, the verdict with what to do about it."""
    bundle, scenario = record.bundle, record.scenario
    height, width = bundle.size
    model, total = record.model_ms(), record.stage_ms(TOTAL)
    stages = "   ".join(f"{stage} {milliseconds(record.stage_ms(stage).median)}" for stage in STAGES)
    threads = f"{scenario.threads} thread{'s' * (scenario.threads != 1)}"
    lines = [
        f"{bundle.model}, {bundle.recipe}, {height}x{width}, {threads}, {record.objects():.3g} objects a picture"
        + (" (random weights)" if bundle.random_weights else ""),
        f"  model time  {with_spread(model)}   end to end  {with_spread(total)}   ({model.runs} runs a picture)",
        f"  {stages}   (medians, ms)",
        f"  record {record.id}: {record.verdict.status}",
    ]
    for reason in record.verdict.reasons:
        lines += [f"    {reason.message}", f"      {reason.remedy}"]
    return "\n".join(lines)


def record_json(record: Record) -> dict[str, Any]:
    """The record's identity, scenario, statistics (ms) and verdict; the samples stay in the file of records."""
    bundle = record.bundle
    return {
        "id": record.id,
        "bundle": bundle.name,
        "bundle_id": bundle.id,
        "model": bundle.model,
        "recipe": bundle.recipe,
        "size": list(bundle.size),
        "random_weights": bundle.random_weights,
        "pictures": [picture.name for picture in record.scenario.pictures],
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
    return f"Error: {failure.what}: {failure.error}"


def with_spread(summary: Summary) -> str:
    """Median ± half the middle half's width, in ms."""
    digits = _digits(summary.median)
    return f"{summary.median:.{digits}f} ± {summary.spread:.{digits}f} ms"


def milliseconds(value: float) -> str:
    """Three figures or so: 1157, 90.1, 3.14, 0.021."""
    return f"{value:.{_digits(value)}f}"


def _digits(value: float) -> int:
    return next((digits for limit, digits in ((1000, 0), (10, 1), (1, 2)) if value >= limit), 3)
