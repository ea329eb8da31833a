"""The steps `detect` and `mask` over graphs of convolutions alone, with everything that decides in between.

The graphs: ``trunk``, image → P2 to P6; ``rpn``, one level's map → its logits and deltas; ``box_head``, pooled features
→ class logits and deltas; ``mask_head``, pooled features → mask logits of all classes. An engine that can convolve can
run a Mask R-CNN, and all of them turn the same logits into the same instances.
"""

from __future__ import annotations

from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from edge_seg.manifest import FEATURES
from edge_seg.runtime.engines.engine import Arrays, Engine
from edge_seg.runtime.engines.pyramid_engine import PyramidEngine
from edge_seg.runtime.exact import sigmoid, softmax
from edge_seg.runtime.proposals import Proposer

COARSEST = "p6"
"""The trunk's map that serves proposals only."""


class Convolutions(PyramidEngine):
    """See the module. An engine over ``engine``; `detect` gives ``proposals`` rows, as a graph of fixed shape would."""

    def __init__(
        self,
        engine: Engine,
        proposer: Proposer,
        *,
        proposals: int,
        canonical_size: int,
        box_resolution: int,
        mask_resolution: int,
    ) -> None:
        super().__init__(engine, canonical_size, box_resolution, mask_resolution)
        self._proposer = proposer
        self._proposals = proposals

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        """The step's outputs by name, as the graph `detect` or `mask` would give them."""
        if graph == "mask":
            return {"masks": self._masks(inputs)}
        self.inner_ns.clear()
        begin = perf_counter_ns()
        maps = self._engine.run("trunk", inputs)
        levels = [self._engine.run("rpn", {"map": maps[name]}) for name in (*FEATURES, COARSEST)]
        self._spent("trunk", begin)
        begin = perf_counter_ns()
        rois = self._proposer.propose([found["logits"] for found in levels], [found["deltas"] for found in levels])
        self._spent("proposals", begin)
        missing = self._proposals - len(rois)
        if missing:  # a box without area stands for all that are missing; the head sees it once
            rois = np.concatenate([rois, np.zeros((1, 4), np.float32)])
        features = {name: maps[name] for name in FEATURES}
        found = self._run_part("box_head", {"pooled": self._pool(features, rois, self._box_resolution)})
        boxes, scores = self._proposer.decode(rois, found["deltas"]), softmax(found["logits"])
        if missing > 1:
            boxes, scores = (np.concatenate([x, np.repeat(x[-1:], missing - 1, axis=0)]) for x in (boxes, scores))
        return {"boxes": boxes, "scores": scores, **features}

    def _masks(self, inputs: Arrays) -> NDArray[np.float32]:
        boxes, channel = inputs["boxes"], inputs["channel"]
        pooled = self._pool(inputs, boxes, self._mask_resolution)
        logits = self._run_part("mask_head", {"pooled": pooled})["logits"]
        return sigmoid(logits.reshape(-1, *logits.shape[2:])[channel])
