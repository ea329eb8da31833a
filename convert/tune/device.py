"""What a device said: the records that ``edge-seg bench run`` wrote there, read as the JSON lines that they are.

Only what a prediction needs is read. Records of another schema, altered ones, and those of an emulator are refused by
name: an emulator's milliseconds are no board's.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.tune.space import Size
from edge_seg.errors import EdgeSegError
from edge_seg.zoo import ZOO

SCHEMA = 1


class RecordsError(EdgeSegError):
    """A file of records says nothing that a prediction can be made from."""

    code = "record"


@dataclass(frozen=True)
class Observation:
    """One picture of a record: medians of its stages, ms, and what was run."""

    record: str
    model: str
    recipe: str
    classes: int
    box_width: int | None
    size: Size
    proposals: int
    objects: float
    detect_ms: float
    nms_ms: float
    mask_ms: float


@dataclass(frozen=True)
class Device:
    """One device and number of threads, and what was observed there. ``warnings`` are for the user."""

    name: str
    threads: int
    observations: tuple[Observation, ...]
    warnings: tuple[str, ...]

    @property
    def recipes(self) -> tuple[str, ...]:
        """The recipes of the records, each once, in their order."""
        return tuple(dict.fromkeys(o.recipe for o in self.observations))


def read_device(files: Sequence[Path], threads: int | None) -> Device:
    """The device that the records are of. Raises :class:`RecordsError` when they are of none, or of several."""
    records = [record for file in files for record in _read(file)]
    emulated = [record for record in records if record["verdict"]["status"] == "emulated"]
    real = [record for record in records if record not in emulated]
    if not real:
        raise RecordsError(
            f"{_names(files)}: {'only emulated records' if emulated else 'no records'}",
            remedy="measure on the device: `edge-seg bench run BUNDLE --out FILE`, then give that file",
        )
    other = [record for record in real if record["bundle"]["model"] not in ZOO]
    if other:
        raise RecordsError(
            f"{_names(files)}: record {other[0]['id']} is of a {other[0]['bundle']['model']} from elsewhere, by whose"
            " time that of the run can't be told",
            remedy=f"give records of bundles of {', '.join(ZOO)}",
        )
    devices = {_device(record) for record in real}
    if len(devices) > 1:
        raise RecordsError(
            f"{_names(files)}: records of {len(devices)} devices: {'; '.join(sorted(devices))}",
            remedy="give a file with the records of one device",
        )
    present = sorted({record["scenario"]["threads"] for record in real})
    wanted = threads or present[0]
    if (threads is None and len(present) > 1) or wanted not in present:
        raise RecordsError(
            f"{_names(files)}: records with {', '.join(map(str, present))} threads",
            remedy="choose one of these with --threads",
        )
    chosen = [record for record in real if record["scenario"]["threads"] == wanted]
    warnings = [f"record {r['id']} is {r['verdict']['status']}" for r in chosen if r["verdict"]["status"] != "valid"]
    if emulated:
        warnings.append(f"{len(emulated)} emulated records are left out")
    observations = tuple(observation for record in chosen for observation in _observations(record))
    if not any(o.objects for o in observations):
        raise RecordsError(
            f"{_names(files)}: no record in which anything was found, so the mask graph's time isn't known",
            remedy="measure with `edge-seg bench run BUNDLE --instances 1,10`",
        )
    return Device(devices.pop(), wanted, observations, tuple(warnings))


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as problem:
        remedy = "give a file that `edge-seg bench run --out` wrote"
        raise RecordsError(f"{file}: can't be read: {problem.strerror}", remedy=remedy) from None
    return [_parse(line, f"{file}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
        if not isinstance(record, dict) or record["schema"] != SCHEMA:
            found = record.get("schema") if isinstance(record, dict) else None
            raise RecordsError(f"{where}: record schema {found!r}, expected {SCHEMA}")
        others = {name: value for name, value in record.items() if name != "id"}
        text = json.dumps(others, sort_keys=True, separators=(",", ":"), allow_nan=False)
        if record["id"] != hashlib.sha256(text.encode()).hexdigest()[:12]:
            raise RecordsError(f"{where}: record {record['id']} was altered", remedy="copy the file again")
        _observations(record)
        _device(record)
        record["verdict"]["status"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as problem:
        remedy = "give a file that `edge-seg bench run --out` wrote"
        raise RecordsError(f"{where}: not a record ({type(problem).__name__}: {problem})", remedy=remedy) from None
    return record


def _observations(record: dict[str, Any]) -> list[Observation]:
    bundle, scenario = record["bundle"], record["scenario"]
    groups: dict[int, list[dict[str, Any]]] = {}
    for sample in record["samples"]:
        groups.setdefault(sample["image"], []).append(sample)

    def ms(samples: list[dict[str, Any]], stage: str) -> float:
        return statistics.median(float(sample["ns"][stage]) / 1e6 for sample in samples)

    height, width = bundle["size"]
    if any(ms(samples, "detect") <= 0 for samples in groups.values()):
        raise ValueError("a picture took no time")
    if scenario["threads"] < 1 or not groups:
        raise ValueError("no samples")
    return [
        Observation(
            record=str(record["id"]),
            model=str(bundle["model"]),
            recipe=str(bundle["recipe"]),
            classes=int(bundle["classes"]),
            box_width=bundle["source"].get("box_width"),
            size=(int(height), int(width)),
            proposals=int(bundle["proposals"]),
            objects=statistics.fmean(int(sample["instances"]) for sample in samples),
            detect_ms=ms(samples, "detect"),
            nms_ms=ms(samples, "nms"),
            mask_ms=ms(samples, "mask"),
        )
        for _, samples in sorted(groups.items())
    ]


def _device(record: dict[str, Any]) -> str:
    """A name that two records of one kind of device share."""
    machine = record["machine"]
    named = [machine[part] for part in ("board", "soc", "cpu", "arch") if isinstance(machine.get(part), str)]
    return ", ".join(dict.fromkeys(named)) or "an unnamed device"


def _names(files: Sequence[Path]) -> str:
    return ", ".join(map(str, files))
