"""The models from outside: their size, their names, what they return, that they learn."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_seg.data.batch import Batch
from edge_seg.data.mask_target import Outline, Polygons
from edge_seg.errors import UsageError
from edge_seg.manifest import PostprocessSpec

pytest.importorskip("paddle", reason="needs the extra 'train'")

from edge_seg.models.build import build_model, default_proposals, randomize
from edge_seg.models.cost import measure
from edge_seg.paddle_env import paddle

RNGS = [np.random.default_rng(i) for i in range(2)]
"""What draws anchors and proposals of two images."""


@pytest.fixture(scope="module")
def tiny() -> Any:
    model = build_model("mask_rcnn_tiny_fpn", 3)
    randomize(model, 5)
    model.set_input((96, 128), 50)
    return model


def noise_image(seed: int, height: int = 96, width: int = 128) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(1, 3, height, width)).astype(np.float32)


def squares(count: int) -> Batch:
    """Two images, the first with ``count`` bright squares, the second empty."""
    images = np.zeros((2, 3, 96, 96), np.float32)
    boxes = np.array([[8 + 28 * i, 16, 32 + 28 * i, 40] for i in range(count)], np.float32).reshape(-1, 4)
    outlines: list[Outline] = []
    for x0, y0, x1, y1 in boxes.astype(int).tolist():
        outlines.append(Polygons((np.array([x0, y0, x1, y0, x1, y1, x0, y1], np.float64),)))
        images[0, :, y0:y1, x0:x1] = 2.0
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    labels = np.arange(count, dtype=np.int64) % 3
    return Batch(images, [boxes, empty[0]], [labels, empty[1]], [outlines, []], [(96, 96)] * 2, [1, 2])


# 13,998 and 1,430 / 100 and 5,299 / 10 MMAC: measured for R18 at 320 with another counter.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [("mask_rcnn_r50_fpn", 44.4e6), ("mask_rcnn_r18_fpn", 31.3e6), ("mask_rcnn_hrnet_fpn", 30.1e6)],
)
def test_parameter_counts_are_the_published_ones(name: str, parameters: float) -> None:
    model = build_model(name, 80)
    cost = measure(model, (320, 320))
    assert cost.parameters == pytest.approx(parameters, rel=0.01)
    if name == "mask_rcnn_r18_fpn":
        assert cost.trunk_mac / 1e6 == pytest.approx(13998, rel=0.01)
        assert cost.box_mac / 1e6 == pytest.approx(14.30, rel=0.01)
        assert cost.mask_mac / 1e6 == pytest.approx(529.9, rel=0.01)


def test_parameter_names_are_those_of_paddledetection() -> None:
    names = set(build_model("mask_rcnn_r50_fpn", 80).state_dict())
    assert {
        "backbone.conv1.conv1.conv.weight",
        "backbone.conv1.conv1.norm._mean",
        "backbone.res2.res2a.short.conv.weight",
        "backbone.res4.res4f.branch2c.norm._variance",
        "neck.fpn_inner_res5_sum.weight",
        "neck.fpn_inner_res2_sum_lateral.bias",
        "neck.fpn_res3_sum.weight",
        "rpn_head.rpn_feat.rpn_conv.weight",
        "rpn_head.rpn_rois_score.bias",
        "bbox_head.head.fc6.weight",
        "bbox_head.bbox_score.weight",
        "bbox_head.bbox_delta.bias",
        "mask_head.head.upsample.mask_inter_feat_4.weight",
        "mask_head.head.upsample.conv5_mask.bias",
        "mask_head.mask_fcn_logits.weight",
    } <= names
    hrnet = set(build_model("mask_rcnn_hrnet_fpn", 80).state_dict())
    assert {
        "backbone.la1.block_layer2_1.conv_down.conv.weight",
        "backbone.tr3.transition_tr3_layer_4.norm.bias",
        "backbone.st4.stage_st4_3.branches_func.bb_st4_3_branch_layer_4_4.conv2.conv.weight",
        "backbone.st3.stage_st3_1.fuse_func.residual_st3_1_layer_3_1_2.conv.weight",
        "neck.reduction.weight",
        "neck.fpn_conv_4.weight",
    } <= hrnet
    assert not any(name.startswith("neck.") and name.endswith(".bias") for name in hrnet)


def test_hrnets_neck_joins_all_branches_and_averages_them() -> None:
    """The rule of PaddleDetection's HRFPN, in numpy where it's simple: constant maps stay constant but for borders."""
    neck = build_model("mask_rcnn_hrnet_fpn", 3).neck
    widths = (18, 36, 72, 144)
    assert neck.reduction.weight.shape == [256, sum(widths), 1, 1]
    values = np.random.default_rng(0).normal(size=sum(widths)).astype(np.float32)
    maps, first = [], 0
    for i, width in enumerate(widths):
        part = values[first : first + width]
        maps.append(paddle.to_tensor(np.tile(part[None, :, None, None], (1, 1, 24 >> i, 32 >> i))))
        first += width
    with paddle.no_grad():
        found = [level.numpy() for level in neck(maps)]
    assert [level.shape[2:] for level in found] == [(24, 32), (12, 16), (6, 8), (3, 4), (1, 2)]
    assert [level.shape[2:] for level in found] == neck.grids((96, 128))
    reduced = neck.reduction.weight.numpy()[:, :, 0, 0] @ values
    for level, conv in zip(found[:3], neck.outputs, strict=False):
        wanted = conv.weight.numpy().sum(axis=(2, 3)) @ reduced  # away from the border, where padding is zero
        np.testing.assert_allclose(level[0, :, 2, 2], wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["mask_rcnn_hrnet_fpn", "mask_rcnn_tiny_fpn"])
@pytest.mark.parametrize("size", [(32, 32), (96, 32), (96, 160)])
def test_every_multiple_of_32_has_an_anchor_for_each_cell(name: str, size: tuple[int, int]) -> None:
    model = build_model(name, 3)
    model.eval()
    with paddle.no_grad():
        maps = model.features(paddle.zeros([1, 3, *size]))
    assert [tuple(x.shape[2:]) for x in maps] == [a.shape[:2] for a in model.anchors(size)]


def test_unknown_model_lists_the_choices() -> None:
    with pytest.raises(UsageError, match="mask_rcnn_r18_fpn"):
        build_model("yolo", 80)


def test_default_proposals_grow_with_the_area() -> None:
    assert default_proposals((800, 1344)) == 1000
    assert default_proposals((320, 320)) == 100
    assert default_proposals((32, 32)) == 50


def test_detect_and_masks_have_the_graphs_shapes(tiny: Any) -> None:
    with paddle.no_grad():
        boxes, scores, maps = tiny.detect(paddle.to_tensor(noise_image(0)))
        assert boxes.shape == [50, 3, 4]
        assert [x.shape for x in maps] == [[1, 48, 24, 32], [1, 48, 12, 16], [1, 48, 6, 8], [1, 48, 3, 4]]
        np.testing.assert_allclose(scores.numpy().sum(axis=1), 1.0, rtol=1e-5)
        two = paddle.to_tensor(np.array([[0, 0, 60, 60], [10, 10, 90, 50]], np.float32))
        masks = tiny.masks(maps, two, paddle.full([1], 2, "int32"), paddle.to_tensor([1, 5], dtype="int32"))
    assert masks.shape == [2, 28, 28]
    assert 0 <= float(masks.min()) <= float(masks.max()) <= 1


def test_fewer_proposals_than_asked_for_are_padded_with_boxes_without_area(tiny: Any) -> None:
    model = build_model("mask_rcnn_tiny_fpn", 3)
    randomize(model, 5)
    model.set_input((32, 32), 400)
    with paddle.no_grad():
        boxes = model.detect(paddle.to_tensor(noise_image(0, 32, 32)))[0].numpy()
    assert boxes.shape == (400, 3, 4)
    empty = (boxes[:, :, 2] <= boxes[:, :, 0]).all(axis=1)
    assert 0 < empty.sum() < 400


def test_boxes_before_nms_bound_the_proposals() -> None:
    model = build_model("mask_rcnn_tiny_fpn", 3)
    randomize(model, 5)
    found = []
    for before in (4, None):
        model.set_input((96, 128), 50, before)
        with paddle.no_grad():
            boxes = model.detect(paddle.to_tensor(noise_image(0)))[0].numpy()
        found.append(int((boxes[:, :, 2] > boxes[:, :, 0]).any(axis=1).sum()))
    assert 0 < found[0] <= 5 * 4 < found[1]  # four a level of the pyramid


def test_a_box_head_of_another_width() -> None:
    model = build_model("mask_rcnn_tiny_fpn", 3, box_width=24)
    assert model.bbox_head.head.fc7.weight.shape == [24, 24]
    assert measure(model, (96, 96)).box_mac < measure(build_model("mask_rcnn_tiny_fpn", 3), (96, 96)).box_mac


def test_predict_agrees_with_its_parts_and_with_itself(tiny: Any) -> None:
    image = paddle.to_tensor(noise_image(1))
    found, masks = tiny.predict(image, PostprocessSpec(keep=5))
    again, same = tiny.predict(image, PostprocessSpec(keep=5))
    assert len(found) == len(masks) == 5
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert np.array_equal(found.boxes, again.boxes)
    assert np.array_equal(masks, same)
    nothing, none = tiny.predict(image, PostprocessSpec(score_threshold=1.0))
    assert len(nothing) == len(none) == 0


def test_random_weights_are_the_same_for_a_seed_and_give_detections(tiny: Any) -> None:
    other = build_model("mask_rcnn_tiny_fpn", 3)
    randomize(other, 5)
    for name, value in tiny.state_dict().items():
        assert np.array_equal(value.numpy(), other.state_dict()[name].numpy()), name
    randomize(other, 6)
    assert not np.array_equal(other.bbox_head.bbox_score.weight.numpy(), tiny.bbox_head.bbox_score.weight.numpy())
    found, _ = tiny.predict(paddle.to_tensor(noise_image(2)), PostprocessSpec())
    assert len(found) > 5


def test_losses_are_finite_without_any_object() -> None:
    model = build_model("mask_rcnn_tiny_fpn", 3)
    losses = model.loss(squares(0), RNGS)
    assert set(losses) == {"rpn_cls", "rpn_reg", "box_cls", "box_reg", "mask"}
    assert all(np.isfinite(float(value)) for value in losses.values())
    assert float(losses["rpn_reg"]) == float(losses["box_reg"]) == float(losses["mask"]) == 0
    sum(losses.values()).backward()


def test_proposals_end_with_the_image_and_not_with_its_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    paddle.seed(1)
    model = build_model("mask_rcnn_tiny_fpn", 3)
    batch = dataclasses.replace(squares(1), sizes=[(48, 64), (96, 32)])
    drawn: list[Any] = []
    keep = model._sample

    def watch(found: list[Any], *rest: Any) -> Any:
        drawn.extend(found)
        return keep(found, *rest)

    monkeypatch.setattr(model, "_sample", watch)
    model.loss(batch, RNGS)
    for boxes, (height, width) in zip(drawn, batch.sizes, strict=True):
        assert len(boxes) > 10
        assert boxes[:, 2].max() == width
        assert boxes[:, 3].max() == height


def test_a_few_steps_lower_the_loss() -> None:
    paddle.seed(3)
    model = build_model("mask_rcnn_tiny_fpn", 3)
    optimizer = paddle.optimizer.Momentum(0.01, parameters=model.parameters())
    totals = []
    for step in range(12):
        total = sum(model.loss(squares(3), [np.random.default_rng(step)] * 2).values())
        total.backward()
        optimizer.step()
        optimizer.clear_grad()
        totals.append(float(total))
    assert totals[-1] < 0.75 * totals[0]


def test_frozen_normalisation_keeps_its_statistics() -> None:
    model = build_model("mask_rcnn_tiny_fpn", 3, frozen_norm=True)
    norm = model.backbone.conv1.conv1.norm
    before = norm._mean.numpy().copy()
    sum(model.loss(squares(2), RNGS).values()).backward()
    assert np.array_equal(norm._mean.numpy(), before)
    assert norm.weight.grad is None
