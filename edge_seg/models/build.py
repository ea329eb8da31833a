"""Models of the zoo as layers: build one by name, give it random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge_seg.models.hrnet import HRNet
from edge_seg.models.mask_rcnn import MaskRCNN, Settings
from edge_seg.models.resnet import ResNet
from edge_seg.paddle_env import nn, paddle
from edge_seg.zoo import find

_TINY = Settings(
    pyramid_width=48,
    box_width=128,
    mask_width=48,
    # Made for small pictures: every size is half the published one.
    anchor_sizes=(16, 32, 64, 128, 256),
    canonical_size=112,
    train_before_nms=300,
    train_after_nms=100,
    rpn_samples=64,
    box_samples=32,
)
_RECIPES: dict[str, tuple[Callable[[bool], Any], Settings]] = {
    "mask_rcnn_r50_fpn": (lambda frozen: ResNet(50, frozen_norm=frozen), Settings()),
    "mask_rcnn_r18_fpn": (lambda frozen: ResNet(18, frozen_norm=frozen), Settings()),
    "mask_rcnn_hrnet_fpn": (lambda frozen: HRNet(18, frozen_norm=frozen), Settings(extra_conv=True)),
    "mask_rcnn_tiny_fpn": (lambda frozen: ResNet(18, width=16, frozen_norm=frozen), _TINY),
}


def build_model(name: str, num_classes: int, *, frozen_norm: bool = False) -> MaskRCNN:
    """The zoo's model ``name`` for ``num_classes`` classes (background not counted), with untrained weights.

    ``frozen_norm`` keeps batch normalisation as loaded: for pretrained weights and small batches.
    """
    backbone, settings = _RECIPES[find(name).name]
    return MaskRCNN(backbone(frozen_norm), num_classes, settings)


def default_proposals(size: tuple[int, int]) -> int:
    """Proposals for an input of ``size``: as many a pixel as the published recipe's 1000 at 800 x 1344, at least 50.

    320x320 has 100, 640x640 has 400.
    """
    share = size[0] * size[1] / (800 * 1344)
    return max(50, 50 * round(1000 * share / 50))


def randomize(model: MaskRCNN, seed: int) -> None:
    """Weights from ``seed`` that behave like trained ones: activations of unit size, scores that differ.

    Ordinary initial weights give every proposal nearly the same score, so the order of detections would hang on the
    last bits; a conversion couldn't be checked with them, nor its cost be measured on real numbers of objects.
    """
    for i, (name, parameter) in enumerate(sorted(model.named_parameters())):
        shape = parameter.shape
        if len(shape) == 1:
            value = np.full(shape, 1.0 if name.endswith((".norm.weight", "._variance")) else 0.0)
        else:
            fan = shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))
            rng = np.random.Generator(np.random.Philox(key=[seed, i]))
            value = rng.normal(0.0, np.sqrt(2.0 / fan), shape)
        parameter.set_value(value.astype(np.float32))
    rng = np.random.Generator(np.random.Philox(key=[seed, 1 << 32]))
    with paddle.no_grad():
        _settle(model, rng)


def _settle(model: MaskRCNN, rng: np.random.Generator) -> None:
    """Sets normalisation statistics and the last layers' scale from one smooth random picture."""
    side = 128
    coarse = paddle.to_tensor(rng.normal(size=(1, 3, 8, 8)).astype(np.float32))
    picture = nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    picture = picture + 0.3 * paddle.to_tensor(rng.normal(size=picture.shape).astype(np.float32))
    norms = [layer for layer in model.sublayers() if isinstance(layer, nn.BatchNorm2D)]
    momenta = [layer._momentum for layer in norms]
    for layer in norms:
        layer._momentum = 0.0
    model.train()
    model.features(picture)
    model.eval()
    for layer, momentum in zip(norms, momenta, strict=True):
        layer._momentum = momentum
    maps = model.features(picture)
    for i, conv in enumerate(model.neck.outputs):
        scale = 1.0 / maps[i].std().item()
        _scale(conv, scale)
        maps[i] = maps[i] * scale
    maps = maps[:4]
    logits, deltas = model.rpn_head(maps)
    _scale(model.rpn_head.rpn_rois_score, 2.0 / logits[1].std().item())
    _scale(model.rpn_head.rpn_rois_delta, 0.2 / deltas[1].std().item())
    corner = rng.uniform(0, side / 2, (32, 2))
    rois = np.concatenate([corner, corner + rng.uniform(side / 8, side / 2, (32, 2))], axis=1).astype(np.float32)
    boxes, count = paddle.to_tensor(rois), paddle.to_tensor(np.asarray([32], np.int32))
    class_logits, box_deltas = model.bbox_head(model._pool(maps, boxes, count, 7))
    _scale(model.bbox_head.bbox_score, 3.0 / class_logits.std().item())
    _scale(model.bbox_head.bbox_delta, 1.0 / box_deltas.std().item())
    mask_logits = model.mask_head(model._pool(maps, boxes, count, 14))
    _scale(model.mask_head.mask_fcn_logits, 3.0 / mask_logits.std().item())


def _scale(layer: Any, factor: float) -> None:
    layer.weight.set_value(layer.weight * factor)
