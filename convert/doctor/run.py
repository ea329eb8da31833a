"""A run, or a zoo model with random weights: exported, converted, and held against paddle on an image."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.artifacts import Exported, Job
from convert.backends.kernels import kernels
from convert.doctor.model import describe, facts
from convert.program.program import read_program
from convert.recipe import Recipe, find_recipe
from edge_seg.doctor.bundle import self_test
from edge_seg.doctor.report import Finding, Report, failure
from edge_seg.errors import ConversionError
from edge_seg.files import scratch_dir
from edge_seg.process.guard import phase

if TYPE_CHECKING:
    from convert.pipeline import Pipeline


def examine_run(source: str, target: str, size: tuple[int, int] | None, runner: Sequence[str] = ()) -> Report:
    """The run in the folder ``source``, or the zoo's model of that name. Raises what loading it raises."""
    from convert.job import DEFAULT_CLASSES, Options, random_job, run_job
    from convert.pipeline import Pipeline

    options = Options(size=size)
    path = Path(source)
    job: Job = run_job(path, options) if path.exists() else random_job(source, 0, DEFAULT_CLASSES, options)
    recipe = find_recipe(f"{target}-fp32")
    with scratch_dir(Path(tempfile.gettempdir()) / "doctor") as scratch:
        phase(f"exporting {source}")
        pipeline = Pipeline(job, scratch, _say)
        findings, graphs = _static(pipeline.graphs(recipe.graphs), target)
        if not any(finding.level == "error" for finding in findings):
            phase(f"converting {source}")
            findings += list(_proof(pipeline, recipe, runner))
    height, width = job.size
    what = f"{source} at {height}x{width} for {target}"
    return Report("model", what, tuple(findings), {"target": target, "graphs": graphs})


def _static(exported: Exported, target: str) -> tuple[list[Finding], dict[str, Any]]:
    table = kernels(target)
    findings, graphs = [], {}
    for graph in exported.graphs:
        program = read_program(graph.program)
        graphs[graph.name] = facts(program, table)
        for found in describe(program, table):
            subject = f"{graph.name}, {found.subject}"
            findings.append(Finding(found.level, subject, found.message, found.remedy, found.code))
    return findings, graphs


def _proof(pipeline: Pipeline, recipe: Recipe, runner: Sequence[str]) -> Iterator[Finding]:
    from convert.check.check import said

    try:
        made = pipeline.bundle(recipe)
    except ConversionError as problem:
        yield failure("conversion", problem)
        return
    yield Finding("ok", "conversion", f"{said(made.report)}; the same twice")
    if runner:
        yield self_test(made.folder, runner)


def _say(stage: str, seconds: float) -> None:
    phase(f"after the stage {stage}")
