"""Random weights behave like trained ones."""

from __future__ import annotations

import numpy as np
import pytest

from edge_seg.models.build import build_model, randomize
from edge_seg.paddle_env import paddle


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_padding_is_no_object(seed: int) -> None:
    # All its places score alike: were they proposals, rounding would choose which, by each engine another (#18).
    model = build_model("mask_rcnn_tiny_fpn", 3)
    randomize(model, seed)
    with paddle.no_grad():
        logits, _ = model.rpn_head(model.features(paddle.zeros([1, 3, 640, 640])))
    middles = [level[0, :, level.shape[2] // 2, level.shape[3] // 2].numpy() for level in logits]
    assert np.max(middles) < 0.5  # of a standard deviation of 2
