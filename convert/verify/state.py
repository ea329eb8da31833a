"""What the rungs of the ladder share: what is verified, what has been climbed so far, and what one rung says."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from convert.artifacts import Exported, Job
from convert.export.ties import Ties
from convert.quantize.options import TRAINED
from convert.verify.compare import Reading, compare, merge, second_run
from convert.verify.heatmap import where
from convert.verify.trace import load, load_ties, unpack
from edge_seg.bundle import Bundle
from edge_seg.errors import ConversionError
from edge_seg.files import read_json
from edge_seg.manifest import THREE_GRAPHS, TWO_GRAPHS, Manifest
from edge_seg.runtime.parity import Tolerance
from edge_seg.runtime.result import Instances
from edge_seg.words import counted

if TYPE_CHECKING:
    from edge_seg.data.coco import CocoDataset
    from edge_seg.runtime.segmenter import Segmenter

MAP_LIMIT, LOSSY_MAP_LIMIT = 0.005, 0.01


@dataclass(frozen=True)
class Picture:
    """A picture to verify with, uint8[h, w, 3] BGR."""

    name: str
    file: Path
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class Shown:
    """A drawing, uint8[h, w, 3] BGR, and what is to be seen in it."""

    caption: str
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class Rung:
    """What was measured on one rung, ``against`` another; or why it was ``skipped``."""

    name: str
    readings: tuple[Reading, ...] = ()
    against: str = ""
    skipped: str = ""
    shown: Shown | None = None
    seconds: float = 0.0

    @property
    def fault(self) -> Reading | None:
        """The first reading that is out of tolerance."""
        return next((item for item in self.readings if not item.ok), None)


@dataclass
class Climb:
    """What is verified and with what; ``traces`` and ``maps`` grow from rung to rung, the newest last.

    ``job`` is None where the model itself can't be run, and ``no_job`` says why. The first of the ``pictures`` is the
    golden one. ``instances`` as in the bundle's golden result. ``blamed``: readings that belong to another rung than
    the one that came upon them. ``golden_fault``: why the golden result can't be used at all. ``ties``: of each
    picture, as the first rung that computed found them (see :mod:`convert.export.ties`).
    """

    bundle: Bundle
    job: Job | None
    no_job: str
    pictures: tuple[Picture, ...]
    scratch: Path
    dataset: CocoDataset | None = None
    data: tuple[Path, ...] = ()
    runner: tuple[str, ...] | None = None
    on: str | None = None
    traces: dict[str, Path] = field(default_factory=dict)
    maps: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    blamed: dict[str, Reading] = field(default_factory=dict)
    exported: Exported | None = None
    rounded: Exported | None = None
    golden_fault: str = ""
    ties: dict[int, Ties] = field(default_factory=lambda: defaultdict(Ties))

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    @property
    def form(self) -> tuple[str, ...]:
        """Names of the graphs that the source is exported to, to be compared with the bundle's."""
        return THREE_GRAPHS if "trunk" in self.manifest.graphs else TWO_GRAPHS

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input, pixels."""
        return self.manifest.preprocess.size

    @property
    def instances(self) -> int | None:
        return self.manifest.golden.instances

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(picture.file for picture in self.pictures)

    @property
    def below(self) -> str | None:
        """The rung whose traces the next one is compared with."""
        return next(reversed(self.traces), None)

    def scale(self, picture: Picture) -> float:
        """Picture pixels to a pixel of the input, at least 1."""
        height, width = picture.pixels.shape[:2]
        return max(1.0, height / self.size[0], width / self.size[1])

    def results(self, rung: str) -> list[Instances]:
        """The instances of each picture that ``rung`` traced."""
        return [load(self.traces[rung], number).instances for number in range(len(self.pictures))]


def ascend(climb: Climb, name: str, traces: Path, limit: Tolerance, exact: bool = True) -> Rung:
    """The rung whose ``traces`` have just been made, against the one below, which it then takes the place of."""
    below = climb.below
    climb.traces[name] = traces
    if below is None:
        climb.ties.update({number: load_ties(traces, number) for number in range(len(climb.pictures))})
        readings = merge([[second_run(load(traces, number).repeats)] for number in range(len(climb.pictures))])
        return Rung(name, (*readings, *map_reading(climb, name, None, exact)))
    readings = merge(
        compare(
            load(climb.traces[below], number),
            load(traces, number),
            limit,
            climb.scale(picture),
            exact=exact,
            ties=climb.ties[number],
        )
        for number, picture in enumerate(climb.pictures)
    )
    rung = Rung(name, (*readings, *map_reading(climb, name, below, exact)), below)
    return dataclasses.replace(rung, shown=_shown(climb, rung, climb.traces[below], traces))


def _shown(climb: Climb, rung: Rung, below: Path, traces: Path) -> Shown | None:
    fault = rung.fault
    if fault is None or fault.picture is None:
        return None
    picture = climb.pictures[fault.picture]
    pair = load(below, fault.picture), load(traces, fault.picture)
    drawn = where(fault.tensor, *pair, picture.pixels, climb.size)
    return shown(picture.name, rung, drawn)


def shown(picture: str, rung: Rung, drawn: NDArray[np.uint8] | None) -> Shown | None:
    """A drawing of where the rung's fault lies, with a caption; None for none."""
    if drawn is None or rung.fault is None:
        return None
    tensor, what = rung.fault.tensor, "brightest where it differs most"
    if tensor not in ("p2", "p3", "p4", "p5"):
        what = f"green: {rung.against}, magenta: {rung.name}"
    return Shown(f"{picture}, {tensor}: {what}", drawn)


class _Replay:
    """A segmenter that knows its answers."""

    def __init__(self, classes: tuple[str, ...], answers: dict[Path, Instances]) -> None:
        self.classes = classes
        self._answers = answers

    def __call__(self, file: Path) -> Instances:
        return self._answers[file]


def map_reading(
    climb: Climb, name: str, below: str | None, exact: bool, found: Sequence[Instances] | None = None
) -> list[Reading]:
    """The rung's mAP against that of the rung below, where there is data: of ``found``, or of what its traces hold."""
    if climb.dataset is None:
        return []
    if found is None:
        answers: list[dict[str, Any]] = read_json(climb.traces[name] / "data.json", ConversionError)
        found = [unpack(answer) for answer in answers]
    from edge_seg.train.evaluate import evaluate

    replay = _Replay(climb.manifest.classes, dict(zip(climb.data, found, strict=True)))
    done = evaluate(cast("Segmenter", replay), climb.dataset, limit=len(climb.data))
    climb.maps[name] = done.mask_map, done.box_map
    note = f"mask {_mean(done.mask_map)}, box {_mean(done.box_map)}, {counted(done.images, 'image')}"
    pairs = zip(climb.maps[name], climb.maps.get(below or "", (None, None)), strict=True)
    apart = [b - a for a, b in pairs if a is not None and b is not None]
    if not apart:
        return [Reading("mAP", note=note)]
    if exact:
        worst = max(map(abs, apart))
        return [Reading("mAP", worst, None, "", MAP_LIMIT, worst <= MAP_LIMIT, note)]
    lost = max(0.0, *apart)
    told = climb.manifest.optimizer.get("quantisation")
    told = told if isinstance(told, dict) else {}
    if name == "rounded" and told.get("algorithm") == TRAINED:  # it was the rounded model that learned
        return [Reading("mAP", lost, None, "lost", note=note)]
    limit = max(LOSSY_MAP_LIMIT, _allowed(told))
    return [Reading("mAP", lost, None, "lost", limit, lost <= limit, note)]


def _allowed(quantisation: dict[str, Any]) -> float:
    """The mask mAP, 0 to 1, that the conversion was allowed to lose (--keep-accuracy); 0 where it wasn't measured."""
    try:
        return float(quantisation["accuracy"]["allowed_points"]) / 100
    except (KeyError, TypeError, ValueError):
        return 0.0


def _mean(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
