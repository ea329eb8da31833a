"""Whether a cut graph, with the runtime's own scaling and pasting, finds what the whole exported program finds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from convert.backends.run_graph import Graph, run_paddle
from edge_seg.errors import ConversionError
from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from edge_seg.runtime.parity import compare
from edge_seg.runtime.preprocess import preprocess
from edge_seg.runtime.result import Instances
from edge_seg.words import counted

# The program clips boxes before it pastes, samples masks by other rounding, and writes boxes without clearing noise.
_BOX_PX, _SCORE, _MASK_IOU, _MASK_PIXELS = 0.05, 1e-4, 0.95, 12


def compare_whole(
    whole: Graph, pre: PreprocessSpec, post: PostprocessSpec, image: NDArray[np.uint8], found: Instances
) -> None:
    """Raises :class:`ConversionError` when they differ; ``image`` is uint8[h, w, 3] BGR."""
    blob, geometry = preprocess(image, pre)
    given = {
        "image": blob,
        "im_shape": np.array([[geometry.scaled_height, geometry.scaled_width]], np.float32),
        "scale_factor": np.array([[geometry.scale_y, geometry.scale_x]], np.float32),
    }
    tried = run_paddle(whole, [[given[tensor.name] for tensor in whole.program.inputs]])
    if tried.words:
        raise ConversionError(
            f"paddle itself can't run the exported model: it {tried.ending}: {tried.words.said}",
            remedy="export it anew, with paddle 2.6",
            code="paddle-failed",
        )
    expected = _instances(tried.outputs[0], post, image.shape[0], image.shape[1])
    parity = compare(expected, found)
    faults = []
    if parity.share < 1:
        faults.append(f"{counted(parity.matched, 'instance')} matched of {parity.expected} and {parity.found}")
    if parity.box_px > _BOX_PX:
        faults.append(f"a box differs by {parity.box_px:.3f} px")
    if parity.score > _SCORE:
        faults.append(f"a score differs by {parity.score:.1e}")
    if parity.mask_iou < _MASK_IOU and parity.mask_pixels > _MASK_PIXELS:
        faults.append(f"a mask differs in {counted(parity.mask_pixels, 'pixel')}, IoU {parity.mask_iou:.4f}")
    if faults:
        raise ConversionError(
            f"cut as the runtime needs it, the model finds other things than as it was exported: {'; '.join(faults)}",
            remedy="report it, with the file's operators (edge-seg doctor FILE --json)",
            code="cut-differs",
        )


def _instances(outputs: list[NDArray[Any]], post: PostprocessSpec, height: int, width: int) -> Instances:
    """What the program says: rows of class, score, box in image pixels; masks int32[K, h, w]."""
    rows = next(value for value in outputs if value.ndim == 2 and value.shape[1] == 6)
    pasted = next(value for value in outputs if value.ndim == 3)
    kept = np.flatnonzero((rows[:, 0] >= 0) & (rows[:, 1] > post.score_threshold))
    kept = kept[np.argsort(-rows[kept, 1], kind="stable")][: post.keep]
    rles = []
    for row in kept:
        whole = np.zeros((height, width), np.uint8, order="F")
        mask = pasted[row][:height, :width] > 0
        whole[: mask.shape[0], : mask.shape[1]] = mask
        rles.append(coco_mask.encode(whole))
    boxes = rows[kept, 2:].astype(np.float32)
    return Instances(height, width, boxes, rows[kept, 1].astype(np.float32), rows[kept, 0].astype(np.int64), rles)
