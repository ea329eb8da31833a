"""The stages that compute: the model itself, its exported graphs, the bundle's engine on this host, a device."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convert.artifacts import Job, Referenced
from convert.check.tolerance import FP32, tolerance_for
from convert.job import layers
from convert.pipeline import Pipeline
from convert.recipe import Recipe, find_recipe
from convert.verify.compare import compare_instances, merge, second_run
from convert.verify.heatmap import where_instances
from convert.verify.state import State, compare_stage, map_difference, shown
from convert.verify.trace import Task, load, run_task, trace_all
from edge_seg.errors import EngineError
from edge_seg.manifest import Manifest
from edge_seg.runtime import selftest
from edge_seg.runtime.parity import Tolerance
from edge_seg.runtime.result import Instances
from edge_seg.runtime.segmenter import Segmenter
from edge_seg.targets import Target, open_target
from edge_seg.targets.drive import drive
from edge_seg.verification import Difference, StageResult
from edge_seg.words import counted

_TOLD = Tolerance(matched=0.0, box_px=1e6, score=1.0, mask_iou=0.0, mask_pixels=10**9, feature=1e6)


def paddle(state: State) -> StageResult:
    """The layers themselves, with the settings of the source: the reference of all that follows."""
    job = state.job
    if job is None:
        return StageResult("paddle", skipped=state.no_job)
    engine = layers(job).engine(job.size, job.proposals)
    segmenter = Segmenter.over(engine, job.preprocess, job.postprocess, classes=job.classes, instances=state.instances)
    out = state.scratch / "paddle"
    out.mkdir()
    trace_all(segmenter, state.files, state.data, out, ties=True)
    return compare_stage(state, "paddle", out, FP32)


def exported(state: State) -> StageResult:
    """The exported program as it is: Paddle Inference without optimisation passes and without oneDNN."""
    if state.job:
        plain = _build(state, state.job, find_recipe("cpu-fp32"), "plain")
    elif state.manifest.engine == "paddle-inference":
        plain = state.bundle.path  # it holds the exported program itself
    else:
        return StageResult("exported", skipped=state.no_job)
    return compare_stage(state, "exported", _run(state, plain, "exported", plain=True), FP32)


def is_rounded(manifest: Manifest) -> bool:
    """Whether the bundle's graphs were rounded before they were converted."""
    return bool(find_recipe(manifest.recipe).quantization)


def rounded(state: State) -> StageResult:
    """The exported program, rounded as the manifest tells: what rounding costs is told, and judged by mAP alone."""
    if state.job is None:
        return StageResult("rounded", skipped=state.no_job)
    recipe = dataclasses.replace(find_recipe("cpu-fp32"), precision=state.manifest.precision)
    plain = _build(state, state.job, recipe, "plain-rounded")
    return compare_stage(state, "rounded", _run(state, plain, "rounded", plain=True), _TOLD, exact=False)


def host(state: State) -> StageResult:
    """The bundle's engine on this machine, or the engine of its host check, made from the same source."""
    manifest, job = state.manifest, state.job
    recipe = find_recipe(manifest.recipe)
    here = state.bundle.path
    if recipe.host_check != recipe.name:
        if job is None:
            return StageResult("host", skipped=f"a bundle for {manifest.target} can't run here, and {state.no_job}")
        here = _build(state, job, find_recipe(recipe.host_check), "host-check")
    exact = manifest.precision in ("fp32", "w8", "w16")
    stage = compare_stage(state, "host", _run(state, here, "host"), tolerance_for(manifest.precision), exact)
    if job is None:
        return stage
    again = _made_again(state, job, recipe)
    differences = list(stage.differences)
    why = "; ".join(f"{item.tensor}: {item.note}" for item in again if not item.ok)
    if stage.fault and why:
        differences[differences.index(stage.fault)] = stage.fault.noted(why)
    return dataclasses.replace(stage, differences=(*differences, *again))


def device(state: State) -> StageResult:
    """The bundle on a device, through a runner; only results come back from there."""
    if state.runner is None and state.on is None:
        return StageResult("device", skipped="no board is named (--on), and no runner (--runner)")
    with open_target(state.on or "local", runner=state.runner or ()) as target:
        return _on_device(state, target)


def _on_device(state: State, target: Target) -> StageResult:
    exact = state.manifest.precision == "fp32"
    limit = Tolerance(**dataclasses.asdict(selftest.tolerance_of(state.bundle)))
    found, repeats = run_device(target, state.bundle.path, state.files, state.instances)
    previous = state.previous
    expected = state.results(previous) if previous else [selftest.read_golden(state.bundle)[1]]
    differences = merge(
        [
            *compare_instances(wanted, got, limit, state.scale(image), steady=not state.ties[number].detections),
            second_run(repeats),
        ]
        for number, (wanted, got, image) in enumerate(zip(expected, found, state.images, strict=False))
    )
    if state.data:
        on_data, _ = run_device(target, state.bundle.path, state.data, None)
        differences += map_difference(state, "device", previous, exact, on_data)
    stage = StageResult("device", tuple(differences), previous or "golden")
    fault = stage.fault
    if fault is None or fault.image is None:
        return stage
    image, number = state.images[fault.image], fault.image
    drawn = where_instances(fault.tensor, expected[number], found[number], image.pixels)
    return dataclasses.replace(stage, shown=shown(image.name, stage, drawn))


def _run(state: State, bundle: Path, name: str, plain: bool = False) -> Path:
    """Traces of all images through ``bundle``, with the verified bundle's own settings unless it is the plain one."""
    out = state.scratch / name
    run_task(
        Task(
            str(bundle),
            str(out),
            tuple(map(str, state.files)),
            plain=plain,
            instances=state.instances,
            data=tuple(map(str, state.data)),
            preprocess=None if plain else state.manifest.preprocess,
            postprocess=None if plain else state.manifest.postprocess,
            ties=state.previous is None,
        )
    )
    return out


def _build(state: State, job: Job, recipe: Recipe, name: str) -> Path:
    """A bundle made from the source as ``edge-seg convert`` would, not checked."""
    if state.pipeline is None:
        first = load(state.traces["paddle"], 0)
        referenced = Referenced(job, first.detect, first.instances, state.instances)
        plan = state.manifest.optimizer.get("quantization")
        scratch = state.scratch / "made"
        scratch.mkdir()
        state.pipeline = Pipeline(job, scratch, referenced=referenced, plan=plan)
    # In the form that the bundle has, to be compared with it.
    recipe = dataclasses.replace(recipe, graphs=state.form)
    return state.pipeline.unchecked(recipe, state.scratch / name)


def _made_again(state: State, job: Job, recipe: Recipe) -> list[Difference]:
    """Each file of the graphs against what the recipe makes of the source today."""
    again = _build(state, job, recipe, "again")
    files = [name for graph in state.manifest.graphs.values() for name in graph.files]
    ran = recipe.host_check == recipe.name
    return [_same(name, state.bundle.path / name, again / name, ran) for name in files]


def _same(name: str, found: Path, expected: Path, ran: bool) -> Difference:
    """One file's difference. ``ran``: it was run on this host, which proves what another version wrote otherwise."""
    if not expected.is_file():
        return Difference(name, ok=False, note="the recipe makes no such file")
    again, ours = expected.read_bytes(), found.read_bytes()
    if again == ours:
        return Difference(name, note="the same bytes as made again from its source")
    if len(again) == len(ours):
        return Difference(name, ok=False, note="as long as made again from its source, with other bytes: it was edited")
    note = "another program than this version of edge-seg makes of its source"
    more = "" if ran else ", so the host check doesn't prove it: convert it again"
    return Difference(name, ok=ran, note=f"{note}{more}")


SILENCE_S = 1800.0


def run_device(
    target: Target, bundle: Path, images: Sequence[Path], instances: int | None
) -> tuple[list[Instances], bool | None]:
    """The instances of each image, and whether the same images again gave the same (None: not told).

    Raises :class:`EngineError` when the runner can't be started, reports an error, dies or says something else, and
    :class:`TargetError` when the board can't be reached.
    """
    options = ["--bundle", target.push(bundle), "--warmup", "0", "--repeat", "1", "--json"]
    options += ["--instances", str(instances)] if instances is not None else []
    # Each image twice: a runner reports one result an image, whatever --repeat is.
    there = [target.push(image) for image in images]
    outcome = drive(target, [*options, "--images", *there, *there], silence=SILENCE_S)
    results = [_instances(line) for line in outcome.results]
    if len(results) not in (len(images), 2 * len(images)):
        raise EngineError(
            f"{target.name}: the runner gave {counted(len(results), 'result')} for {counted(2 * len(images), 'image')}",
            remedy="use a runner of the same version as this edge-seg",
            code="runner-protocol",
        )
    first, second = results[: len(images)], results[len(images) :]
    return first, [r.as_json() for r in first] == [r.as_json() for r in second] if second else None


def _instances(line: dict[str, Any]) -> Instances:
    try:
        return Instances.from_json(line["instances"], line["height"], line["width"])
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise EngineError(f"the runner's result can't be read: {problem!r}", code="runner-protocol") from None
