"""The plan by which a model is quantized: for int8, from what its variables are on calibration images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.artifacts import Exported, Job, Referenced
from convert.calibration import Images
from convert.export import reference
from convert.program.edit import quantizable
from convert.program.executor import Executor, GraphProgram, Watching, stepwise
from convert.quantize.options import TRAINED
from convert.quantize.ranges import Observed
from convert.quantize.rewrite import Plan, fully_connected, rewrite
from convert.quantize.sensitivity import within
from edge_seg.errors import BundleError, ConversionError
from edge_seg.runtime.parity import compare
from edge_seg.runtime.segmenter import Segmenter

# How far P2 to P5 may move at most, root mean square as a part of their own: far more than rounding does to a sound
# model, far less than a wrong range does.
DRIFT = {"w16": 1e-3, "w8": 0.15, "int8": 0.5}

# The best of an image that the mask graph sees: a hundred tell no more of its ranges, and cost as much as the trunk.
_OBJECTS = 20

Ranges = Mapping[str, Mapping[str, float]]


def quantize(exported: Exported, precision: str, folder: Path) -> Exported:
    """``exported`` rounded as the recipes of ``precision`` ("w8", "w16", "int8") need it; files go to ``folder``.

    Raises :class:`ConversionError` when rounding changes the model too much, RunError when int8 has no images.
    """
    programs = _programs(exported)
    job = exported.referenced.job
    told: dict[str, Any] = {}
    plan = Plan(16 if precision == "w16" else 8)
    if precision == "int8":
        plan, told = _calibrated(job, programs)
    return apply(exported, programs, plan, precision, told, folder)


def again(exported: Exported, told: Any, precision: str, folder: Path) -> Exported:
    """``exported`` rounded as a manifest's ``optimizer.quantization`` tells, which needs no images.

    Raises BundleError when that is no plan.
    """
    return apply(exported, _programs(exported), from_json(told), precision, dict(told), folder)


def _programs(exported: Exported) -> list[GraphProgram]:
    return [fully_connected(GraphProgram.read(graph)) for graph in exported.graphs]


def _calibrated(job: Job, programs: Sequence[GraphProgram]) -> tuple[Plan, dict[str, Any]]:
    """The plan for int8, and how it came about."""
    options = job.calibration.options
    if job.trained_ranges and options.folder is None:
        return Plan(8, _trained(programs, job.trained_ranges)), {"algorithm": TRAINED}
    dataset = job.calibration.validation() if options.keep_accuracy is not None else None
    images = job.calibration.images()
    plan = Plan(8, ranges(observe(programs, job, images), options.algorithm))
    told = {"algorithm": options.algorithm, "calibration": images.described}
    if dataset is None or options.keep_accuracy is None:
        return plan, told
    plan, measured = within(job, programs, plan, images.pixels, dataset, options.keep_accuracy)
    return plan, {**told, "accuracy": measured}


def apply(
    exported: Exported, programs: Sequence[GraphProgram], plan: Plan, precision: str, told: dict[str, Any], folder: Path
) -> Exported:
    """The graphs by ``plan``, on disk in ``folder``, with the reference that they give."""
    made = [rewrite(program, plan) for program in programs]
    job = exported.referenced.job
    referenced = reference.refer(job, stepwise(Executor(made), made, job))
    drift = _drift(exported.referenced, referenced)
    for name, value in drift["features"].items():
        if not value <= DRIFT[precision]:
            raise ConversionError(
                f"rounded to {precision}, the model is another: {name} of the golden image changes by {value:.0%}",
                remedy="convert with arm-w8 or arm-fp32, or train with `edge-seg train --qat` for int8",
                code="quantization-drift",
            )
    graphs = tuple(program.write(graph, folder) for program, graph in zip(made, exported.graphs, strict=True))
    return Exported(referenced, graphs, {**as_json(plan), **told, "drift": drift})


def observe(programs: Sequence[GraphProgram], job: Job, images: Images) -> dict[str, dict[str, Observed]]:
    """What enters each convolution and fully connected layer of each graph, over all ``images``."""
    entering = {program.name: sorted({name for _, name in quantizable(program.content)}) for program in programs}
    seen = {graph: {name: Observed() for name in names} for graph, names in entering.items()}
    watching = Watching(programs, entering, lambda graph, name, value: seen[graph][name].add(value))
    engine = stepwise(watching, programs, job)
    rules = dataclasses.replace(job.postprocess, keep=min(job.postprocess.keep, _OBJECTS))
    for image in images:
        found = Segmenter.over(engine, job.preprocess, rules)(image)
        if not len(found):  # the mask graph has to see something
            best = min(reference.FALLBACK_INSTANCES, rules.keep)
            Segmenter.over(engine, job.preprocess, rules, instances=best)(image)
    return seen


def _trained(programs: Sequence[GraphProgram], by_layer: Mapping[str, float]) -> Ranges:
    """Each variable's range, by the layers that it enters."""
    found: dict[str, dict[str, float]] = {}
    for program in programs:
        of = found.setdefault(program.name, {})
        for layer, name in quantizable(program.content):
            if layer in by_layer:  # fully connected layers aren't trained with int8's values
                of[name] = max(of.get(name, 0.0), by_layer[layer]) or 1.0  # 0: nothing but zero was seen
    return found


def ranges(seen: Mapping[str, Mapping[str, Observed]], algorithm: str) -> Ranges:
    """For each graph and variable, the magnitude that 127 stands for."""
    return {graph: {name: found.range(algorithm) for name, found in of.items()} for graph, of in seen.items()}


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan as a manifest holds it; :func:`from_json` reads it."""
    return {
        "weight_bits": plan.weight_bits,
        "ranges": {graph: dict(of) for graph, of in plan.ranges.items()},
        "floats": list(plan.floats),
    }


def from_json(described: Any) -> Plan:
    """The plan that a manifest's ``optimizer.quantization`` holds; BundleError when it holds none."""
    try:
        ranges = {
            graph: {name: float(reach) for name, reach in of.items()} for graph, of in described["ranges"].items()
        }
        return Plan({8: 8, 16: 16}[described["weight_bits"]], ranges, tuple(map(str, described["floats"])))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise BundleError(
            "manifest.optimizer.quantization: expected weight_bits (8 or 16), ranges and floats",
            remedy="the manifest was edited: copy the bundle again or convert anew",
            code="manifest-invalid",
        ) from None


def _drift(expected: Referenced, found: Referenced) -> dict[str, Any]:
    """How far rounding moves the golden image's features (root mean square) and instances."""
    parity = compare(expected.instances, found.instances)
    return {
        "features": {name: _moved(expected.detect[name], found.detect[name]) for name in ("p2", "p3", "p4", "p5")},
        "instances": parity.expected,
        "found": parity.found,
        "matched": parity.matched,
    }


def _moved(expected: NDArray[Any], found: NDArray[Any]) -> float:
    moved = float(np.linalg.norm(expected - found)) / max(1e-9, float(np.linalg.norm(expected)))
    return float(f"{moved:.2g}")
