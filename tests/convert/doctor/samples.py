"""Small models, good and bad, for the doctor to judge: one operator each, or a few that depend on each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_seg.paddle_env import nn, paddle
from tests.convert.doctor.sample import F, First, X, add, boxes, function, layer, real, share, whole

layer("conv", lambda: nn.Conv2D(8, 8, 3, padding=1))
layer("conv_depthwise", lambda: nn.Conv2D(8, 8, 3, padding=1, groups=8))
layer("conv_groups", lambda: nn.Conv2D(8, 8, 3, padding=1, groups=2))
layer("conv_dilated", lambda: nn.Conv2D(8, 8, 3, padding=2, dilation=2))
layer("conv_asymmetric", lambda: nn.Conv2D(8, 8, 3, padding=[0, 1, 1, 2]))
layer("conv_stride", lambda: nn.Conv2D(3, 8, 7, stride=2, padding=3), real(1, 3, 32, 32))
layer("conv_reflect", lambda: nn.Conv2D(8, 4, 3, padding=1, padding_mode="reflect"))
layer("conv_nhwc", lambda: nn.Conv2D(8, 4, 3, padding=1, data_format="NHWC"), real(1, 16, 16, 8))
layer("conv_1d", lambda: nn.Conv1D(8, 4, 3, padding=1), real(1, 8, 16))
layer("conv_3d", lambda: nn.Conv3D(3, 4, 3, padding=1), real(1, 3, 4, 8, 8))
layer("conv_transpose", lambda: nn.Conv2DTranspose(8, 4, 2, stride=2))
layer("conv_transpose_depthwise", lambda: nn.Conv2DTranspose(8, 8, 3, stride=2, padding=1, groups=8))
add(
    "deformable_conv",
    lambda s, x, o, m: paddle.vision.ops.deform_conv2d(x * s.weight, o, s.kernel, mask=m),
    real(1, 8, 10, 10),
    share(1, 18, 8, 8),
    share(1, 9, 8, 8),
    kernel=lambda: paddle.create_parameter([4, 8, 3, 3], "float32"),
)
add(
    "deformable_conv_v1",
    lambda s, x, o: paddle.vision.ops.deform_conv2d(x * s.weight, o, s.kernel),
    real(1, 8, 10, 10),
    share(1, 18, 8, 8),
    kernel=lambda: paddle.create_parameter([4, 8, 3, 3], "float32"),
)

add("max_pool", lambda s, x: F.max_pool2d(x, 3, 2, 1) * s.weight, X)
add("max_pool_ceil", lambda s, x: F.max_pool2d(x, 3, 2, 0, ceil_mode=True) * s.weight, X)
add("average_pool", lambda s, x: F.avg_pool2d(x, 3, 2, 1, exclusive=False) * s.weight, X)
add("adaptive_average_pool", lambda s, x: F.adaptive_avg_pool2d(x, 7) * s.weight, X)
add("pool_3d", lambda s, x: F.max_pool3d(x, 2) * s.weight, real(1, 3, 4, 8, 8))

add("interp_nearest", lambda s, x: F.interpolate(x, scale_factor=2, mode="nearest") * s.weight, X)
add("interp_bilinear", lambda s, x: F.interpolate(x, size=[30, 20], mode="bilinear") * s.weight, X)
add("interp_bicubic", lambda s, x: F.interpolate(x, scale_factor=2, mode="bicubic") * s.weight, X)
add(
    "interp_linear",
    lambda s, x: F.interpolate(x, scale_factor=2, mode="linear", data_format="NCW") * s.weight,
    real(1, 8, 16),
)
add("grid_sample", lambda s, x, g: F.grid_sample(x * s.weight, g), X, share(1, 10, 12, 2))
add("affine_grid", lambda s, t: F.affine_grid(t * s.weight, [1, 3, 8, 8]), real(1, 2, 3))
add("pixel_shuffle", lambda s, x: F.pixel_shuffle(x * s.weight, 2), X)
add("pixel_unshuffle", lambda s, x: F.pixel_unshuffle(x * s.weight, 2), X)


function("act", F.relu, F.relu6, F.leaky_relu, F.sigmoid, F.hardswish, F.hardsigmoid, F.swish, F.mish, F.gelu, F.selu)
function("act", F.celu, F.softsign, F.hardtanh)
layer("prelu", lambda: nn.PReLU(8))
function("unary", paddle.exp, paddle.square, paddle.floor, paddle.abs, paddle.sign, paddle.tan, paddle.ceil)
function("unary", paddle.isnan, paddle.log1p, paddle.lgamma)
add("power", lambda s, x: paddle.pow(x * s.weight, 2.0), X)
add("clip", lambda s, x: paddle.clip(x * s.weight, -1.0, 1.0), X)

add("flatten", lambda s, x: paddle.flatten(x * s.weight, 1), X)
add("flatten_linear", lambda s, x: s.layer(paddle.flatten(x, 1)) * s.weight, X, layer=lambda: nn.Linear(2048, 4))
add("reshape_linear", lambda s, x: s.layer(x.reshape([-1, 2048])) * s.weight, X, layer=lambda: nn.Linear(2048, 4))
add("squeeze", lambda s, x: paddle.squeeze(x * s.weight, 0), X)
add("unsqueeze", lambda s, x: paddle.unsqueeze(x * s.weight, [0, 2]), X)
add("transpose", lambda s, x: paddle.transpose(x * s.weight, [0, 2, 3, 1]), X)
add("concat", lambda s, x, y: paddle.concat([x, y], 1) * s.weight, X, X)
add("stack", lambda s, x, y: paddle.stack([x, y], 1) * s.weight, X, X)
add("split", lambda s, x: [part * s.weight for part in paddle.split(x, [2, 3, -1], 1)], X)
add("slice", lambda s, x: (x * s.weight)[:, 1:5, :, 2:], X)
add("strided_slice", lambda s, x: (x * s.weight)[:, :, ::2, ::2], X)
add("tile", lambda s, x: paddle.tile(x * s.weight, [1, 2, 1, 1]), X)
add("expand", lambda s, x: paddle.expand(x * s.weight, [3, 8, 16, 16]), X)
add("expand_as", lambda s, x, y: paddle.expand_as(x * s.weight, y) + y, real(1, 8, 1, 1), X)
add("pad", lambda s, x: F.pad(x * s.weight, [1, 1, 2, 2]), X)
add("pad_circular", lambda s, x: F.pad(x * s.weight, [1, 1, 2, 2], mode="circular"), X)
add("roll", lambda s, x: paddle.roll(x * s.weight, 2, axis=-1), X)
add("repeat", lambda s, x: paddle.repeat_interleave(x * s.weight, 2, 1), X)

add("top_k", lambda s, x: paddle.topk(x * s.weight, 5), share(1, 100))
add("top_k_smallest", lambda s, x: paddle.topk(x * s.weight, 5, largest=False), share(1, 100))
add("top_k_open", lambda s, x: paddle.topk(x * s.weight, 5), share(1, 100), sides={0: (1,)})
add("arg_max", lambda s, x: paddle.argmax(x * s.weight, axis=1), share(1, 8, 6, 6))
add("arg_min", lambda s, x: paddle.argmin(x * s.weight, axis=1), share(1, 8, 6, 6))
add("argsort", lambda s, x: paddle.argsort(x * s.weight, descending=True), share(4, 9))
add("gather", lambda s, x, i: paddle.gather(x * s.weight, i), real(10, 4), whole("int32", 2, 7, 0))
add(
    "gather_nd", lambda s, x, i: paddle.gather_nd(x * s.weight, i.reshape([3, 1])), real(10, 4), whole("int64", 2, 7, 0)
)
add("scatter", lambda s, x, i, u: paddle.scatter(x * s.weight, i, u), real(10, 4), whole("int64", 2, 7, 0), real(3, 4))
add(
    "take_along_axis",
    lambda s, x, i: paddle.take_along_axis(x * s.weight, i.reshape([1, 3]), 1),
    real(1, 10),
    whole("int64", 2, 7, 0),
)
layer("embedding", lambda: nn.Embedding(10, 4), whole("int64", 3, 1, 9))
add("one_hot", lambda s, i: F.one_hot(i, 6) * s.weight, whole("int64", 3, 1, 0))

add("softmax", lambda s, x: F.softmax(x * s.weight, axis=1), X)
for _name, _shape in {
    "chan": (8, 1, 1),
    "row": (16,),
    "middle": (1, 8, 16, 1),
    "rows": (1, 1, 16, 16),
    "up": (3, 8, 16, 16),
}.items():
    add(f"add_{_name}", lambda s, x, y: x * s.weight + y, X, real(*_shape))
add("add_crosswise", lambda s, x, y: x * s.weight + y, real(4, 1, 6), real(1, 5, 6))
add("divide", lambda s, x, y: x * s.weight / y, X, share(1, 8, 16, 16))
add("modulo", lambda s, x, y: x * s.weight % y, X, share(1, 8, 16, 16))
add("modulo_by_floor", lambda s, x, y: x * s.weight - paddle.floor(x / y) * y, X, share(1, 8, 16, 16))
add("fmax", lambda s, x, y: paddle.fmax(x * s.weight, y), X, X)
add("compare", lambda s, x, y: paddle.cast(x * s.weight > y, "float32"), X, X)
add("compare_bool", lambda s, x, y: x * s.weight > y, X, X)
add("where", lambda s, x, y: paddle.where(x * s.weight > 0.0, x, y), X, X)
add("where_full", lambda s, x, y: paddle.where(x * s.weight > paddle.full([1], 0.0), x, y), X, X)
add("masked_select", lambda s, x: paddle.masked_select(x * s.weight, x > 0.5), share(9))

add("matmul", lambda s, x, y: paddle.matmul(x * s.weight, y), real(4, 6), real(6, 5))
add("matmul_batch", lambda s, x, y: paddle.matmul(x * s.weight, y), real(2, 3, 4, 6), real(6, 5))
add("matmul_crosswise", lambda s, x, y: paddle.matmul(x * s.weight, y), real(2, 1, 4, 6), real(1, 3, 6, 5))
add("bmm", lambda s, x, y: paddle.bmm(x * s.weight, y), real(2, 4, 6), real(2, 6, 5))
add("einsum", lambda s, x, y: paddle.einsum("bij,bjk->bik", x * s.weight, y), real(2, 4, 6), real(2, 6, 5))
layer("batch_norm", lambda: nn.BatchNorm2D(8))
layer("group_norm", lambda: nn.GroupNorm(2, 8))
layer("layer_norm", lambda: nn.LayerNorm(16))
layer("instance_norm", lambda: nn.InstanceNorm2D(8))
add("l2_norm", lambda s, x: F.normalize(x * s.weight, axis=1), X)
function("reduce", paddle.sum, paddle.mean, paddle.max, paddle.logsumexp, paddle.std, axis=1)
add("cumsum", lambda s, x: paddle.cumsum(x * s.weight, axis=1), real(4, 9))
add("cumprod", lambda s, x: paddle.cumprod(x * s.weight, 1), real(4, 9))
add("cast_int", lambda s, x: paddle.cast(x * s.weight, "int32"), X)
add("cast_half", lambda s, x: paddle.cast(paddle.cast(x * s.weight, "float16"), "float32"), X)
add("cast_double", lambda s, x: paddle.cast(paddle.cast(x * s.weight, "float64"), "float32"), X)
add("fft", lambda s, x: paddle.abs(paddle.fft.rfft(x * s.weight)), real(4, 16))

layer("lstm", lambda: First(nn.LSTM(8, 6)), real(2, 5, 8))
layer("gru", lambda: First(nn.GRU(8, 6)), real(2, 5, 8))
layer("simple_rnn", lambda: First(nn.SimpleRNN(8, 6)), real(2, 5, 8))
layer("attention", lambda: nn.MultiHeadAttention(8, 2), real(2, 5, 8))

add(
    "roi_align",
    lambda s, x, b, n: paddle.vision.ops.roi_align(x * s.weight, b, n, 7, 0.25),
    X,
    boxes(5),
    whole("int32", 5),
    sides={1: (0,)},
)
add(
    "roi_pool",
    lambda s, x, b, n: paddle.vision.ops.roi_pool(x * s.weight, b, n, 7, 0.25),
    X,
    boxes(5),
    whole("int32", 5),
)
add(
    "roi_head",
    lambda s, x, b, n: s.layer(paddle.vision.ops.roi_align(x * s.weight, b, n, 7, 0.25)),
    X,
    boxes(5),
    whole("int32", 5),
    sides={1: (0,)},
    layer=lambda: nn.Conv2D(8, 4, 3),
)
add(
    "generate_proposals",
    lambda s, scores, deltas, size, anchors, one: paddle.vision.ops.generate_proposals(
        scores * s.weight,
        deltas,
        size,
        anchors.reshape([8, 8, 3, 4]),
        one,
        pre_nms_top_n=50,
        post_nms_top_n=10,
        return_rois_num=True,
    ),
    share(1, 3, 8, 8),
    lambda rng: (rng.normal(0, 0.1, (1, 12, 8, 8))).astype("float32"),
    lambda rng: np.array([[64, 64]], "float32"),
    boxes(192),
    lambda rng: np.ones((8, 8, 3, 4), "float32"),
)
add(
    "distribute_fpn",
    lambda s, b, n: [
        level * s.weight for level in paddle.vision.ops.distribute_fpn_proposals(b, 2, 3, 2, 8, rois_num=n)[0]
    ],
    boxes(20),
    whole("int32", 20),
)
add("nms", lambda s, b, c: paddle.vision.ops.nms(b * s.weight, 0.5, c), boxes(20), share(20))
add(
    "matrix_nms",
    lambda s, b, c: paddle.vision.ops.matrix_nms(
        b.reshape([1, 20, 4]) * s.weight, c, 0.1, 0.05, 50, 10, background_label=-1
    )[0],
    boxes(20),
    share(1, 3, 20),
)


def _kept(s: Any, b: Any, scores: Any) -> Any:
    """What is kept of some boxes, float32[K, 6], and K."""
    helper = paddle.base.layer_helper.LayerHelper("multiclass_nms3")
    detections = helper.create_variable_for_type_inference("float32")
    index, count = (helper.create_variable_for_type_inference("int32") for _ in range(2))
    helper.append_op(
        type="multiclass_nms3",
        inputs={
            "BBoxes": b.reshape([20, 1, 4]) * s.weight,
            "Scores": scores.reshape([20, 1]),
            "RoisNum": paddle.full([1], 20, "int32"),
        },
        attrs={"background_label": -1, "score_threshold": 0.5, "nms_top_k": -1, "nms_threshold": 0.5, "keep_top_k": 5},
        outputs={"Out": detections, "Index": index, "NmsRoisNum": count},
    )
    return detections, count


def _found(s: Any, b: Any, scores: Any) -> Any:
    """The boxes of it, float32[K, 4], and K; the reshape dies when K is 0."""
    detections, count = _kept(s, b, scores)
    return detections.reshape([-1, 6])[:, 2:], count


def _nms_head(s: Any, x: Any, b: Any, scores: Any) -> Any:
    found, count = _found(s, b, scores)
    return s.layer(paddle.vision.ops.roi_align(x, found, count, 7, 0.25))


def _nms_head_with_fake_box(s: Any, x: Any, b: Any, scores: Any) -> Any:
    found, count = _found(s, b, scores)
    found = paddle.concat([paddle.full([1, 4], 1.0) * paddle.to_tensor([0.0, 0.0, 9.0, 9.0]), found])
    return s.layer(paddle.vision.ops.roi_align(x, found, count + paddle.full([1], 1, "int32"), 7, 0.25))


def _nms_head_sound(s: Any, x: Any, b: Any, scores: Any) -> Any:
    found, count = _kept(s, b, scores)
    found = paddle.concat([found[:, 2:], paddle.full([1, 4], 1.0) * paddle.to_tensor([0.0, 0.0, 9.0, 9.0])])
    return s.layer(paddle.vision.ops.roi_align(x, found, count + paddle.full([1], 1, "int32"), 7, 0.25))


add("nms_head", _nms_head, X, boxes(20), share(20), layer=lambda: nn.Conv2D(8, 4, 3))
add("nms_head_sound", _nms_head_sound, X, boxes(20), share(20), layer=lambda: nn.Conv2D(8, 4, 3))
add("nms_head_with_fake_box", _nms_head_with_fake_box, X, boxes(20), share(20), layer=lambda: nn.Conv2D(8, 4, 3))


def _fpn(s: Any, x: Any) -> Any:
    second = s.second(s.first(x))
    return s.lateral(second) + F.interpolate(s.top(s.third(second)), scale_factor=2) * s.weight


_FPN = {
    "first": lambda: nn.Conv2D(3, 4, 3, 2, 1),
    "second": lambda: nn.Conv2D(4, 4, 3, 2, 1),
    "third": lambda: nn.Conv2D(4, 4, 3, 2, 1),
    "lateral": lambda: nn.Conv2D(4, 4, 1),
    "top": lambda: nn.Conv2D(4, 4, 1),
}
add("fpn", _fpn, real(1, 3, 64, 96), **_FPN)
add("fpn_odd", _fpn, real(1, 3, 40, 72), **_FPN)  # no multiples of 32, but of 8
add("fpn_open", _fpn, real(1, 3, 64, 96), sides={0: (2, 3)}, **_FPN)
add("fpn_open_high", _fpn, real(1, 3, 64, 96), sides={0: (2,)}, **_FPN)

add("constant_full", lambda s, x: x * s.weight + paddle.full([16], 2.0), X)
add("constant_array", lambda s, x: x * s.weight + paddle.to_tensor(np.arange(16, dtype="float32")), X)
add("no_dimensions", lambda s, x: (x * s.weight)[0, 0, 0, 0] + 1.0, X)
add("no_weights", lambda s, x: F.relu(x), X)
add("whole_only", lambda s, x: x * 2 + 1, whole("int64", 1, 2, 3))
add("input_bytes", lambda s, x: paddle.cast(x, "float32") * s.weight, whole("uint8", 1, 2, 250))
add("input_double", lambda s, x: paddle.cast(x, "float32") * s.weight, lambda rng: rng.normal(0, 1, (2, 3)))
add("two_outputs", lambda s, x: (x * s.weight, F.relu(x)), X)
add("branches", lambda s, x: paddle.static.nn.cond(paddle.mean(x) > 0, lambda: x * s.weight, lambda: x * 2.0), X)
add("eye", lambda s, x: x * s.weight + paddle.eye(4), real(4, 4))
