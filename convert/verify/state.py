"""What the stages of verify share: what is verified, what was run so far, and what one stage found."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from convert.artifacts import Job
from convert.export.ties import Ties
from convert.quantize.options import TRAINED
from convert.verify.compare import compare, merge, second_run
from convert.verify.heatmap import where
from convert.verify.trace import load, load_ties, unpack
from edge_seg.bundle import Bundle
from edge_seg.errors import ConversionError
from edge_seg.files import read_json
from edge_seg.manifest import CONVOLUTION_GRAPHS, THREE_GRAPHS, TWO_GRAPHS, Manifest
from edge_seg.runtime.parity import Tolerance
from edge_seg.runtime.result import Instances
from edge_seg.verification import Difference, Shown, StageResult
from edge_seg.words import counted

if TYPE_CHECKING:
    from convert.pipeline import Pipeline
    from edge_seg.data.coco import CocoDataset
    from edge_seg.runtime.segmenter import Segmenter

MAP_LIMIT, LOSSY_MAP_LIMIT = 0.005, 0.01


@dataclass(frozen=True)
class Image:
    """An image to verify with, uint8[h, w, 3] BGR."""

    name: str
    file: Path
    pixels: NDArray[np.uint8]


@dataclass
class State:
    """What is verified and with what; ``traces`` and ``maps`` grow from stage to stage, the newest last.

    ``job`` is None where the model itself can't be run, and ``no_job`` says why. The first of the ``images`` is the
    golden one. ``instances`` as in the golden result. ``golden_fault``: why that can't be used. ``ties``: of each
    image, as the first stage that computed found them (see :mod:`convert.export.ties`).
    """

    bundle: Bundle
    job: Job | None
    no_job: str
    images: tuple[Image, ...]
    scratch: Path
    dataset: CocoDataset | None = None
    data: tuple[Path, ...] = ()
    runner: tuple[str, ...] | None = None
    on: str | None = None
    traces: dict[str, Path] = field(default_factory=dict)
    maps: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    pipeline: Pipeline | None = None
    golden_fault: str = ""
    ties: dict[int, Ties] = field(default_factory=lambda: defaultdict(Ties))

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    @property
    def form(self) -> tuple[str, ...]:
        """Names of the graphs that the source is exported to, to be compared with the bundle's."""
        forms = (CONVOLUTION_GRAPHS, THREE_GRAPHS)
        return next((form for form in forms if set(form) == self.manifest.graphs.keys()), TWO_GRAPHS)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input, pixels."""
        return self.manifest.preprocess.size

    @property
    def instances(self) -> int | None:
        return self.manifest.golden.instances

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(image.file for image in self.images)

    @property
    def previous(self) -> str | None:
        """The stage whose traces the next one is compared with."""
        return next(reversed(self.traces), None)

    def scale(self, image: Image) -> float:
        """Image pixels to a pixel of the input, at least 1."""
        height, width = image.pixels.shape[:2]
        return max(1.0, height / self.size[0], width / self.size[1])

    def results(self, stage: str) -> list[Instances]:
        """The instances of each image that ``stage`` traced."""
        return [load(self.traces[stage], number).instances for number in range(len(self.images))]


def compare_stage(state: State, name: str, traces: Path, limit: Tolerance, exact: bool = True) -> StageResult:
    """The stage whose ``traces`` have just been made, against the previous one, which it then takes the place of."""
    previous = state.previous
    state.traces[name] = traces
    if previous is None:
        state.ties.update({number: load_ties(traces, number) for number in range(len(state.images))})
        differences = merge([[second_run(load(traces, number).repeats)] for number in range(len(state.images))])
        return StageResult(name, (*differences, *map_difference(state, name, None, exact)))
    differences = merge(
        compare(
            load(state.traces[previous], number),
            load(traces, number),
            limit,
            state.scale(image),
            exact=exact,
            ties=state.ties[number],
        )
        for number, image in enumerate(state.images)
    )
    stage = StageResult(name, (*differences, *map_difference(state, name, previous, exact)), previous)
    return dataclasses.replace(stage, shown=_shown(state, stage, state.traces[previous], traces))


def _shown(state: State, stage: StageResult, previous: Path, traces: Path) -> Shown | None:
    fault = stage.fault
    if fault is None or fault.image is None:
        return None
    image = state.images[fault.image]
    pair = load(previous, fault.image), load(traces, fault.image)
    drawn = where(fault.tensor, *pair, image.pixels, state.size)
    return shown(image.name, stage, drawn)


def shown(image: str, stage: StageResult, drawn: NDArray[np.uint8] | None) -> Shown | None:
    """A drawing of where the stage's fault lies, with a caption; None for none."""
    if drawn is None or stage.fault is None:
        return None
    tensor, what = stage.fault.tensor, "brightest where it differs most"
    if tensor not in ("p2", "p3", "p4", "p5"):
        what = f"green: {stage.against}, magenta: {stage.name}"
    return Shown(f"{image}, {tensor}: {what}", drawn)


class _Replay:
    """A segmenter that knows its answers."""

    def __init__(self, classes: tuple[str, ...], answers: dict[Path, Instances]) -> None:
        self.classes = classes
        self._answers = answers

    def __call__(self, file: Path) -> Instances:
        return self._answers[file]


def map_difference(
    state: State, name: str, previous: str | None, exact: bool, found: Sequence[Instances] | None = None
) -> list[Difference]:
    """The stage's mAP (of ``found``, or of what its traces hold) against the previous stage's, where there is data."""
    if state.dataset is None:
        return []
    if found is None:
        answers: list[dict[str, Any]] = read_json(state.traces[name] / "data.json", ConversionError)
        found = [unpack(answer) for answer in answers]
    from edge_seg.train.evaluate import evaluate

    replay = _Replay(state.manifest.classes, dict(zip(state.data, found, strict=True)))
    done = evaluate(cast("Segmenter", replay), state.dataset, limit=len(state.data))
    state.maps[name] = done.mask_map, done.box_map
    note = f"mask {_mean(done.mask_map)}, box {_mean(done.box_map)}, {counted(done.images, 'image')}"
    pairs = zip(state.maps[name], state.maps.get(previous or "", (None, None)), strict=True)
    apart = [b - a for a, b in pairs if a is not None and b is not None]
    if not apart:
        return [Difference("mAP", note=note)]
    if exact:
        worst = max(map(abs, apart))
        return [Difference("mAP", worst, None, "", MAP_LIMIT, worst <= MAP_LIMIT, note)]
    lost = max(0.0, *apart)
    told = state.manifest.optimizer.get("quantization")
    told = told if isinstance(told, dict) else {}
    if name == "rounded" and told.get("algorithm") == TRAINED:  # it was the rounded model that learned
        return [Difference("mAP", lost, None, "lost", note=note)]
    limit = max(LOSSY_MAP_LIMIT, _allowed(told))
    return [Difference("mAP", lost, None, "lost", limit, lost <= limit, note)]


def _allowed(quantization: dict[str, Any]) -> float:
    """The mask mAP, 0 to 1, that the conversion was allowed to lose (--keep-accuracy); 0 where it wasn't measured."""
    try:
        return float(quantization["accuracy"]["allowed_points"]) / 100
    except (KeyError, TypeError, ValueError):
        return 0.0


def _mean(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
