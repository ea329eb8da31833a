"""What the ladder found, for a terminal and as JSON, and the pictures of where, as files."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from convert.verify.compare import Reading
from convert.verify.state import Rung
from convert.verify.verify import TITLES, Report
from edge_seg.bundle import write_manifest
from edge_seg.runtime.predict import write_picture


def as_json(report: Report, shown: dict[str, Path]) -> dict[str, Any]:
    """The whole report as a JSON value; ``shown`` as :func:`save_pictures` returned it."""
    first = report.first
    return {
        "bundle": str(report.bundle.path),
        "id": report.bundle.id,
        "name": report.bundle.manifest.name,
        "passed": first is None,
        "first": {"rung": first[0].name, **_reading(first[1], report)} if first else None,
        "rungs": [
            {
                "name": rung.name,
                "title": TITLES[rung.name],
                "status": status(rung),
                "against": rung.against,
                "skipped": rung.skipped,
                "seconds": round(rung.seconds, 2),
                "shown": str(shown[rung.name]) if rung.name in shown else None,
                "readings": [_reading(item, report) for item in rung.readings],
            }
            for rung in report.rungs
        ],
    }


def summary(report: Report) -> dict[str, Any]:
    """What a manifest keeps of the report: for each rung that was climbed, every tensor's worst difference."""
    first = report.first
    return {
        "passed": first is None,
        "first": [first[0].name, first[1].tensor] if first else None,
        "pictures": list(report.pictures),
        "rungs": {
            rung.name: {
                "status": status(rung),
                "against": rung.against,
                "readings": {
                    item["tensor"]: {name: item[name] for name in ("ok", "worst", "unit", "limit")}
                    for item in (_reading(reading, report) for reading in rung.readings)
                },
            }
            for rung in report.rungs
            if not rung.skipped
        },
    }


def keep(report: Report) -> None:
    """Writes the summary into the bundle's manifest, as ``verification.ladder``; the bundle then has another id."""
    manifest = report.bundle.manifest
    verification = {**manifest.verification, "ladder": summary(report)}
    write_manifest(report.bundle.path, dataclasses.replace(manifest, verification=verification))


def _reading(item: Reading, report: Report) -> dict[str, Any]:
    finite = {name: value for name in ("worst", "mean") if (value := getattr(item, name)) is not None}
    return {
        "tensor": item.tensor,
        "ok": item.ok,
        # JSON has no NaN
        **{name: finite[name] if math.isfinite(finite.get(name, math.nan)) else None for name in ("worst", "mean")},
        "unit": item.unit,
        "limit": item.limit,
        "note": item.note,
        "picture": picture_name(item, report),
    }


def status(rung: Rung) -> str:
    """``ok``, ``failed`` or ``skipped``."""
    if rung.fault:
        return "failed"
    return "ok" if rung.readings else "skipped"


def picture_name(item: Reading, report: Report) -> str | None:
    """The picture that is worst in this reading; None where none is known by name (a chart, a file)."""
    known = item.picture is not None and item.picture < len(report.pictures)
    return report.pictures[item.picture] if known and item.picture is not None else None


def as_text(report: Report, shown: dict[str, Path]) -> str:
    """A line a rung, every reading of the rungs that failed, and the verdict."""
    manifest = report.bundle.manifest
    lines = [f"{report.bundle.path}: {manifest.name}, {manifest.engine} {manifest.engine_version}"]
    for rung in report.rungs:
        lines.append(rung_line(rung))
        if rung.fault:
            lines += [
                f"      {'FAIL' if not item.ok else 'ok  '} {item.tensor}: {describe(item)}" for item in rung.readings
            ]
    first = report.first
    if first is None:
        left = [rung.name for rung in report.rungs if status(rung) == "skipped"]
        lines.append("every rung within its tolerance" + (f"; not climbed: {', '.join(left)}" if left else ""))
        if manifest.precision == "int8" and "paddle" in left:
            lines.append("without its source (--run), int8 is held to wide limits, which small faults pass")
        return "\n".join(lines)
    rung, reading = first
    where = f" in {name}" if (name := picture_name(reading, report)) else ""
    lines.append(f"the first rung out of tolerance: {rung.name}, its first tensor: {reading.tensor}{where}")
    lines.append(f"  {describe(reading)}")
    if rung.name in shown:
        lines.append(f"  where: {shown[rung.name]}")
    elif rung.shown:
        lines.append("  --html FILE shows where")
    return "\n".join(lines)


def rung_line(rung: Rung) -> str:
    """One rung on one line, with the reading that is nearest to its limit."""
    mark = {"ok": "ok     ", "failed": "FAILED ", "skipped": "-      "}[status(rung)]
    said = rung.skipped
    if rung.readings:
        item = rung.fault or max(rung.readings, key=closeness)
        said = f"{item.tensor} {describe(item)}"
    return f"  {mark} {rung.name:<15} {said}"


def closeness(item: Reading) -> float:
    """Worst as a part of the limit; 0 where there is none."""
    if item.worst is None or not item.limit:
        return 0.0
    return item.worst / item.limit if math.isfinite(item.worst) else math.inf


def describe(item: Reading) -> str:
    """``worst 2.1e-06 of its range, mean 3e-07, limit 0.001; a note``."""
    parts = []
    if item.worst is not None:
        parts = [f"worst {item.worst:.3g} {item.unit}".rstrip()]
        parts += [f"mean {item.mean:.3g}"] if item.mean is not None else []
        parts += [f"limit {item.limit:.3g}"] if item.limit is not None else []
    return "; ".join(filter(None, [", ".join(parts), item.note]))


def save_pictures(report: Report, html: Path) -> dict[str, Path]:
    """Writes the pictures of where rungs differ beside ``html``; the file of each rung that has one."""
    saved = {}
    for rung in report.rungs:
        if rung.shown is not None and rung.fault is not None:
            tensor = rung.fault.tensor.replace(" ", "-")
            saved[rung.name] = html.with_name(f"{html.stem}-{rung.name}-{tensor}.png")
            write_picture(saved[rung.name], rung.shown.pixels)
    return saved
