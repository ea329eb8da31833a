"""What the stages hand on. Every artifact is frozen and holds the one before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.calibration import Source
from convert.recipe import Recipe
from edge_seg.manifest import THREE_GRAPHS, PostprocessSpec, PreprocessSpec, TensorSpec
from edge_seg.runtime.result import Instances


@dataclass(frozen=True)
class Job:
    """A model with its weights, and all that its bundles are to say of it. ``picture`` is uint8[h, w, 3] BGR.

    ``before_nms``: boxes of each pyramid level that enter the proposals' NMS; None leaves it to the model. ``model`` is
    a MaskRCNN, or None for one from elsewhere, of which there is the exported graph alone. ``trained_ranges``: what a
    quantisation-aware training says of each convolution, see :meth:`Run.input_ranges`.
    """

    model: Any
    zoo_model: str
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    preprocess: PreprocessSpec
    postprocess: PostprocessSpec
    proposals: int
    picture: NDArray[np.uint8]
    random_weights: bool
    source: dict[str, Any]
    before_nms: int | None = None
    calibration: Source = field(default_factory=Source)
    trained_ranges: Mapping[str, float] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input, pixels."""
        return self.preprocess.size

    @property
    def canonical_size(self) -> int | None:
        """The model's, see Manifest; None for a model from elsewhere."""
        return int(self.model.settings.canonical_size) if self.model else None


@dataclass(frozen=True)
class Referenced:
    """What paddle itself makes of the golden picture: the `detect` graph's outputs, and the instances.

    ``best`` is None for the ordinary result, else the number of best boxes taken whatever their scores.
    """

    job: Job
    detect: Mapping[str, NDArray[Any]]
    instances: Instances
    best: int | None


@dataclass(frozen=True)
class ExportedGraph:
    """A graph on disk in Paddle's inference format, and its tensors in order."""

    name: str
    program: Path
    weights: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class Exported:
    """All graphs of a bundle; every recipe starts from these.

    ``quantised`` is empty, or what a manifest says of how their numbers were rounded; then ``referenced`` is what
    paddle makes of the rounded graphs.
    """

    referenced: Referenced
    graphs: tuple[ExportedGraph, ...]
    quantised: dict[str, Any] = field(default_factory=dict)

    @property
    def form(self) -> tuple[str, ...]:
        """Names of the graphs."""
        return tuple(graph.name for graph in self.graphs)

    @property
    def canonical_size(self) -> int | None:
        """The manifest's: None unless the runtime is to do the RoIAlign."""
        return self.referenced.job.canonical_size if self.form == THREE_GRAPHS else None


@dataclass(frozen=True)
class Verified:
    """A whole bundle in ``folder``; ``report`` is the manifest's ``verification``."""

    recipe: Recipe
    folder: Path
    report: dict[str, Any]


@dataclass(frozen=True)
class Draft:
    """A bundle to be made in ``folder`` (empty). ``witness`` is the bundle that was run in its place, if another's."""

    exported: Exported
    recipe: Recipe
    folder: Path
    witness: Verified | None


@dataclass(frozen=True)
class Compiled:
    """The graphs' files lie in the draft's folder: for each graph their names, the program first."""

    draft: Draft
    files: Mapping[str, tuple[str, ...]]
    optimizer: dict[str, Any]


@dataclass(frozen=True)
class Assembled:
    """A bundle with a manifest, ready to be opened, but not checked yet."""

    draft: Draft
