"""Random weights that behave like trained ones on any image: for size, speed and parity before there is a training.

Ordinary initial weights give every proposal nearly the same score, and activations that grow with depth as soon as a
image isn't like the ones they were made for: scores saturate at 1.0, the order of detections hangs on the last bits,
and two engines that agree to 1e-6 find different objects. Here normalisation keeps most of each channel above zero, so
that the trunk is nearly linear and its activations stay of unit size; the last layers are centred and scaled.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_seg.models import box_head, mask_head
from edge_seg.models.mask_rcnn import MaskRCNN, best_of_levels
from edge_seg.models.rpn import propose
from edge_seg.paddle_env import nn, paddle
from edge_seg.runtime.anchors import RATIOS

# Of normalised channels; with a standard deviation of 1, five values in six are above zero.
_NORM_BIAS = 1.0
# Standard deviations of the last layers' outputs. Proposals stay close to their anchors, of which few pairs have an IoU
# near the NMS's 0.7: with ten times the deltas, one or two of a hundred objects hung on the last bits.
_OBJECTNESS, _PROPOSAL_DELTA, _CLASS, _BOX_DELTA, _MASK = 2.0, 0.003, 2.5, 0.1, 3.0
# Added to logits: most proposals are background; most of a box is object, so that a mask's outline is about as long as
# its box's, as a trained model's is. With five times the outline, five times as many pixels hang on the last bits.
_BACKGROUND_BIAS, _MASK_BIAS = 9.0, 5.0
# Added to the logarithm of a proposal's sides: objects are rarely as small as the smallest anchors.
_GROWTH = 0.5
_SIDE = 128
_ROIS = 32
# Of an empty image, in whose middle the borders aren't felt.
_EMPTY_SIDE = 320


def randomize(model: MaskRCNN, seed: int) -> None:
    """Gives ``model`` weights drawn from ``seed``, the same on every machine up to rounding; leaves it in eval mode."""
    for i, (name, parameter) in enumerate(sorted(model.named_parameters())):
        shape = parameter.shape
        if name.endswith((".norm.weight", "._variance")):
            value = np.ones(shape)
        elif name.endswith(".norm.bias"):
            value = np.full(shape, _NORM_BIAS)
        elif len(shape) == 1:
            value = np.zeros(shape)
        else:
            fan = shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))
            rng = np.random.Generator(np.random.Philox(key=[seed, i]))
            value = rng.normal(0.0, np.sqrt(2.0 / fan), shape)
        parameter.set_value(value.astype(np.float32))
    rng = np.random.Generator(np.random.Philox(key=[seed, 1 << 32]))
    with paddle.no_grad():
        _settle(model, rng)


def _settle(model: MaskRCNN, rng: np.random.Generator) -> None:
    """Sets normalisation statistics and the last layers by what random images give."""
    images = _images(rng)
    _measure_norms(model, images)
    for conv, level in zip(model.neck.outputs, model.features(images), strict=False):
        conv.weight.set_value(conv.weight / level.std())
    maps = model.features(images)
    _settle_objectness(model, maps)
    _, deltas = model.rpn_head(maps)
    _center(model.rpn_head.rpn_rois_delta, paddle.concat([_rows(x) for x in deltas]), _PROPOSAL_DELTA)

    growth = np.tile([0.0, 0.0, _GROWTH, _GROWTH], len(RATIOS)).astype(np.float32)
    _add(model.rpn_head.rpn_rois_delta, growth)
    # The heads are set on the proposals that they will see, which aren't like boxes drawn at random.
    rois, counts = _proposals(model, *model.rpn_head(maps))
    scores, box_deltas = model.bbox_head(model._pool(maps, rois, counts, box_head.RESOLUTION))
    _center(model.bbox_head.bbox_score, scores, _CLASS)
    _center(model.bbox_head.bbox_delta, box_deltas, _BOX_DELTA)
    _add(model.bbox_head.bbox_score, np.eye(1, model.num_classes + 1, model.num_classes)[0] * _BACKGROUND_BIAS)
    masks = model.mask_head(model._pool(maps, rois, counts, mask_head.RESOLUTION))
    _center(model.mask_head.mask_fcn_logits, _rows(masks), _MASK)
    _add(model.mask_head.mask_fcn_logits, np.full(model.num_classes, _MASK_BIAS))


def _settle_objectness(model: MaskRCNN, maps: Any) -> None:
    """Centres the objectness, and has an empty image score no higher than what is seen in ``maps`` on average.

    Half of a photo's input can be padding. All its places look alike: where they score high, rounding alone decides
    which of them are proposals.
    """
    score = model.rpn_head.rpn_rois_score
    empty = model.features(paddle.zeros([1, 3, _EMPTY_SIDE, _EMPTY_SIDE]))
    seen = [model.rpn_head.rpn_feat(level)[0, :, level.shape[2] // 2, level.shape[3] // 2] for level in empty]
    directions, _ = paddle.linalg.qr(paddle.stack(seen, axis=1))
    weights = score.weight.flatten(1)
    score.weight.set_value((weights - weights @ directions @ directions.t()).reshape(score.weight.shape))
    _center(score, paddle.concat([_rows(x) for x in model.rpn_head(maps)[0]]), _OBJECTNESS)
    # Now the biases are what an empty image scores.
    sign = 1 - 2 * (score.bias > 0).astype("float32")
    score.weight.set_value(score.weight * sign.reshape([-1, 1, 1, 1]))
    score.bias.set_value(score.bias * sign)


def _proposals(model: MaskRCNN, logits: Any, deltas: Any) -> tuple[Any, Any]:
    """Each image's best boxes, float32[R, 4] one image after the other, and how many each has, int32[N]."""
    anchors = [paddle.to_tensor(a) for a in model.anchors((_SIDE, _SIDE))]
    sizes = paddle.full([logits[0].shape[0], 2], float(_SIDE))
    levels = propose(logits, deltas, anchors, sizes, before=model.settings.test_before_nms, after=_ROIS)
    boxes = best_of_levels(levels, _ROIS)
    counts = np.asarray([len(found) for found in boxes], np.int32)
    return paddle.to_tensor(np.concatenate(boxes)), paddle.to_tensor(counts)


def _images(rng: np.random.Generator) -> Any:
    """float32[4, 3, side, side], normalised: from two blotches across to noise, colours partly in step as in photos."""
    images = []
    for cells in (2, 8, 32, _SIDE):
        values = 0.7 * rng.normal(size=(1, 3, cells, cells)) + 1.2 * rng.normal(size=(1, 1, cells, cells))
        coarse = paddle.to_tensor(np.clip(values, -2.1, 2.6).astype(np.float32))
        images.append(nn.functional.interpolate(coarse, size=(_SIDE, _SIDE), mode="bilinear"))
    return paddle.concat(images)


def _measure_norms(model: MaskRCNN, images: Any) -> None:
    """Takes each channel's mean, and one variance a layer: a channel that is quiet here mustn't be loud elsewhere."""
    norms = [layer for layer in model.sublayers() if isinstance(layer, nn.BatchNorm2D)]
    momenta = [layer._momentum for layer in norms]
    for layer in norms:
        layer._momentum = 0.0
    model.train()
    model.features(images)
    model.eval()
    for layer, momentum in zip(norms, momenta, strict=True):
        layer._momentum = momentum
        layer._variance.set_value(paddle.full_like(layer._variance, layer._variance.mean().item()))


def _add(layer: Any, values: Any) -> None:
    layer.bias.set_value(layer.bias + paddle.to_tensor(np.asarray(values, np.float32)))


def _rows(maps: Any) -> Any:
    """[N, C, H, W] -> [N * H * W, C]."""
    return maps.transpose([0, 2, 3, 1]).reshape([-1, maps.shape[1]])


def _center(layer: Any, outputs: Any, std: float) -> None:
    """Makes ``outputs`` [N, C] of ``layer`` have mean 0 in each channel and standard deviation ``std`` in all.

    It is less where single values would lie beyond five deviations: scores near 1.0 can't be told apart.
    """
    mean = outputs.mean(axis=0)
    apart = outputs - mean
    factor = std / max(apart.std().item(), apart.abs().max().item() / 5)
    layer.weight.set_value(layer.weight * factor)
    layer.bias.set_value((layer.bias - mean) * factor)
