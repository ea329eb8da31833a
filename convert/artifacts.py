"""What the stages hand on. Every artifact is frozen and holds the one before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convert.calibration import Source
from convert.recipe import Recipe
from edge_seg.manifest import Manifest, PostprocessSpec, PreprocessSpec, ProposalSpec, TensorSpec
from edge_seg.runtime.result import Instances


class Model(Protocol):
    """What is converted: layers (:class:`convert.job.Layers`), or a program that was exported elsewhere."""

    @property
    def canonical_size(self) -> int | None:
        """Side in pixels of a box of the pyramid's level 4, see Manifest; None where the graph holds the RoIAlign."""

    @property
    def rpn(self) -> ProposalSpec | None:
        """How a runtime makes the proposals, see Manifest; None where the graph makes them."""

    def form(self, recipe: Recipe) -> tuple[str, ...]:
        """Names of the graphs that bundles of ``recipe`` hold."""

    def refer(self, job: Job) -> Referenced:
        """What paddle makes of the job's golden image. Raises ConversionError when that isn't finite."""

    def export(self, referenced: Referenced, form: tuple[str, ...], folder: Path) -> Exported:
        """The graphs named ``form`` as programs in ``folder``. Raises ConversionError when paddle can't export them."""


@dataclass(frozen=True)
class Job:
    """A model with its weights, and all that its bundles are to say of it.

    ``image``: the golden image, uint8[h, w, 3] BGR. ``source``: what the manifest says of the model's origin.
    ``trained_ranges``: what a quantization-aware training says of each convolution, see :meth:`Run.input_ranges`.
    """

    model: Model
    zoo_model: str
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    preprocess: PreprocessSpec
    postprocess: PostprocessSpec
    proposals: int
    image: NDArray[np.uint8]
    random_weights: bool
    source: dict[str, Any]
    calibration: Source = field(default_factory=Source)
    trained_ranges: Mapping[str, float] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input, pixels."""
        return self.preprocess.size

    @property
    def canonical_size(self) -> int | None:
        """The model's."""
        return self.model.canonical_size

    @property
    def rpn(self) -> ProposalSpec | None:
        """The model's."""
        return self.model.rpn


@dataclass(frozen=True)
class Referenced:
    """What paddle itself makes of the golden image: the `detect` graph's outputs, and the instances.

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

    ``quantized`` is empty, or what a manifest says of how their numbers were rounded; then ``referenced`` is what
    paddle makes of the rounded graphs.
    """

    referenced: Referenced
    graphs: tuple[ExportedGraph, ...]
    quantized: dict[str, Any] = field(default_factory=dict)

    @property
    def form(self) -> tuple[str, ...]:
        """Names of the graphs."""
        return tuple(graph.name for graph in self.graphs)

    @property
    def canonical_size(self) -> int | None:
        """The manifest's: None unless the runtime is to do the RoIAlign."""
        return self.referenced.job.canonical_size if "trunk" in self.form else None

    @property
    def rpn(self) -> ProposalSpec | None:
        """The manifest's: None unless the runtime is to make the proposals."""
        return self.referenced.job.rpn if "rpn" in self.form else None


@dataclass(frozen=True)
class Checked:
    """A whole bundle in ``folder``; ``report`` is the manifest's ``verification``."""

    recipe: Recipe
    folder: Path
    report: dict[str, Any]


@dataclass(frozen=True)
class Draft:
    """A bundle to be made in ``folder`` (empty). ``host_check``: the bundle that was run in its place, if any."""

    exported: Exported
    recipe: Recipe
    folder: Path
    host_check: Checked | None


@dataclass(frozen=True)
class Compiled:
    """The graphs' files lie in the draft's folder: for each graph their names, the program first."""

    draft: Draft
    files: Mapping[str, tuple[str, ...]]
    optimizer: dict[str, Any]


@dataclass(frozen=True)
class Assembled:
    """A bundle but for its check: the ``manifest`` isn't on disk yet."""

    draft: Draft
    manifest: Manifest
