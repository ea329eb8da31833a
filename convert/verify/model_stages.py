"""The rungs that compute: the model itself, its exported graphs, the bundle's engine on this host, a device."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convert.artifacts import Draft, Exported, Job, Referenced
from convert.assemble import assemble
from convert.backends.compile import compile_graphs
from convert.check.tolerance import FP32, tolerance_for
from convert.recipe import Recipe, find
from convert.verify.compare import Reading, compare_instances, merge, second_run
from convert.verify.heatmap import where_instances
from convert.verify.state import Climb, Rung, ascend, map_reading, shown
from convert.verify.trace import Task, load, run_task, trace_all
from edge_seg.errors import EngineError
from edge_seg.manifest import Manifest
from edge_seg.runtime import selftest
from edge_seg.runtime.parity import Tolerance
from edge_seg.runtime.result import Instances
from edge_seg.runtime.segmenter import Segmenter
from edge_seg.targets import Target, open_target
from edge_seg.targets.drive import drive

_TOLD = Tolerance(matched=0.0, box_px=1e6, score=1.0, mask_iou=0.0, mask_pixels=10**9, feature=1e6)
_STRUCTURE = 256
"""Bytes at most between a weight's values and its name in a ``.nb``."""


def paddle(climb: Climb) -> Rung:
    """The layers themselves, with the settings of the source: the reference of all that follows."""
    job = climb.job
    if job is None:
        return Rung("paddle", skipped=climb.no_job)
    from edge_seg.train.engine import DynamicEngine

    engine = DynamicEngine(job.model, job.size, job.proposals, job.before_nms)
    segmenter = Segmenter.over(engine, job.preprocess, job.postprocess, classes=job.classes, instances=climb.instances)
    out = climb.scratch / "paddle"
    out.mkdir()
    trace_all(segmenter, climb.files, climb.data, out, ties=True)
    return ascend(climb, "paddle", out, FP32)


def exported(climb: Climb) -> Rung:
    """The exported program as it is: Paddle Inference without optimisation passes and without oneDNN."""
    if climb.job:
        plain = _build(climb, climb.job, find("cpu-fp32"), "plain")
    elif climb.manifest.engine == "paddle-inference":
        plain = climb.bundle.path  # it holds the exported program itself
    else:
        return Rung("exported", skipped=climb.no_job)
    return ascend(climb, "exported", _run(climb, plain, "exported", plain=True), FP32)


def is_rounded(manifest: Manifest) -> bool:
    """Whether the bundle's graphs were rounded before they were converted."""
    return bool(find(manifest.recipe).rounding)


def rounded(climb: Climb) -> Rung:
    """The exported program, rounded as the manifest tells: what rounding costs is told, and judged by mAP alone."""
    if climb.job is None:
        return Rung("rounded", skipped=climb.no_job)
    recipe = dataclasses.replace(find("cpu-fp32"), precision=climb.manifest.precision)
    plain = _build(climb, climb.job, recipe, "plain-rounded")
    return ascend(climb, "rounded", _run(climb, plain, "rounded", plain=True), _TOLD, exact=False)


def host(climb: Climb) -> Rung:
    """The bundle's engine on this machine; for a bundle that can't run here, its twin made from the same source."""
    manifest, job = climb.manifest, climb.job
    recipe = find(manifest.recipe)
    here = climb.bundle.path
    if recipe.witness != recipe.name:
        if job is None:
            return Rung("host", skipped=f"a bundle for {manifest.target} can't run here, and {climb.no_job}")
        here = _build(climb, job, find(recipe.witness), "twin")
    exact = manifest.precision in ("fp32", "w8", "w16")
    rung = ascend(climb, "host", _run(climb, here, "host"), tolerance_for(manifest.precision), exact)
    if job is None:
        return rung
    again = _made_again(climb, job, recipe)
    readings = list(rung.readings)
    why = "; ".join(f"{item.tensor}: {item.note}" for item in again if not item.ok)
    if rung.fault and why:
        readings[readings.index(rung.fault)] = rung.fault.noted(why)
    return dataclasses.replace(rung, readings=(*readings, *again))


def device(climb: Climb) -> Rung:
    """The bundle on a device, through a runner; only results come back from there."""
    if climb.runner is None and climb.on is None:
        return Rung("device", skipped="no board is named (--on), and no runner (--runner)")
    with open_target(climb.on or "local", runner=climb.runner or ()) as target:
        return _on_device(climb, target)


def _on_device(climb: Climb, target: Target) -> Rung:
    exact = climb.manifest.precision == "fp32"
    limit = Tolerance(**dataclasses.asdict(selftest.tolerance_of(climb.bundle)))
    found, repeats = run_device(target, climb.bundle.path, climb.files, climb.instances)
    below = climb.below
    expected = climb.results(below) if below else [selftest.read_golden(climb.bundle)[1]]
    readings = merge(
        [
            *compare_instances(wanted, got, limit, climb.scale(picture), steady=not climb.ties[number].detections),
            second_run(repeats),
        ]
        for number, (wanted, got, picture) in enumerate(zip(expected, found, climb.pictures, strict=False))
    )
    if climb.data:
        on_data, _ = run_device(target, climb.bundle.path, climb.data, None)
        readings += map_reading(climb, "device", below, exact, on_data)
    rung = Rung("device", tuple(readings), below or "golden")
    fault = rung.fault
    if fault is None or fault.picture is None:
        return rung
    picture, number = climb.pictures[fault.picture], fault.picture
    drawn = where_instances(fault.tensor, expected[number], found[number], picture.pixels)
    return dataclasses.replace(rung, shown=shown(picture.name, rung, drawn))


def _run(climb: Climb, bundle: Path, name: str, plain: bool = False) -> Path:
    """Traces of all pictures through ``bundle``, with the verified bundle's own settings unless it is the plain one."""
    out = climb.scratch / name
    run_task(
        Task(
            str(bundle),
            str(out),
            tuple(map(str, climb.files)),
            plain=plain,
            instances=climb.instances,
            data=tuple(map(str, climb.data)),
            preprocess=None if plain else climb.manifest.preprocess,
            postprocess=None if plain else climb.manifest.postprocess,
            ties=climb.below is None,
        )
    )
    return out


def _build(climb: Climb, job: Job, recipe: Recipe, name: str) -> Path:
    """A bundle made from the source as ``edge-seg convert`` would, not verified."""
    folder = climb.scratch / name
    folder.mkdir()
    assemble(compile_graphs(Draft(_form(climb, job, recipe), recipe, folder, None)))
    return folder


def _form(climb: Climb, job: Job, recipe: Recipe) -> Exported:
    """The exported graphs, rounded by the manifest's plan where the recipe starts from such."""
    exported = _export(climb, job)
    if not recipe.rounding:
        return exported
    if climb.rounded is None:
        from convert.quantize.plan import again

        told = climb.manifest.optimizer.get("quantisation")
        climb.rounded = again(exported, told, recipe.precision, climb.scratch / "rounded-graphs")
    return climb.rounded


def _export(climb: Climb, job: Job) -> Exported:
    if climb.exported is None:
        from convert.export.export import export

        first = load(climb.traces["paddle"], 0)
        folder = climb.scratch / "graphs"
        folder.mkdir()
        climb.exported = export(Referenced(job, first.detect, first.instances, climb.instances), folder, climb.form)
    return climb.exported


def _made_again(climb: Climb, job: Job, recipe: Recipe) -> list[Reading]:
    """Each file of the graphs against what the recipe makes of the source today."""
    again = _build(climb, job, recipe, "again")
    counts = {name.encode(): int(np.prod(value.shape)) for name, value in job.model.state_dict().items()}
    files = [name for graph in climb.manifest.graphs.values() for name in graph.files]
    ran = recipe.witness == recipe.name
    return [_same(name, climb.bundle.path / name, again / name, counts, ran) for name in files]


def _same(name: str, found: Path, expected: Path, counts: dict[bytes, int], ran: bool) -> Reading:
    """One file's reading. ``ran``: it was run on this host, which vouches for what another version wrote otherwise."""
    if not expected.is_file():
        return Reading(name, ok=False, note="the recipe makes no such file")
    again, ours = expected.read_bytes(), found.read_bytes()
    if again == ours:
        return Reading(name, note="the same bytes as made again from its source")
    if name.endswith(".nb"):
        pair = _weights(again, counts), _weights(ours, counts)
        other = [weight.decode() for weight in pair[0] if pair[0][weight] != pair[1].get(weight)]
        if other:
            named = ", ".join(other[:3]) + (f" and {len(other) - 3} more" if len(other) > 3 else "")
            return Reading(name, ok=False, note=f"weights other than its source's: {named}")
    if len(again) == len(ours):
        first = int((np.frombuffer(again, np.uint8) != np.frombuffer(ours, np.uint8)).argmax())
        return Reading(name, ok=False, note=f"edited: byte {first} is the first that isn't as made from its source")
    note = "another program than this version of edge-seg makes of its source"
    return Reading(name, ok=ran, note=note if ran else f"{note}, so its twin doesn't vouch for it: convert it again")


def _weights(nb: bytes, counts: dict[bytes, int]) -> dict[bytes, bytes]:
    """The values of a ``.nb``'s weights, as far as they are found; ``counts`` says how many each has."""
    # A name's last place is the one by its values.
    places = {word[0]: word.start() for word in re.finditer(rb"[A-Za-z_][\w.]{5,}", nb) if word[0] in counts}
    found = {name: _values_before(nb, place, counts[name]) for name, place in places.items()}
    return {name: values for name, values in found.items() if values is not None}


def _values_before(nb: bytes, place: int, count: int) -> bytes | None:
    """The vector of ``count`` values of 4, 2 or 1 bytes that ends shortly before ``place``: its length leads it."""
    for size in (4 * count, 2 * count, count):
        length = size.to_bytes(4, "little")
        for end in range(place, max(place - _STRUCTURE, size + 3), -1):
            if nb[end - size - 4 : end - size] == length:
                return nb[end - size : end]
    return None


SILENCE_S = 1800.0


def run_device(
    target: Target, bundle: Path, pictures: Sequence[Path], instances: int | None
) -> tuple[list[Instances], bool | None]:
    """The instances of each picture, and whether the same pictures again gave the same (None: not told).

    Raises :class:`EngineError` when the runner can't be started, reports an error, dies or says something else, and
    :class:`TargetError` when the board can't be reached.
    """
    options = ["--bundle", target.push(bundle), "--warmup", "0", "--repeat", "1", "--json"]
    options += ["--instances", str(instances)] if instances is not None else []
    # Each picture twice: a runner reports one result a picture, whatever --repeat is.
    there = [target.push(picture) for picture in pictures]
    outcome = drive(target, [*options, "--images", *there, *there], silence=SILENCE_S)
    results = [_instances(line) for line in outcome.results]
    if len(results) not in (len(pictures), 2 * len(pictures)):
        raise EngineError(
            f"{target.name}: the runner gave {len(results)} results for {2 * len(pictures)} pictures",
            remedy="use a runner of the same version as this edge-seg",
            code="runner-protocol",
        )
    first, second = results[: len(pictures)], results[len(pictures) :]
    return first, [r.as_json() for r in first] == [r.as_json() for r in second] if second else None


def _instances(line: dict[str, Any]) -> Instances:
    try:
        return Instances.from_json(line["instances"], line["height"], line["width"])
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise EngineError(f"the runner's result can't be read: {problem!r}", code="runner-protocol") from None
