"""A record in words and as plain values: what ``edge-seg bench run`` prints."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

from bench.measure import Failure
from bench.scenario import STRATA, stratum
from edge_seg.records.record import STAGES, TOTAL, Record, Sample
from edge_seg.records.statistics import Summary


def record_text(record: Record) -> str:
    """A few lines for people: the two clocks, the stages, the verdict with what to do about it."""
    bundle, scenario = record.bundle, record.scenario
    height, width = bundle.size
    model, total = record.model_ms(), record.stage_ms(TOTAL)
    stages = "   ".join(f"{stage} {milliseconds(record.stage_ms(stage).median)}" for stage in STAGES)
    threads = f"{scenario.threads} thread{'s' * (scenario.threads != 1)}"
    if scenario.cores:
        threads += f" on cores {','.join(map(str, scenario.cores))}"
    tail = _tail(model)
    lines = [
        f"{bundle.model}, {bundle.recipe}, {height}x{width}, {threads}, {record.objects():.3g} objects an image"
        + (" (random weights)" if bundle.random_weights else ""),
        f"  model time  {with_spread(model)}   end to end  {with_spread(total)}   ({model.runs} runs an image)",
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
