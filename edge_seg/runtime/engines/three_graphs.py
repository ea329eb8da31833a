"""The steps `detect` and `mask` over the three graphs `trunk`, `box_head` and `mask_head`, with RoIAlign in between.

So a segmenter, a check or a benchmark need not know in which form a bundle is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from edge_seg.manifest import THREE_GRAPHS, PreprocessSpec, ProposalSpec, TensorSpec
from edge_seg.runtime.engines.convolutions import Convolutions
from edge_seg.runtime.engines.engine import Arrays, Engine
from edge_seg.runtime.engines.pyramid_engine import PyramidEngine
from edge_seg.runtime.proposals import Proposer


class HasInputs(Protocol):
    """A graph, in whatever stage of its life."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...


class Rules(Protocol):
    """What is done between graphs: a manifest, or what one is made from."""

    @property
    def canonical_size(self) -> int | None: ...
    @property
    def rpn(self) -> ProposalSpec | None: ...
    @property
    def proposals(self) -> int: ...
    @property
    def preprocess(self) -> PreprocessSpec: ...


def in_two_steps(engine: Engine, graphs: Mapping[str, HasInputs], rules: Rules) -> Engine:
    """``engine``, which runs ``graphs``, as one that runs `detect` and `mask`: itself where these are its graphs."""
    if "trunk" not in graphs or rules.canonical_size is None:
        return engine
    resolutions = [next(t.shape[-1] for t in graphs[name].inputs if t.name == "pooled") for name in THREE_GRAPHS[1:]]
    if "rpn" not in graphs:
        return ThreeGraphs(engine, rules.canonical_size, *resolutions)
    assert rules.rpn is not None  # the manifest's check, and a job's own kind, see to it
    return Convolutions(
        engine,
        Proposer(rules.rpn, rules.preprocess.size, rules.proposals),
        proposals=rules.proposals,
        canonical_size=rules.canonical_size,
        box_resolution=resolutions[0],
        mask_resolution=resolutions[1],
    )


class ThreeGraphs(PyramidEngine):
    """See the module."""

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        """The step's outputs by name, as the graph `detect` or `mask` would give them."""
        if graph == "mask":
            pooled = self._pool(inputs, inputs["boxes"], self._mask_resolution)
            return self._run_part("mask_head", {"pooled": pooled, "channel": inputs["channel"]})
        self.inner_ns.clear()
        found = self._run_part("trunk", inputs)
        rois = found.pop("rois")
        pooled = self._pool(found, rois, self._box_resolution)
        return {**self._run_part("box_head", {"pooled": pooled, "rois": rois}), **found}
