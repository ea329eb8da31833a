"""What was measured on a device: records of bundles that were made from the very run.

Tuning for a board takes its times from there: the bundles are made and measured first (``edge-seg bench run … --on``),
then ``edge-seg tune --record`` adds their accuracy and finds the front. A time is never predicted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convert.job import told_options
from convert.tune.space import BEFORE_NMS
from edge_seg.errors import UsageError
from edge_seg.options import SIZE
from edge_seg.records.record import Record, RecordError, read
from edge_seg.tuning import Setting
from edge_seg.words import counted

_MEASURE = "measure bundles of this run there: edge-seg bench run BUNDLE… --on DEVICE --out FILE"


@dataclass(frozen=True)
class Device:
    """One device and number of threads: model time of each setting's samples, ms. ``warnings`` are for the user."""

    name: str
    threads: int
    ms: Mapping[Setting, Sequence[float]]
    warnings: tuple[str, ...]


def read_device(files: Sequence[Path], threads: int | None, box_widths: Mapping[str, int]) -> Device:
    """The device that the records are of; ``box_widths``: the box head's width by the sha256 of a run's weights.

    Raises :class:`RecordError` when the records are of no device or of several, or none is of a bundle of these
    weights.
    """
    names = ", ".join(map(str, files))
    records, warnings = _records(files)
    devices = {_device(record) for record in records}
    if len(devices) > 1:
        raise RecordError(
            f"{names}: records of {len(devices)} devices: {'; '.join(sorted(devices))}",
            remedy="give a file with the records of one device",
        )
    mine = [record for record in records if record.bundle.source.get("weights_sha256") in box_widths]
    if not mine:
        raise RecordError(f"{names}: no record of a bundle that was made from this run", remedy=_MEASURE)
    present = sorted({record.scenario.threads for record in mine})
    wanted = threads or present[0]
    if (threads is None and len(present) > 1) or wanted not in present:
        raise RecordError(
            f"{names}: records with {', '.join(map(str, present))} threads",
            remedy="choose one of these with --threads",
        )
    mine = [record for record in mine if record.scenario.threads == wanted]
    # Times compare only where the same number of objects was looked for in the same images.
    scenario, _ = Counter(map(_images, mine)).most_common(1)[0]
    chosen = [record for record in mine if _images(record) == scenario]
    if len(chosen) < len(mine):
        warnings.append(f"left out: {counted(len(mine) - len(chosen), 'record')} of other images or numbers of objects")
    for record in chosen:
        if record.verdict.status != "valid":
            warnings.append(f"record {record.id} is {record.verdict.status}")
    ms: dict[Setting, list[float]] = {}
    for record in chosen:
        samples = ms.setdefault(_setting(record, box_widths), [])
        samples += [sample.model_ns / 1e6 for group in record.by_image() for sample in group]
    return Device(devices.pop(), wanted, ms, tuple(warnings))


def _records(files: Sequence[Path]) -> tuple[list[Record], list[str]]:
    records: list[Record] = []
    for file in files:
        found, bad = read(file)
        if bad:
            raise RecordError(f"{file}, line {bad[0].number}: {bad[0].problem}", remedy="copy the file again")
        records += found
    real = [record for record in records if record.verdict.status != "emulated"]
    if not real:
        what = "only emulated records, whose times are no board's" if records else "no records"
        raise RecordError(f"{', '.join(map(str, files))}: {what}", remedy=_MEASURE)
    emulated = len(records) - len(real)
    return real, [f"{emulated} emulated records are left out"] if emulated else []


def _setting(record: Record, box_widths: Mapping[str, int]) -> Setting:
    bundle = record.bundle
    told = told_options(str(bundle.source.get("options", "")))
    try:
        size = SIZE.convert(told["size"], None, None) if "size" in told else bundle.size
        return Setting(
            recipe=bundle.recipe,
            size=size,
            proposals=bundle.proposals,
            before_nms=int(told.get("before-nms", BEFORE_NMS[0])),
            keep=bundle.keep,
            box_width=box_widths[bundle.source["weights_sha256"]],
        )
    except (ValueError, UsageError) as problem:
        raise RecordError(f"record {record.id}: the bundle's options can't be read: {problem}") from None


def _images(record: Record) -> tuple[tuple[str, ...], int | None]:
    return tuple(image.sha256 for image in record.scenario.images), record.scenario.instances


def _device(record: Record) -> str:
    """A name that two records of one kind of device share."""
    machine = record.machine
    named = [part for part in (machine.board, machine.soc, machine.cpu, machine.arch) if part]
    return ", ".join(dict.fromkeys(named)) or "an unnamed device"
