"""The stages that hold the bundle's files and rules against their source: pre- and postprocessing, golden result."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from convert.artifacts import Job
from convert.check.tolerance import FP32, tolerance_for
from convert.recipe import RECIPES
from convert.verify.compare import compare_instances, difference_of, merge
from convert.verify.heatmap import draw_boxes, heat, where_instances
from convert.verify.reference import WORST_LEVELS, charts, choose, explain, judge
from convert.verify.source import different_settings
from convert.verify.state import State, shown
from convert.verify.trace import load
from edge_seg.bundle import Bundle
from edge_seg.bundles.check import CheckReport
from edge_seg.errors import BundleError
from edge_seg.manifest import Manifest, PostprocessSpec
from edge_seg.runtime import preprocess as runtime
from edge_seg.runtime.one_graph import FULL
from edge_seg.runtime.postprocess import select
from edge_seg.runtime.result import Instances
from edge_seg.runtime.selftest import read_golden
from edge_seg.verification import Difference, Shown, StageResult
from edge_seg.words import counted


def files(bundle: Bundle, faults: Mapping[str, BundleError], checked: CheckReport) -> StageResult:
    """Every file against the manifest's hash, by the files' names, and what else ``edge-seg bundle check`` checks."""
    differences = [Difference(name, ok=False, note=fault.message) for name, fault in faults.items()]
    for name in ("files", "engine", "tensors", "signature"):
        said = checked.checks[name]
        if isinstance(said, str):
            differences.append(Difference(name, note=said))
        elif name != "files":
            differences += [Difference(name, ok=False, note=problem.message) for problem in said]
    return StageResult("files", (*differences, _recipe(bundle.manifest)))


def _recipe(manifest: Manifest) -> Difference:
    """By the recipe the bundle is made again and judged: what the manifest says of it mustn't be taken on trust."""
    recipe = RECIPES.get(manifest.recipe)
    if recipe is None:
        note = f"the manifest's recipe {manifest.recipe!r} is none of {', '.join(RECIPES)}"
        return Difference("recipe", ok=False, note=note)
    pairs = ((name, getattr(manifest, name), getattr(recipe, name)) for name in ("engine", "target", "precision"))
    other = [f"the manifest's {name} is {found}, its recipe's {made}" for name, found, made in pairs if found != made]
    requires = manifest.optimizer.get("requires")
    if recipe.engine == "paddle-lite" and requires != list(recipe.requires):
        # By it, a board refuses what its library would abort on.
        other.append(f"the manifest's optimizer.requires is {requires}, its recipe's {list(recipe.requires)}")
    return Difference("recipe", ok=not other, note="; ".join(other) or recipe.name)


@np.errstate(all="ignore")  # of a mean of 1e300, infinity is what is to be told
def preprocessing(state: State) -> StageResult:
    """The runtime's pixels by the manifest's settings, against the rule by the settings of the source."""
    found = state.manifest.preprocess
    expected = state.job.preprocess if state.job else found
    settings = different_settings(expected, found, tuple(f.name for f in dataclasses.fields(expected)))
    images = {**{p.name: p.pixels for p in state.images}, **charts(expected.size)}
    image, drawn = Difference("image", ok=False, note=settings), None
    if found.size == expected.size:
        differences = []
        for name, pixels in images.items():
            blob, _ = runtime.preprocess(pixels, found)
            judged = judge(pixels, blob, expected)
            one = difference_of("image", np.abs(judged.difference), "of 255 levels", WORST_LEVELS)
            differences.append([dataclasses.replace(one, ok=judged.ok)])
            if drawn is None and not judged.ok:
                amount = np.abs(judged.difference).max(axis=0)
                drawn = Shown(f"{name}, image: brightest where it differs most", heat(pixels, amount, expected.size))
                why = explain(pixels, blob, expected), settings
        image = merge(differences)[0]
        if drawn:
            image = image.noted(*why)
    of_settings = (
        (Difference("settings", ok=not settings, note=settings or "as its source has them"),) if state.job else ()
    )
    return StageResult("preprocessing", (image, *of_settings), "the rule in float64", shown=drawn)


def golden(state: State) -> StageResult:
    """The golden result that the bundle carries, against what the newest stage finds in the golden image."""
    previous = state.previous
    if previous is None:
        return StageResult("golden", skipped=state.no_job)
    if state.golden_fault:
        return StageResult("golden", (Difference("golden file", ok=False, note=state.golden_fault),))
    _, expected = read_golden(state.bundle)
    found = load(state.traces[previous], 0).instances
    differences = _against_golden(state, expected, found)
    stage = StageResult("golden", tuple(differences), previous)
    fault = stage.fault
    if fault is None:
        return stage
    image = state.images[0].pixels
    stage = dataclasses.replace(
        stage, shown=shown(state.images[0].name, stage, where_instances(fault.tensor, found, expected, image))
    )
    if state.job:
        return stage
    way = "convert the exported model again" if FULL in state.manifest.graphs else "--run tells which"
    why = f"its settings, its graphs or its golden result are other than they were: {way}"
    differences[differences.index(fault)] = fault.noted(why)
    return dataclasses.replace(stage, differences=tuple(differences))


def _against_golden(state: State, expected: Instances, found: Instances) -> list[Difference]:
    limit = FP32 if state.job else tolerance_for(state.manifest.precision)
    # Without the model, the golden result is all there is to judge by.
    steady = state.job is None or not state.ties[0].detections
    return merge([compare_instances(found, expected, limit, state.scale(state.images[0]), steady=steady)])


def postprocessing(state: State) -> StageResult:
    """The boxes that the runtime keeps by the manifest's settings, against the rule by the settings of the source.

    Both choose from what paddle itself gave.
    """
    manifest, job = state.manifest, state.job
    if job is None:
        return StageResult("postprocessing", skipped=state.no_job)
    chosen = [_chosen(state, number, job.postprocess) for number in range(len(state.images))]
    kept = merge([_choice(*pair)] for pair in chosen)[0]
    settings = different_settings(job.postprocess, manifest.postprocess, tuple(vars(job.postprocess)))
    told = "; ".join(filter(None, [settings, *_others(job, manifest)]))
    if told and not kept.ok:
        kept = kept.noted(told)
    stage = StageResult(
        "postprocessing", (kept, Difference("settings", ok=not told, note=told or "as its source has them")), "the rule"
    )
    if kept.ok or kept.image is None:
        return stage
    image = state.images[kept.image]
    geometry = _geometry(state, kept.image)
    scale = np.array([geometry.scale_x, geometry.scale_y] * 2, np.float32)
    pair = (np.array([box for box, _ in side], np.float32).reshape(-1, 4) / scale for side in chosen[kept.image])
    return dataclasses.replace(stage, shown=shown(image.name, stage, draw_boxes(image.pixels, *pair)))


def _others(job: Job, manifest: Manifest) -> Iterator[str]:
    """What the manifest says of the model beyond pre- and postprocessing, and its source otherwise."""
    if manifest.model != job.zoo_model:
        yield f"the manifest has model {manifest.model}, its source {job.zoo_model}"
    names = ["classes", "category_ids", "proposals"]
    names += [name for name, graph in (("canonical_size", "trunk"), ("rpn", "rpn")) if graph in manifest.graphs]
    yield different_settings(job, manifest, names)


Chosen = list[tuple[tuple[float, ...], int]]
"""Boxes in input pixels, and their classes."""


def _chosen(state: State, number: int, spec: PostprocessSpec) -> tuple[Chosen, Chosen]:
    """What is kept of image ``number``, best first: by the rule and ``spec``, and by runtime and manifest."""
    detect = load(state.traces["paddle"], number).detect
    boxes, scores = detect["boxes"], detect["scores"]
    geometry = _geometry(state, number)
    # An untrained model may have no score above the threshold, and nothing to choose from.
    lowest = None if state.instances is None else 0.0
    extent = geometry.scaled_height, geometry.scaled_width
    rule = choose(boxes, scores, spec, extent, spec.score_threshold if lowest is None else lowest)
    kept = select(boxes, scores, state.manifest.postprocess, extent=extent, score_threshold=lowest)
    return (
        [(tuple(boxes[row, label].tolist()), label) for row, label in rule],
        [(tuple(box), label) for box, label in zip(kept.boxes.tolist(), kept.classes.tolist(), strict=True)],
    )


def _choice(expected: Chosen, found: Chosen) -> Difference:
    other = len(set(expected) ^ set(found)) or int(expected != found)
    total = max(1, len(expected) + len(found))
    note = f"{counted(len(found), 'box')} kept, {len(expected)} by the rule"
    return Difference("kept boxes", other / total, None, "not common", 0.0, other == 0, note)


def _geometry(state: State, number: int) -> runtime.Geometry:
    height, width = state.images[number].pixels.shape[:2]
    return runtime.geometry_of(width, height, state.manifest.preprocess)
