"""Which layers are kept out of int8, so that no more accuracy is lost than the user allows.

Layers are ranked by the harm that each does alone: how far the outputs that hang on it smoothly (feature maps,
proposals' scores and deltas before they are sorted, boxes and scores of given proposals, masks) move when it is the
only one in int8. Then the fewest of the worst are kept in float with which the loss, measured on annotated images, is
within the limit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.artifacts import Job
from convert.export import reference
from convert.program.edit import ProgramEdit, only, quantizable
from convert.program.executor import Executor, GraphProgram, stepwise
from convert.quantize.rewrite import Plan, rewrite
from edge_seg.errors import ConversionError
from edge_seg.runtime.engines import Arrays
from edge_seg.runtime.engines.recorder import Recorder
from edge_seg.runtime.segmenter import Segmenter

if TYPE_CHECKING:
    from edge_seg.data.coco import CocoDataset

LIMIT_IMAGES = 200
_RANKED_ON = 2
Graphs = Sequence[GraphProgram]


def within(
    job: Job, graphs: Graphs, plan: Plan, images: Sequence[Any], dataset: CocoDataset, points: float
) -> tuple[Plan, dict[str, Any]]:
    """``plan``, with as many layers in float as it takes to lose at most ``points`` of mask mAP; and what was measured.

    Raises :class:`ConversionError` when even weights in 16 bits lose more.
    """
    before = _map(job, graphs, dataset)
    tried: dict[tuple[int, int], float] = {}
    ranking: list[str] = []

    def loss(bits: int, count: int) -> float:
        if (bits, count) not in tried:
            chosen = dataclasses.replace(plan, weight_bits=bits, floats=tuple(sorted(ranking[:count])))
            tried[bits, count] = before - _map(job, [rewrite(graph, chosen) for graph in graphs], dataset)
        return tried[bits, count]

    for bits in (8, 16):
        if loss(bits, 0) > points and not ranking:
            ranking = rank(job, graphs, plan, images[:_RANKED_ON])
        count = fewest(len(ranking), lambda floats, bits=bits: loss(bits, floats) <= points)  # type: ignore[misc]
        if count is not None:
            break
    else:
        raise ConversionError(
            f"int8 loses {loss(8, 0):.2f} points of mask mAP, and {loss(16, len(ranking)):.2f} with every layer in "
            f"float: more than the {points:g} allowed",
            remedy="allow more with --keep-accuracy, or convert with arm-fp32",
            code="accuracy-lost",
        )
    measured = {
        "images": min(len(dataset), LIMIT_IMAGES),
        "allowed_points": points,
        "float_mask_map": round(before / 100, 5),
        "lost_points": round(loss(bits, count), 3),
        "lost_points_all_int8": round(loss(8, 0), 3),
    }
    return dataclasses.replace(plan, weight_bits=bits, floats=tuple(sorted(ranking[:count]))), measured


def fewest(most: int, suffices: Callable[[int], bool]) -> int | None:
    """The least number from 0 to ``most`` that suffices, if more are never worse; None when not even ``most`` does."""
    if suffices(0):
        return 0
    low, high = 0, 1
    while high < most and not suffices(high):
        low, high = high, high * 2
    high = min(high, most)
    if high <= low or not suffices(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


def rank(job: Job, graphs: Graphs, plan: Plan, images: Sequence[Any]) -> list[str]:
    """The layers that ``plan`` computes in int8, the most harmful first."""
    layers = {graph.name: sorted({layer for layer, _ in quantizable(graph.content)}) for graph in graphs}
    every = {layer for of in layers.values() for layer in of}
    harm: dict[str, float] = {}
    for graph in graphs:
        inputs = [_inputs(job, graphs, image)[graph.name] for image in images]
        probes = _probes(graph)
        expected = _outputs(graph, dataclasses.replace(plan, floats=tuple(every)), inputs, probes)
        for layer in layers[graph.name]:
            alone = dataclasses.replace(plan, floats=tuple(every - {layer}))
            found = _outputs(graph, alone, inputs, probes)
            harm[layer] = max(_apart(a, b) for a, b in zip(expected, found, strict=True))
    return sorted(harm, key=lambda layer: (-harm[layer], layer))


def _probes(graph: GraphProgram) -> list[str]:
    """What `generate_proposals` reads: past it, boxes are sorted, and small changes make large ones."""
    proposals = [op for op in ProgramEdit(graph.content).block.ops if op.type == "generate_proposals_v2"]
    return [only(op.inputs, parameter) for op in proposals for parameter in ("Scores", "BboxDeltas")]


def _outputs(
    graph: GraphProgram, plan: Plan, inputs: Sequence[Arrays], probes: list[str]
) -> list[np.ndarray[Any, Any]]:
    executor = Executor([rewrite(graph, plan)])
    values = []
    for feed in inputs:
        outputs, watched = executor.watch(graph.name, feed, probes)
        smooth = {name: value for name, value in outputs.items() if name != "rois"}
        values += [*smooth.values(), *watched.values()]
    return values


def _inputs(job: Job, graphs: Graphs, image: Any) -> dict[str, Arrays]:
    """What each graph is given for ``image``, unrounded."""
    engine = Recorder(Executor(graphs))
    best = min(reference.FALLBACK_INSTANCES, job.postprocess.keep)
    Segmenter.over(stepwise(engine, graphs, job), job.preprocess, job.postprocess, instances=best)(image)
    return engine.inputs


def _apart(expected: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> float:
    return float(np.linalg.norm(expected - found)) / max(1e-9, float(np.linalg.norm(expected)))


def _map(job: Job, graphs: Graphs, dataset: CocoDataset) -> float:
    """Mask mAP, in points."""
    from edge_seg.train.evaluate import evaluate

    engine = stepwise(Executor(graphs), graphs, job)
    segmenter = Segmenter.over(engine, job.preprocess, job.postprocess, classes=job.classes)
    return 100 * (evaluate(segmenter, dataset, limit=LIMIT_IMAGES).mask_map or 0.0)
