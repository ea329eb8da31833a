"""What every engine shares that does the RoIAlign between its graphs."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.manifest import FEATURES
from edge_seg.runtime.engines.engine import Arrays, Engine
from edge_seg.runtime.roi_align import Pyramid


class PyramidEngine:
    """An engine over ``engine``, whose pyramid of maps is made once for `detect` and `mask`."""

    def __init__(self, engine: Engine, canonical_size: int, box_resolution: int, mask_resolution: int) -> None:
        self.name: str = engine.name
        self._engine = engine
        self._canonical_size = canonical_size
        self._box_resolution, self._mask_resolution = box_resolution, mask_resolution
        self._maps: list[NDArray[np.float32]] = []
        self._pyramid: Pyramid | None = None
        self.inner_ns: dict[str, int] = {}
        """What the last `detect`, and the `mask` behind it, spent on each of their parts."""

    def _pool(self, arrays: Arrays, boxes: NDArray[np.float32], resolution: int) -> NDArray[np.float32]:
        """RoIAlign from the maps in ``arrays``: the pyramid made for `detect`, as long as `mask` is given the same."""
        begin = perf_counter_ns()
        maps = [arrays[name] for name in FEATURES]
        if self._pyramid is None or any(a is not b for a, b in zip(maps, self._maps, strict=True)):
            self._maps, self._pyramid = maps, Pyramid(maps, self._canonical_size)
        pooled = self._pyramid.pool(boxes, resolution)
        self._spent("roi_align", begin)
        return pooled

    def _run_part(self, graph: str, inputs: Arrays) -> Arrays:
        """A graph of the engine below, its time noted."""
        begin = perf_counter_ns()
        outputs: Arrays = self._engine.run(graph, inputs)
        self._spent(graph, begin)
        return outputs

    def _spent(self, part: str, begin: int) -> None:
        self.inner_ns[part] = self.inner_ns.get(part, 0) + perf_counter_ns() - begin

    def describe(self) -> dict[str, Any]:
        """The engine's own description."""
        description = self._engine.describe()
        return description

    def close(self) -> None:
        """Closes the engine."""
        self._pyramid, self._maps = None, []
        self._engine.close()
