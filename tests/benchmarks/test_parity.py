"""Every engine finds the same instances in images that no conversion has seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.parity import BOX_PX, MASK_PIXELS, MATCHED, SCORE, find, worst
from edge_seg.runtime.segmenter import Segmenter
from tests.runtime.conftest import photo

__all__ = ["photo"]
ENGINES = ("x86-fp32", "onnx-fp32", "ncnn-fp32")


@pytest.mark.slow
def test_engines_find_the_same(tiny_bundles: Path) -> None:
    first = find(tiny_bundles / "cpu-fp32", 4, 1)
    assert sum(map(len, first)) >= 20
    for name in ENGINES:
        found = worst(first, find(tiny_bundles / name, 4, 1), 128)
        assert found.share >= MATCHED, name
        assert found.box_px <= BOX_PX, name
        assert found.score <= SCORE, name
        assert found.mask_pixels <= MASK_PIXELS, name


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 100])
def test_ncnn_with_no_one_and_a_hundred_objects(tiny_bundles: Path, photo: np.ndarray, count: int) -> None:
    results = []
    for name in ("onnx-fp32", "ncnn-fp32"):
        with Segmenter(tiny_bundles / name, threads=1, instances=count) as segmenter:
            results.append(segmenter(photo))
    assert len(results[0]) == len(results[1]) == count
    found = worst([results[0]], [results[1]], 128)
    assert found.share >= 0.99
    assert found.box_px <= BOX_PX
    assert found.score <= SCORE
