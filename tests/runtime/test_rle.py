"""Masks from outside: every sound code is taken, no other reaches pycocotools."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from edge_seg.limits import RLE_GROUPS
from edge_seg.runtime.rle import read_code


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, 1)))
@settings(deadline=None)
def test_every_mask_comes_back(mask: np.ndarray[Any, Any]) -> None:
    code = coco_mask.encode(np.asfortranarray(mask))
    plain = {"size": code["size"], "counts": code["counts"].decode()}
    assert read_code(plain, *mask.shape) == {"size": list(mask.shape), "counts": code["counts"]}


@given(st.text(alphabet=[chr(c) for c in range(48, 112)], max_size=40))
@settings(deadline=None)
def test_what_is_taken_pycocotools_can_read(counts: str) -> None:
    try:
        code = read_code({"size": [5, 7], "counts": counts}, 5, 7)
    except ValueError:
        return
    assert coco_mask.decode(code).shape == (5, 7)


def test_a_large_mask_comes_back() -> None:
    noise = np.asfortranarray(np.random.default_rng(1).random((600, 700)) > 0.5).astype(np.uint8)
    code = coco_mask.encode(np.asfortranarray(noise))
    assert read_code({"size": [600, 700], "counts": code["counts"].decode()}, 600, 700)["counts"] == code["counts"]


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        (None, "isn't of the image's size"),
        ({"size": [5, 7]}, "counts aren't text"),
        ({"size": [7, 5], "counts": "S1"}, "isn't of the image's size, 5 x 7"),
        ({"size": [5, 7], "counts": [35]}, "counts aren't text"),
        ({"size": [5, 7], "counts": "R1"}, "cover 34 pixels, expected 35"),
        ({"size": [5, 7], "counts": "O"}, "aren't run lengths"),
        ({"size": [5, 7], "counts": "oooooooo0"}, "aren't run lengths"),
        ({"size": [5, 7], "counts": "é"}, "counts aren't text"),
        ({"size": [5, 7], "counts": "0" * (RLE_GROUPS + 1)}, "4,194,305 characters"),
    ],
)
def test_what_is_no_mask_is_refused(segmentation: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_code(segmentation, 5, 7)
