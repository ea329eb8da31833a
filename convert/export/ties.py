"""Which image can prove a conversion: one whose result doesn't hang on the last bits.

NMS, top-k and a box's level in the pyramid are yes-or-no decisions. Where one of them is a tie to within rounding,
engines that agree to 1e-6 find different boxes, and rightly so; an untrained model comes upon such ties in one image
of several, any model in one that is flat over large parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from edge_seg.runtime.engines import Arrays, Engine
from edge_seg.runtime.postprocess import Detections, select
from edge_seg.runtime.preprocess import preprocess

# Added to every input value; an image's have a standard deviation of about 1. It averages out in the sums: R50's
# features at 640x640 change by 1.3e-5 of their size, six times what oneDNN and ONNX Runtime differ by.
_SHAKE = 3e-5
_BOX_PX, _SCORE = 0.01, 1e-4


def steady_image(
    engine: Engine, images: Iterable[NDArray[np.uint8]], pre: PreprocessSpec, post: PostprocessSpec
) -> NDArray[np.uint8]:
    """The first of ``images`` (uint8[h, w, 3] BGR) that is steady, else the last."""
    for image in images:
        if is_steady(engine, image, pre, post):
            break
    return image


def is_steady(engine: Engine, image: NDArray[np.uint8], pre: PreprocessSpec, post: PostprocessSpec) -> bool:
    """Whether the detections in ``image``, uint8[h, w, 3] BGR, survive a shake of the input."""
    blob, _ = preprocess(image, pre)
    found = _found(engine.run("detect", {"image": blob}), post)
    # The second shake only where the first changed nothing.
    return all(_same(found, _found(other, post)) for other in _shaken(engine, blob))


@dataclass(frozen=True)
class Ties:
    """What of an image a shake of the input changes: ``detections``, and how many rows of `detect` (``proposals``)."""

    detections: bool = False
    proposals: int = 0


NO_TIES = Ties()


def find_ties(
    engine: Engine, image: NDArray[np.uint8], pre: PreprocessSpec, post: PostprocessSpec, detect: Arrays
) -> Ties:
    """The ties in ``image``, uint8[h, w, 3] BGR, of which the engine's graph `detect` gave ``detect``."""
    blob, _ = preprocess(image, pre)
    shaken = list(_shaken(engine, blob))
    boxes, found = detect["boxes"], _found(detect, post)
    moved = (np.abs(boxes - o["boxes"][pair_proposals(boxes, o["boxes"])]).max(axis=(1, 2)) for o in shaken)
    others = max(int((apart > _BOX_PX).sum()) for apart in moved)
    return Ties(not all(_same(found, _found(other, post)) for other in shaken), others)


def _shaken(engine: Engine, blob: NDArray[np.float32]) -> Iterator[Arrays]:
    """What `detect` gives of ``blob`` shaken one way and the other: a tie is broken by the one or by the other."""
    shake = (_SHAKE * np.random.default_rng(0).uniform(-1, 1, blob.shape)).astype(np.float32)
    for image in (blob + shake, blob - shake):
        yield engine.run("detect", {"image": image})


def _found(detect: Arrays, post: PostprocessSpec) -> Detections:
    return select(detect["boxes"], detect["scores"], post)


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


def pair_proposals(expected: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.intp]:
    """For boxes [R, C, 4] on each side: for every expected row the found row nearest to it in the mean over C, [R]."""
    a, b = (boxes.mean(axis=1, dtype=np.float64) for boxes in (expected, found))
    columns = np.arange(len(a))
    for row in range(len(a)):
        apart = np.abs(a[row] - b).max(axis=1)
        nearest = int(apart.argmin())
        # In place where that is no further than the nearest: dummies, all alike, would crowd on the first of them.
        columns[row] = row if apart[row] <= apart[nearest] + 1e-3 else nearest
    return columns
