"""The engine that computes nothing: what is left of an image's time is the runtime's own cost.

It returns the same arrays at every run: boxes in a grid over the input, no score above zero, and masks that are a disc.
So an image holds nothing, or, with ``instances``, as many equal objects as asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.bundle import Bundle
from edge_seg.manifest import TensorSpec
from edge_seg.runtime.anchors import RATIOS

_SURE = np.float32(20)
"""A logit that softmax and sigmoid make nearly 1 of."""


def version() -> str:
    """A number of its own: no library is behind it."""
    return "1"


def load(bundle: Bundle, threads: int) -> NullEngine:
    """The arrays that every run will return."""
    manifest = bundle.manifest
    if "full" in manifest.graphs:  # one row, the fake box that such graphs hold
        return NullEngine({"full": {t.name: _blank(t, 1) for t in manifest.graphs["full"].outputs}})
    most = max(manifest.postprocess.keep, manifest.proposals + 1)
    graphs = {
        name: {t.name: _blank(t, most) for t in graph.outputs}
        for name, graph in manifest.graphs.items()
        if name != "rpn"
    }
    if "rpn" in manifest.graphs:
        graphs["box_head"]["logits"][:, -1] = _SURE
        graphs["mask_head"]["logits"][:] = _SURE * (_disc(graphs["mask_head"]["logits"].shape[-1]) - np.float32(0.5))
    for arrays in graphs.values():
        if "rois" in arrays:
            arrays["rois"][:] = _grid(len(arrays["rois"]), manifest.preprocess.size)
        if "boxes" in arrays:
            arrays["boxes"][:] = _grid(len(arrays["boxes"]), manifest.preprocess.size)[:, None]
            arrays["scores"][:, -1] = 1
        if "masks" in arrays:
            arrays["masks"][:] = _disc(arrays["masks"].shape[-1])
    return NullEngine(graphs)


class NullEngine:
    """See the module."""

    name = "null"

    def __init__(self, outputs: dict[str, dict[str, NDArray[Any]]]) -> None:
        self._outputs = outputs
        self._levels: dict[tuple[int, ...], dict[str, NDArray[Any]]] = {}
        for arrays in outputs.values():
            _protect(arrays)

    def run(self, graph: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if graph == "rpn":
            shape = inputs["map"].shape[2:]
            if shape not in self._levels:
                self._levels[shape] = _protect(_ripple(*shape))
            return dict(self._levels[shape])
        outputs = self._outputs[graph]
        rows = inputs.get("channel", inputs.get("pooled"))
        return dict(outputs) if rows is None else {name: value[: len(rows)] for name, value in outputs.items()}

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "version": version(), "threads": 0}

    def close(self) -> None:
        """Nothing to free."""


def _blank(spec: TensorSpec, unknown: int) -> NDArray[Any]:
    return np.zeros([unknown if side == -1 else side for side in spec.shape], spec.dtype)


def _protect(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    for value in arrays.values():
        value.setflags(write=False)
    return arrays


def _ripple(height: int, width: int) -> dict[str, NDArray[Any]]:
    """A level's logits, all different and in no order, and deltas of 0: the proposals are anchors."""
    count = len(RATIOS) * height * width
    logits = np.modf(np.arange(count) * 0.6180339887)[0].astype(np.float32)
    deltas = np.zeros((1, 4 * len(RATIOS), height, width), np.float32)
    return {"logits": logits.reshape(1, len(RATIOS), height, width), "deltas": deltas}


def _grid(count: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """float32[count, 4]: boxes a fifth of the input, at places spread evenly over it."""
    places = np.modf(np.arange(count)[:, None] * [0.7549, 0.5698])[0]  # a low-discrepancy sequence
    height, width = size
    box = np.array([width, height]) * 0.2
    corner = places * box * 4
    boxes: NDArray[np.float32] = np.concatenate([corner, corner + box], axis=1).astype(np.float32)
    return boxes


def _disc(side: int) -> NDArray[np.float32]:
    """float32[side, side]: above a half within a circle, falling off linearly from the middle."""
    axis = (np.arange(side) + 0.5) / side * 2 - 1
    return np.clip(1.4 - np.hypot(axis[:, None], axis), 0, 1).astype(np.float32)
