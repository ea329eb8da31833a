"""Channels that only the next layers see: found in every model, and taken out without anything else noticing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("paddle", reason="needs the extra 'train'")

from edge_seg.models.build import build_model, randomize
from edge_seg.models.channels import convolution, find_channels, keep, layers_of, narrow, width
from edge_seg.models.cost import measure
from edge_seg.paddle_env import nn, paddle
from edge_seg.zoo import ZOO


@pytest.mark.parametrize("name", ZOO)
def test_channels_that_nobody_listens_to_can_go(name: str) -> None:
    model = build_model(name, 3)
    randomize(model, 4)
    model.eval()
    layers, channels = layers_of(model), find_channels(model)
    assert len(channels) >= 13
    image = paddle.to_tensor(np.random.default_rng(1).normal(size=(1, 3, 64, 64)).astype(np.float32))

    def outputs() -> list[Any]:
        with paddle.no_grad():
            maps = model.features(image)
            logits, deltas = model.rpn_head(maps)
            return [np.array(v) for v in (*maps, *logits, *deltas, model.mask_head(maps[0][:, :, :14, :14]))]

    rng = np.random.default_rng(0)
    makers = list(channels)
    chosen = [channels[name] for name in (makers[0], makers[1], makers[len(makers) // 2], *makers[-6:])]
    kept = {}
    for found in chosen:
        total = width(layers[found.maker])
        kept[found.maker] = np.sort(rng.permutation(total)[1:])
        gone = np.setdiff1d(np.arange(total), kept[found.maker])
        for taker in (convolution(layers[taker]) for taker in found.takers):
            weight = np.array(taker.weight)
            np.moveaxis(weight, 0 if isinstance(taker, nn.Conv2DTranspose) else 1, 0)[gone] = 0
            taker.weight.set_value(weight)
    before = outputs()
    for found in chosen:
        keep(layers, found, kept[found.maker].tolist())
        assert width(layers[found.maker]) == len(kept[found.maker])
    for a, b in zip(before, outputs(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * max(1.0, float(np.abs(a).max())))


def test_a_narrowed_model_costs_less_and_has_the_names_that_it_had() -> None:
    whole, narrowed = build_model("mask_rcnn_tiny_fpn", 3), build_model("mask_rcnn_tiny_fpn", 3)
    widths = {name: width(layers_of(whole)[name]) // 2 for name in find_channels(whole)}
    narrow(narrowed, widths)
    assert list(narrowed.state_dict()) == list(whole.state_dict())
    before, after = measure(whole, (64, 64)), measure(narrowed, (64, 64))
    assert after.trunk_mac < 0.8 * before.trunk_mac
    assert after.mask_mac < 0.4 * before.mask_mac
    trainable = {p.name for p in narrowed.parameters() if not p.stop_gradient}
    assert len(trainable) == len([p for p in whole.parameters() if not p.stop_gradient])


@pytest.mark.parametrize(
    ("widths", "words"),
    [
        ({"neck.fpn_res2_sum": 8}, "not a layer that can be narrowed"),
        ({"rpn_head.rpn_feat.rpn_conv": 0}, "expected 1 to 48"),
        ({"rpn_head.rpn_feat.rpn_conv": 49}, "expected 1 to 48"),
    ],
)
def test_impossible_widths_are_refused(widths: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        narrow(build_model("mask_rcnn_tiny_fpn", 3), widths)
