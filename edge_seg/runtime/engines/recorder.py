"""An engine whose inputs and outputs can be looked at after a segmenter has used it."""

from __future__ import annotations

from typing import Any

from edge_seg.runtime.engines.engine import Arrays, Engine


class Recorder:
    """Runs ``engine``; ``inputs`` and ``outputs`` hold what each graph's latest run was given and gave."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.inputs: dict[str, Arrays] = {}
        self.outputs: dict[str, Arrays] = {}
        self._engine = engine

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        """The graph's outputs by name."""
        self.inputs[graph], self.outputs[graph] = inputs, self._engine.run(graph, inputs)
        return self.outputs[graph]

    def describe(self) -> dict[str, Any]:
        """The engine's own description."""
        return self._engine.describe()

    def close(self) -> None:
        """Closes the engine."""
        self._engine.close()
