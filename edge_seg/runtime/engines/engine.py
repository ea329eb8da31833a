"""What every engine is, whatever library is behind it."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edge_seg.runtime.result import Instances

Arrays = dict[str, NDArray[Any]]


class Engine(Protocol):
    """Runs graphs by name, for one thread at a time: a Segmenter sees to that (:mod:`edge_seg.runtime.turns`)."""

    name: str

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        """The graph's outputs by name: arrays of their own, never views into the library's memory."""

    def describe(self) -> dict[str, Any]:
        """What a record says of the engine: name, version, threads, and what else decides its speed."""

    def close(self) -> None:
        """Frees the library's memory."""


@runtime_checkable
class ImageEngine(Protocol):
    """An engine that does more than graphs: all from the image to the instances. It needn't run a graph alone."""

    def segment(
        self, image: NDArray[np.uint8], score: float | None, instances: int | None
    ) -> tuple[Instances, dict[str, int]]:
        """What :meth:`edge_seg.runtime.segmenter.Segmenter.timed` returns, for uint8[H, W, 3] in BGR order."""
