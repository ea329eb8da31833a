"""What a model costs: parameters, bytes, multiply-accumulates."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from edge_seg.models import box_head, mask_head
from edge_seg.models.mask_rcnn import MaskRCNN
from edge_seg.models.stored_cost import PROBE, Cost, scaled_trunk
from edge_seg.paddle_env import nn, paddle


def measure(model: MaskRCNN, size: tuple[int, int]) -> Cost:
    """The cost of ``model`` at input ``size`` (height, width).

    The trunk's is counted on a small image and scaled by the area.
    """
    trunk, box, mask = (sum(found.values()) for found in _parts(model))
    statistics = ("._mean", "._variance")
    counts = [int(np.prod(p.shape)) for name, p in model.named_parameters() if not name.endswith(statistics)]
    return Cost(sum(counts), scaled_trunk(trunk, size), box, mask)


def measure_layers(model: MaskRCNN, size: tuple[int, int], proposals: int, objects: int) -> dict[str, float]:
    """The MAC of each layer by its name, for an image of ``size`` with so many proposals and objects."""
    trunk, box, mask = _parts(model)
    scale = size[0] * size[1] / PROBE**2
    parts = ((trunk, scale), (box, proposals), (mask, objects))
    return {name: mac * times for found, times in parts for name, mac in found.items()}


def _parts(model: MaskRCNN) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """The MAC of each layer: of the trunk for the probe, of the box head for a proposal, of the mask head for one."""
    width = model.settings.pyramid_width
    with paddle.no_grad(), _Counter(model) as counter:
        model.rpn_head(model.features(paddle.zeros([1, 3, PROBE, PROBE])))
        trunk = counter.take()
        model.bbox_head(paddle.zeros([1, width, box_head.RESOLUTION, box_head.RESOLUTION]))
        box = counter.take()
        model.mask_head(paddle.zeros([1, width, mask_head.RESOLUTION, mask_head.RESOLUTION]))
        return trunk, box, counter.take()


class _Counter:
    """Adds up the MAC of every layer that runs while it is open, in evaluation mode."""

    def __init__(self, model: MaskRCNN) -> None:
        self._model = model
        self._mac: dict[str, int] = {}
        self._hooks: list[Any] = []

    def __enter__(self) -> _Counter:
        self._training = self._model.training
        self._model.eval()
        kinds = (nn.Conv2D, nn.Conv2DTranspose, nn.Linear)
        layers = {name: layer for name, layer in self._model.named_sublayers() if isinstance(layer, kinds)}
        self._hooks = [
            layer.register_forward_post_hook(functools.partial(self._add, name)) for name, layer in layers.items()
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        if self._training:
            self._model.train()

    def _add(self, name: str, layer: Any, inputs: Any, output: Any) -> None:
        # Every weight meets each output position once; a transposed convolution's meets each input position.
        grid = inputs[0] if isinstance(layer, nn.Conv2DTranspose) else output
        positions = int(np.prod(grid.shape[2:])) if len(grid.shape) == 4 else grid.shape[0]
        self._mac[name] = self._mac.get(name, 0) + int(np.prod(layer.weight.shape)) * positions

    def take(self) -> dict[str, int]:
        mac, self._mac = self._mac, {}
        return mac
