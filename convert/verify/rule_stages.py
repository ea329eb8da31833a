"""The rungs that hold the bundle's files and rules against their source: pre- and postprocessing, golden result."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from convert.artifacts import Job
from convert.check.tolerance import FP32, tolerance_for
from convert.recipe import RECIPES
from convert.verify.compare import Reading, compare_instances, merge, reading
from convert.verify.heatmap import draw_boxes, heat, where_instances
from convert.verify.reference import WORST_LEVELS, charts, choose, explain, judge
from convert.verify.source import differences, options_of, plain
from convert.verify.state import Climb, Rung, Shown, shown
from convert.verify.trace import Task, load, run_task
from edge_seg.bundle import Bundle
from edge_seg.bundles.check import CheckReport
from edge_seg.errors import BundleError
from edge_seg.manifest import Manifest, PostprocessSpec, PreprocessSpec
from edge_seg.runtime import preprocess as runtime
from edge_seg.runtime.one_graph import FULL
from edge_seg.runtime.postprocess import select
from edge_seg.runtime.result import Instances
from edge_seg.runtime.selftest import read_golden
from edge_seg.words import counted


def files(bundle: Bundle, faults: Mapping[str, BundleError], checked: CheckReport) -> Rung:
    """Every file against the manifest's hash, by the files' names, and what else ``edge-seg bundle check`` checks."""
    readings = [Reading(name, ok=False, note=fault.message) for name, fault in faults.items()]
    for name in ("files", "engine", "tensors", "signature"):
        said = checked.checks[name]
        if isinstance(said, str):
            readings.append(Reading(name, note=said))
        elif name != "files":
            readings += [Reading(name, ok=False, note=problem.message) for problem in said]
    return Rung("files", (*readings, _recipe(bundle.manifest)))


def _recipe(manifest: Manifest) -> Reading:
    """By the recipe the bundle is made again and judged: what the manifest says of it mustn't be taken on trust."""
    recipe = RECIPES.get(manifest.recipe)
    if recipe is None:
        note = f"the manifest's recipe {manifest.recipe!r} is none of {', '.join(RECIPES)}"
        return Reading("recipe", ok=False, note=note)
    pairs = ((name, getattr(manifest, name), getattr(recipe, name)) for name in ("engine", "target", "precision"))
    other = [f"the manifest's {name} is {found}, its recipe's {made}" for name, found, made in pairs if found != made]
    requires = manifest.optimizer.get("requires")
    if recipe.engine == "paddle-lite" and requires != list(recipe.requires):
        # By it, a board refuses what its library would abort on.
        other.append(f"the manifest's optimizer.requires is {requires}, its recipe's {list(recipe.requires)}")
    return Reading("recipe", ok=not other, note="; ".join(other) or recipe.name)


@np.errstate(all="ignore")  # of a mean of 1e300, infinity is what is to be told
def preprocessing(climb: Climb) -> Rung:
    """The runtime's pixels by the manifest's settings, against the rule by the settings of the source."""
    found = climb.manifest.preprocess
    expected = climb.job.preprocess if climb.job else found
    settings = differences(expected, found, tuple(f.name for f in dataclasses.fields(expected)))
    pictures = {**{p.name: p.pixels for p in climb.pictures}, **charts(expected.size)}
    image, drawn = Reading("image", ok=False, note=settings), None
    if found.size == expected.size:
        readings = []
        for name, pixels in pictures.items():
            blob, _ = runtime.preprocess(pixels, found)
            judged = judge(pixels, blob, expected)
            one = reading("image", np.abs(judged.difference), "of 255 levels", WORST_LEVELS)
            readings.append([dataclasses.replace(one, ok=judged.ok)])
            if drawn is None and not judged.ok:
                amount = np.abs(judged.difference).max(axis=0)
                drawn = Shown(f"{name}, image: brightest where it differs most", heat(pixels, amount, expected.size))
                why = explain(pixels, blob, expected), settings
        image = merge(readings)[0]
        if drawn:
            image = image.noted(*why)
    readings_of_settings = (
        (Reading("settings", ok=not settings, note=settings or "as its source has them"),) if climb.job else ()
    )
    return Rung("preprocessing", (image, *readings_of_settings), "the rule in float64", shown=drawn)


def golden(climb: Climb) -> Rung:
    """The golden result that the bundle carries, against what the newest rung finds in the golden picture."""
    below = climb.below
    if below is None:
        return Rung("golden", skipped=climb.no_job)
    if climb.golden_fault:
        return Rung("golden", (Reading("golden file", ok=False, note=climb.golden_fault),))
    _, expected = read_golden(climb.bundle)
    found = load(climb.traces[below], 0).instances
    readings = _against_golden(climb, expected, found)
    rung = Rung("golden", tuple(readings), below)
    fault = rung.fault
    if fault is None:
        return rung
    picture = climb.pictures[0].pixels
    rung = dataclasses.replace(
        rung, shown=shown(climb.pictures[0].name, rung, where_instances(fault.tensor, found, expected, picture))
    )
    if climb.job:
        return rung
    way = "convert the exported model again" if FULL in climb.manifest.graphs else "--run tells which"
    why = _suspect(climb, expected) or f"its graphs or its golden result are other than they were: {way}"
    readings[readings.index(fault)] = fault.noted(why)
    return dataclasses.replace(rung, readings=tuple(readings))


def _against_golden(climb: Climb, expected: Instances, found: Instances) -> list[Reading]:
    limit = FP32 if climb.job else tolerance_for(climb.manifest.precision)
    # Without the model, the golden result is all there is to judge by.
    steady = climb.job is None or not climb.ties[0].detections
    return merge([compare_instances(found, expected, limit, climb.scale(climb.pictures[0]), steady=steady)])


def _suspect(climb: Climb, expected: Instances) -> str:
    """Which setting of the manifest, put right, gives the golden result; it is blamed. Empty when none does."""
    for number, (rung, what, pre, post) in enumerate(_usual(climb.bundle)):
        out = climb.scratch / f"suspect-{number}"
        pictures = (str(climb.pictures[0].file),)
        task = Task(str(climb.bundle.path), str(out), pictures, instances=climb.instances)
        run_task(dataclasses.replace(task, preprocess=pre, postprocess=post))
        if all(item.ok for item in _against_golden(climb, expected, load(out, 0).instances)):
            note = f"the manifest has {what}: with that the golden result is met"
            climb.blamed[rung] = Reading("settings", ok=False, note=note)
            return note
    return ""


def _usual(bundle: Bundle) -> Iterator[tuple[str, str, PreprocessSpec, PostprocessSpec]]:
    """Settings that a bundle is likely to have had, where its own are others: rung, what is changed, and the two."""
    pre, post = bundle.manifest.preprocess, bundle.manifest.postprocess
    usual = PreprocessSpec(pre.size)
    swapped = dataclasses.replace(pre, color=pre.color[::-1])
    for other in dict.fromkeys((usual, swapped)):
        changed = [f.name for f in dataclasses.fields(pre) if getattr(pre, f.name) != getattr(other, f.name)]
        if changed:
            yield "preprocessing", _changes(pre, other, changed), other, post
    told = options_of(bundle)
    choice = PostprocessSpec(keep=told.keep or PostprocessSpec.keep, score_threshold=told.score or 0.0)
    changed = [f.name for f in dataclasses.fields(post) if getattr(post, f.name) != getattr(choice, f.name)]
    together = [changed] if len(changed) > 1 else []
    for names in [[name] for name in changed] + together:
        chosen = dataclasses.replace(post, **{name: getattr(choice, name) for name in names})
        yield "postprocessing", _changes(post, choice, names), pre, chosen


def _changes(found: object, usual: object, names: list[str]) -> str:
    return ", ".join(f"{name} {plain(getattr(found, name))}, usual is {plain(getattr(usual, name))}" for name in names)


def postprocessing(climb: Climb) -> Rung:
    """The boxes that the runtime keeps by the manifest's settings, against the rule by the settings of the source.

    Both choose from what paddle itself gave.
    """
    manifest, job = climb.manifest, climb.job
    if job is None:
        return Rung("postprocessing", skipped=climb.no_job)
    chosen = [_chosen(climb, number, job.postprocess) for number in range(len(climb.pictures))]
    kept = merge([_choice(*pair)] for pair in chosen)[0]
    settings = differences(job.postprocess, manifest.postprocess, tuple(vars(job.postprocess)))
    told = "; ".join(filter(None, [settings, *_others(job, manifest)]))
    if told and not kept.ok:
        kept = kept.noted(told)
    rung = Rung(
        "postprocessing", (kept, Reading("settings", ok=not told, note=told or "as its source has them")), "the rule"
    )
    if kept.ok or kept.picture is None:
        return rung
    picture = climb.pictures[kept.picture]
    geometry = _geometry(climb, kept.picture)
    scale = np.array([geometry.scale_x, geometry.scale_y] * 2, np.float32)
    pair = (np.array([box for box, _ in side], np.float32).reshape(-1, 4) / scale for side in chosen[kept.picture])
    return dataclasses.replace(rung, shown=shown(picture.name, rung, draw_boxes(picture.pixels, *pair)))


def _others(job: Job, manifest: Manifest) -> Iterator[str]:
    """What the manifest says of the model beyond pre- and postprocessing, and its source otherwise."""
    if manifest.model != job.zoo_model:
        yield f"the manifest has model {manifest.model}, its source {job.zoo_model}"
    names = ("classes", "category_ids", "proposals")
    yield differences(job, manifest, (*names, "canonical_size") if "trunk" in manifest.graphs else names)


Chosen = list[tuple[tuple[float, ...], int]]
"""Boxes in input pixels, and their classes."""


def _chosen(climb: Climb, number: int, spec: PostprocessSpec) -> tuple[Chosen, Chosen]:
    """What is kept of picture ``number``, best first: by the rule and ``spec``, and by runtime and manifest."""
    detect = load(climb.traces["paddle"], number).detect
    boxes, scores = detect["boxes"], detect["scores"]
    geometry = _geometry(climb, number)
    # An untrained model may have no score above the threshold, and nothing to choose from.
    lowest = None if climb.instances is None else 0.0
    extent = geometry.scaled_height, geometry.scaled_width
    rule = choose(boxes, scores, spec, extent, spec.score_threshold if lowest is None else lowest)
    kept = select(boxes, scores, climb.manifest.postprocess, extent=extent, score_threshold=lowest)
    return (
        [(tuple(boxes[row, label].tolist()), label) for row, label in rule],
        [(tuple(box), label) for box, label in zip(kept.boxes.tolist(), kept.classes.tolist(), strict=True)],
    )


def _choice(expected: Chosen, found: Chosen) -> Reading:
    other = len(set(expected) ^ set(found)) or int(expected != found)
    total = max(1, len(expected) + len(found))
    note = f"{counted(len(found), 'box', 'boxes')} kept, {len(expected)} by the rule"
    return Reading("kept boxes", other / total, None, "not common", 0.0, other == 0, note)


def _geometry(climb: Climb, number: int) -> runtime.Geometry:
    height, width = climb.pictures[number].pixels.shape[:2]
    return runtime.geometry_of(width, height, climb.manifest.preprocess)
