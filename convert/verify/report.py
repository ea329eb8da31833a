"""What verify found, for a terminal and as JSON, and the images of where, as files."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from edge_seg.bundle import write_manifest
from edge_seg.runtime.predict import write_image
from edge_seg.verification import Difference, Report, StageResult


def as_json(report: Report, shown: dict[str, Path]) -> dict[str, Any]:
    """The whole report as a JSON value; ``shown`` as :func:`save_images` returned it."""
    first = report.first
    return {
        "bundle": str(report.bundle.path),
        "id": report.bundle.id,
        "name": report.bundle.manifest.name,
        "passed": first is None,
        "first": {"stage": first[0].name, **_difference(first[1], report)} if first else None,
        "stages": [
            {
                "name": stage.name,
                "title": stage.title,
                "status": stage.status,
                "against": stage.against,
                "skipped": stage.skipped,
                "seconds": round(stage.seconds, 2),
                "shown": str(shown[stage.name]) if stage.name in shown else None,
                "differences": [_difference(item, report) for item in stage.differences],
            }
            for stage in report.stages
        ],
    }


def summary(report: Report) -> dict[str, Any]:
    """What a manifest keeps of the report: for each stage that was run, every tensor's worst difference."""
    first = report.first
    return {
        "passed": first is None,
        "first": [first[0].name, first[1].tensor] if first else None,
        "images": list(report.images),
        "stages": {
            stage.name: {
                "status": stage.status,
                "against": stage.against,
                "differences": {
                    item["tensor"]: {name: item[name] for name in ("ok", "worst", "unit", "limit")}
                    for item in (_difference(difference, report) for difference in stage.differences)
                },
            }
            for stage in report.stages
            if not stage.skipped
        },
    }


def keep(report: Report) -> None:
    """Writes the summary into the bundle's manifest, as ``verification.stages``; the bundle then has another id."""
    manifest = report.bundle.manifest
    verification = {**manifest.verification, "stages": summary(report)}
    write_manifest(report.bundle.path, dataclasses.replace(manifest, verification=verification))


def _difference(item: Difference, report: Report) -> dict[str, Any]:
    finite = {name: value for name in ("worst", "mean") if (value := getattr(item, name)) is not None}
    return {
        "tensor": item.tensor,
        "ok": item.ok,
        # JSON has no NaN
        **{name: finite[name] if math.isfinite(finite.get(name, math.nan)) else None for name in ("worst", "mean")},
        "unit": item.unit,
        "limit": item.limit,
        "note": item.note,
        "image": report.image_name(item),
    }


def as_text(report: Report, shown: dict[str, Path]) -> str:
    """A line a stage, every difference of the stages that failed, and the verdict."""
    manifest = report.bundle.manifest
    lines = [f"{report.bundle.path}: {manifest.name}, {manifest.engine} {manifest.engine_version}"]
    for stage in report.stages:
        lines.append(stage_line(stage))
        if stage.fault:
            lines += [f"      {'FAIL' if not item.ok else 'ok  '} {item.tensor}: {item}" for item in stage.differences]
    first = report.first
    if first is None:
        left = [stage.name for stage in report.stages if stage.status == "skipped"]
        lines.append("every stage within its tolerance" + (f"; not run: {', '.join(left)}" if left else ""))
        if manifest.precision == "int8" and "paddle" in left:
            lines.append("without its source (--run), int8 is held to wide limits, which small faults pass")
        return "\n".join(lines)
    stage, difference = first
    where = f" in {name}" if (name := report.image_name(difference)) else ""
    lines.append(f"the first stage out of tolerance: {stage.name}, its first tensor: {difference.tensor}{where}")
    lines.append(f"  {difference}")
    if stage.name in shown:
        lines.append(f"  where: {shown[stage.name]}")
    elif stage.shown:
        lines.append("  --html FILE shows where")
    return "\n".join(lines)


def stage_line(stage: StageResult) -> str:
    """One stage on one line, with the difference that is nearest to its limit."""
    mark = {"ok": "ok     ", "failed": "FAILED ", "skipped": "-      "}[stage.status]
    said = stage.skipped
    if stage.differences:
        item = stage.fault or max(stage.differences, key=lambda item: item.closeness)
        said = f"{item.tensor} {item}"
    return f"  {mark} {stage.name:<15} {said}"


def save_images(report: Report, html: Path) -> dict[str, Path]:
    """Writes the images of where stages differ beside ``html``; the file of each stage that has one."""
    saved = {}
    for stage in report.stages:
        if stage.shown is not None and stage.fault is not None:
            tensor = stage.fault.tensor.replace(" ", "-")
            saved[stage.name] = html.with_name(f"{html.stem}-{stage.name}-{tensor}.png")
            write_image(saved[stage.name], stage.shown.pixels)
    return saved
