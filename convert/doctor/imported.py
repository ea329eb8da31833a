"""A model that PaddleDetection or PaddleX exported: whether it can become a bundle, and the way out where it can't."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from convert.backends.kernels import kernels
from convert.backends.run_graph import LITE
from convert.doctor.model import Options, describe, examine_model, facts, prove
from convert.importers import paddle_model
from convert.importers.settings import ImportedConfig, find_config, read_config
from convert.job import Options as JobOptions
from convert.program.files import find_model
from edge_seg.bundles.text import printable
from edge_seg.doctor.report import Finding, Report, failure
from edge_seg.errors import ConversionError
from edge_seg.files import scratch_dir
from edge_seg.process.forks import warm
from edge_seg.process.guard import phase
from edge_seg.words import counted


def examine_imported(path: Path, options: Options) -> Report:
    """The model at ``path``, which has settings beside it. Raises :class:`EdgeSegError` when it isn't whole."""
    program = find_model(path).program
    phase(f"examining {program}")
    file = find_config(path)
    assert file is not None
    try:
        config = read_config(file)
    except ConversionError as problem:
        return Report("model", f"{program} for {options.target}", (failure("settings", problem),))
    if not config.is_mask_rcnn:
        plain = examine_model(path, options)
        note = Finding(
            "note", "settings", f"{_told(config)}: no Mask R-CNN, so no bundle can be made of it", paddle_model.RAW
        )
        return Report("model", plain.what, (note, *plain.findings), plain.facts)
    findings, known = _examine(path, config, options)
    return Report("model", f"{program} for {options.target}", tuple(findings), known)


def _examine(path: Path, config: ImportedConfig, options: Options) -> tuple[list[Finding], dict[str, Any]]:
    findings = [Finding("ok", "settings", _told(config))]
    size = next((shape[2:4] for shape in options.shapes.values() if len(shape) == 4), None)
    try:
        found = paddle_model.load(path, JobOptions(size=(size[0], size[1]) if size else None))
    except ConversionError as problem:
        return [*findings, failure("bundle", problem)], {"target": options.target}
    findings += list(_cut(found))
    table = kernels(options.target)
    with scratch_dir(Path(tempfile.gettempdir()) / "doctor") as scratch, warm(LITE, "paddlelite.lite"):
        graph = paddle_model.prepare(found, scratch).graph
        findings += describe(graph.program, table)
        if not any(finding.level == "error" for finding in findings):
            findings += prove(graph, Options(options.target, runner=options.runner))
    return findings, facts(graph.program, table)


def _told(config: ImportedConfig) -> str:
    size = f"{config.size[0]}x{config.size[1]}" if config.size else "any size"
    what = f"{printable(config.architecture)}{' with masks' if config.masks else ''}"
    rule = "stretched to it" if config.stretch else "scaled into it"
    classes = counted(len(config.classes), "class", "classes")
    return f"{config.made_by}'s {config.file.name}: {what}, {classes}, {size}, images {rule}"


def _cut(found: paddle_model.Imported) -> Iterator[Finding]:
    mended = f"; {', '.join(found.cut.mended)}" if found.cut.mended else ""
    yield Finding(
        "note",
        "bundle",
        f"scaling the boxes and pasting the masks is left to the runtime, which the graph is cut for{mended}",
        "edge-seg convert makes the bundle",
    )
