"""Models of the zoo as layers, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from edge_seg.models.hrnet import HRNet
from edge_seg.models.mask_rcnn import MaskRCNN, Settings
from edge_seg.models.random_weights import randomize
from edge_seg.models.resnet import ResNet
from edge_seg.zoo import default_proposals, find

__all__ = ["box_width", "build_model", "default_proposals", "randomize"]

_TINY = Settings(
    pyramid_width=48,
    box_width=128,
    mask_width=48,
    # Made for small images: every size is half the published one.
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
    "mask_rcnn_hrnet_fpn": (lambda frozen: HRNet(18, frozen_norm=frozen), Settings(hrfpn=True)),
    "mask_rcnn_tiny_fpn": (lambda frozen: ResNet(18, width=16, frozen_norm=frozen), _TINY),
}


def build_model(name: str, num_classes: int, *, frozen_norm: bool = False, box_width: int | None = None) -> MaskRCNN:
    """The zoo's model ``name`` for ``num_classes`` classes (background not counted), with untrained weights.

    ``frozen_norm`` keeps batch normalisation as loaded: for pretrained weights and small batches.
    ``box_width`` takes the place of the model's own width of the box head, for weights that were pruned to it.
    """
    backbone, settings = _RECIPES[find(name).name]
    if box_width is not None:
        settings = dataclasses.replace(settings, box_width=box_width)
    return MaskRCNN(backbone(frozen_norm), num_classes, settings)


def box_width(name: str) -> int:
    """How wide the box head of the zoo's model ``name`` is before any pruning."""
    return _RECIPES[find(name).name][1].box_width
