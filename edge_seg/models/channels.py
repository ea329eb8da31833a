"""Channels that can be taken out of a model one by one: those that only the next layers see.

A residual block's inner channels, the mask head's and the proposals' 3x3 convolution's are such. What is added to
something else (a block's output, the pyramid) must keep its width.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_seg.models import hrnet, resnet
from edge_seg.models.batch_norm import BatchNorm
from edge_seg.models.layers import ConvNorm
from edge_seg.paddle_env import nn, paddle

if TYPE_CHECKING:
    from edge_seg.models.mask_rcnn import MaskRCNN

Layers = Mapping[str, Any]
_INSIDE: tuple[tuple[type, tuple[str, ...]], ...] = (
    (resnet.BasicBlock, ("branch2a", "branch2b")),
    (resnet.Bottleneck, ("branch2a", "branch2b", "branch2c")),
    (hrnet.BasicBlock, ("conv1", "conv2")),
    (hrnet.Bottleneck, ("conv1", "conv2", "conv3")),
)
"""The layers of a block, one behind the other."""


@dataclass(frozen=True)
class Channels:
    """The outputs of layer ``maker`` and the layers that take them, by their names in the model."""

    maker: str
    takers: tuple[str, ...]


def find_channels(model: MaskRCNN) -> dict[str, Channels]:
    """What can be narrowed, by the maker's name, in the model's order."""
    chains: list[list[str]] = []
    for name, layer in model.named_sublayers():
        for kind, parts in _INSIDE:
            if type(layer) is kind:
                chains.append([f"{name}.{part}" for part in parts])
    mask = "mask_head.head.upsample."
    inner = [f"{mask}mask_inter_feat_{i + 1}" for i in range(4)]
    chains.append([*inner, f"{mask}conv5_mask", "mask_head.mask_fcn_logits"])
    found = [Channels(a, (b,)) for chain in chains for a, b in itertools.pairwise(chain)]
    found.append(Channels("rpn_head.rpn_feat.rpn_conv", ("rpn_head.rpn_rois_score", "rpn_head.rpn_rois_delta")))
    return {channels.maker: channels for channels in found}


def layers_of(model: MaskRCNN) -> dict[str, Any]:
    """The model's layers by name."""
    return dict(model.named_sublayers())


def convolution(layer: Any) -> Any:
    """The convolution in a layer that may have a normalisation behind it."""
    return layer.conv if isinstance(layer, ConvNorm) else layer


def width(layer: Any) -> int:
    """How many channels a layer gives."""
    conv = convolution(layer)
    return int(conv.weight.shape[1 if isinstance(conv, nn.Conv2DTranspose) else 0])


def narrow(model: MaskRCNN, widths: Mapping[str, int]) -> None:
    """Gives the makers ``widths``, before weights are loaded: the first channels' values stay.

    Raises ValueError naming what can't be narrowed so.
    """
    channels = find_channels(model)
    layers = layers_of(model)
    for name, count in widths.items():
        if name not in channels:
            raise ValueError(f"{name}: not a layer that can be narrowed")
        if not 1 <= count <= width(layers[name]):
            raise ValueError(f"{name}: width {count}, expected 1 to {width(layers[name])}")
        keep(layers, channels[name], range(count))


def keep(layers: Layers, channels: Channels, kept: Sequence[int]) -> None:
    """Leaves of ``channels`` those at the places ``kept``, in their makers' and their takers' weights."""
    index = np.asarray(kept, np.int64)
    maker = layers[channels.maker]
    conv = convolution(maker)
    _cut(conv, "weight", 1 if isinstance(conv, nn.Conv2DTranspose) else 0, index)
    conv._out_channels = len(index)
    if conv.bias is not None:
        _cut(conv, "bias", 0, index)
    if isinstance(maker, ConvNorm):
        assert isinstance(maker.norm, BatchNorm)
        for name in ("weight", "bias", "_mean", "_variance"):
            _cut(maker.norm, name, 0, index)
        maker.norm._num_features = len(index)
    for name in channels.takers:
        taker = convolution(layers[name])
        _cut(taker, "weight", 0 if isinstance(taker, nn.Conv2DTranspose) else 1, index)
        taker._in_channels = len(index)


def _cut(layer: Any, name: str, axis: int, index: Any) -> None:
    """Replaces a parameter or a buffer by its values at the places ``index`` along ``axis``."""
    before = getattr(layer, name)
    value = paddle.to_tensor(np.ascontiguousarray(np.take(np.asarray(before), index, axis=axis)))
    if name in layer._buffers:
        layer._buffers[name] = value
        return
    after = layer.create_parameter(
        list(value.shape), attr=paddle.ParamAttr(trainable=not before.stop_gradient, regularizer=before.regularizer)
    )
    after.set_value(value)
    setattr(layer, name, after)
