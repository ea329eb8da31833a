"""Which picture can prove a conversion: one whose result doesn't hang on the last bits.

NMS, top-k and a box's level in the pyramid are yes-or-no decisions. Where one of them is a tie to within rounding,
engines that agree to 1e-6 find different boxes, and rightly so; an untrained model comes upon such ties in one picture
of several.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.bundle import PostprocessSpec, PreprocessSpec
from edge_seg.runtime.postprocess import Detections, select
from edge_seg.runtime.preprocess import preprocess

# Relative, of every input value. It averages out in the sums: features change by some times what engines differ by.
_SHAKE = 1e-4
_BOX_PX, _SCORE = 0.01, 1e-4


def steady_picture(
    engine: Any, pictures: Iterable[NDArray[np.uint8]], pre: PreprocessSpec, post: PostprocessSpec
) -> NDArray[np.uint8]:
    """The first of ``pictures`` (uint8[h, w, 3] BGR) that is steady, else the last."""
    for picture in pictures:
        if is_steady(engine, picture, pre, post):
            break
    return picture


def is_steady(engine: Any, picture: NDArray[np.uint8], pre: PreprocessSpec, post: PostprocessSpec) -> bool:
    """Whether the detections in ``picture``, uint8[h, w, 3] BGR, survive a shake of the input."""
    blob, _ = preprocess(picture, pre)
    shake = (_SHAKE * np.random.default_rng(0).uniform(-1, 1, blob.shape)).astype(np.float32)
    found = _found(engine, blob, post)
    # Both ways: a tie is broken by the one or by the other.
    return all(_same(found, _found(engine, shaken, post)) for shaken in (blob * (1 + shake), blob * (1 - shake)))


def _found(engine: Any, blob: NDArray[np.float32], post: PostprocessSpec) -> Detections:
    outputs = engine.run("detect", {"image": blob})
    return select(outputs["boxes"], outputs["scores"], post)


def _same(a: Detections, b: Detections) -> bool:
    """Whether each detection of one is in the other, in whatever order."""
    if len(a) != len(b):
        return False
    near = (
        (np.abs(a.boxes[:, None] - b.boxes[None]).max(axis=2) <= _BOX_PX)
        & (np.abs(a.scores[:, None] - b.scores[None]) <= _SCORE)
        & (a.classes[:, None] == b.classes[None])
    )
    return bool(near.any(axis=0).all() and near.any(axis=1).all())
