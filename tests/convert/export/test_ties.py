"""The image that proves a conversion: one whose detections survive a shake of the input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.export.ties import NO_TIES, Ties, find_ties, steady_image
from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from edge_seg.runtime.preprocess import preprocess


class OneBox:
    """Finds a box whose place hangs on the last bits of a bright image, and on nothing in a dark one."""

    name = "one box"

    def describe(self) -> dict[str, Any]:
        return {}

    def close(self) -> None: ...

    def run(self, graph: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        assert graph == "detect"
        total = float(inputs["image"].astype(np.float64).mean())
        self.first = getattr(self, "first", total)
        left = 0.0 if total <= self.first or total < 0 else 8.0
        scores = np.array([[0.9, 0.1]], np.float32)
        return {"boxes": np.array([[[left, 0, 20, 20]]], np.float32), "scores": scores}


def test_an_image_whose_result_hangs_on_the_last_bits_is_passed_over() -> None:
    bright, dark = np.full((32, 32, 3), 250, np.uint8), np.full((32, 32, 3), 1, np.uint8)
    pre, post = PreprocessSpec((32, 32)), PostprocessSpec()
    assert steady_image(OneBox(), [bright, dark, bright], pre, post) is dark
    assert steady_image(OneBox(), [dark, bright], pre, post) is dark
    assert steady_image(OneBox(), [bright, bright], pre, post) is bright


def test_what_hangs_on_ties_is_counted() -> None:
    bright, dark = np.full((32, 32, 3), 250, np.uint8), np.full((32, 32, 3), 1, np.uint8)
    pre, post = PreprocessSpec((32, 32)), PostprocessSpec()
    for image, ties in ((bright, Ties(detections=True, proposals=1)), (dark, NO_TIES)):
        engine = OneBox()
        detect = engine.run("detect", {"image": preprocess(image, pre)[0]})
        assert find_ties(engine, image, pre, post, detect) == ties
