"""More small models for the doctor: other attributes, ranks, types, sizes known only at run time, control flow."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_seg.paddle_env import nn, paddle
from tests.convert.doctor.sample import F, First, X, add, boxes, function, layer, real, share, whole

POSITIVE = share(1, 8, 16, 16)


def _floats(x: Any, s: Any) -> Any:
    return paddle.cast(x, "float32") * s.weight


function("act", F.softplus, F.log_softmax, F.tanhshrink, F.log_sigmoid)
function("unary", paddle.expm1, paddle.erf, paddle.round)
add("power_half", lambda s, x: paddle.pow(x * s.weight, 0.5), POSITIVE)  # of negative values it is undefined
add("log", lambda s, x: paddle.log(x * s.weight), POSITIVE)
add("rsqrt", lambda s, x: paddle.rsqrt(x * s.weight), POSITIVE)
add("scalars", lambda s, x: (1.0 - x * s.weight) * 2.0 + 3.0, X)
add("scalar_compared", lambda s, x: paddle.cast(x * s.weight > 0.3, "float32"), X)
add("scalar_power", lambda s, x: (x * s.weight) ** 2, X)

add("sum_all", lambda s, x: paddle.sum(x * s.weight), X)
add("mean_all", lambda s, x: paddle.mean(x * s.weight) + 1.0, X)
add("mean_kept", lambda s, x: paddle.mean(x * s.weight, axis=[2, 3], keepdim=True), X)
add("reduce_all", lambda s, x: _floats(paddle.all(x * s.weight > paddle.full([1], -1.9), axis=1), s), X)
add("norm_1", lambda s, x: paddle.norm(x * s.weight, p=1, axis=1), X)
add("arg_max_all", lambda s, x: paddle.argmax(x * s.weight), share(4, 9))
add("arg_max_kept", lambda s, x: paddle.argmax(x * s.weight, axis=1, keepdim=True), share(1, 8, 6, 6))
add("top_k_axis", lambda s, x: paddle.topk(x * s.weight, 2, axis=1), share(2, 8, 9))
add("top_k_padded", lambda s, x: paddle.topk(paddle.concat([x * s.weight, paddle.full([5], -1.0)]), 5)[0], share(30),
    sides={0: (0,)})  # fmt: skip

add("average_pool_exclusive", lambda s, x: F.avg_pool2d(x, 3, 2, 1) * s.weight, X)
add("adaptive_max_pool", lambda s, x: F.adaptive_max_pool2d(x, 5) * s.weight, X)
add("max_pool_index", lambda s, x: F.max_pool2d(x * s.weight, 2, 2, return_mask=True), X)
add("max_pool_same", lambda s, x: F.max_pool2d(x * s.weight, 3, 2, "SAME"), X)
layer("layer_norm_plain", lambda: nn.LayerNorm(16, weight_attr=False, bias_attr=False))
layer("group_norm_channels", lambda: nn.GroupNorm(8, 8))
layer("batch_norm_1d", lambda: nn.BatchNorm1D(8), real(4, 8))
layer("local_response_norm", lambda: nn.LocalResponseNorm(5))

layer("conv_same", lambda: nn.Conv2D(8, 5, 3, stride=2, padding="SAME"), real(1, 8, 15, 17))
layer("conv_depthwise_5", lambda: nn.Conv2D(8, 8, 5, stride=2, padding=2, groups=8))
layer("conv_depthwise_many", lambda: nn.Conv2D(8, 16, 3, padding=1, groups=8))
layer("conv_transpose_groups", lambda: nn.Conv2DTranspose(8, 4, 2, stride=2, groups=2))
layer("conv_transpose_dilated", lambda: nn.Conv2DTranspose(8, 4, 3, stride=2, dilation=2))
layer("conv_transpose_padded", lambda: nn.Conv2DTranspose(8, 4, 3, stride=2, padding=1, output_padding=1))
add("conv_open", lambda s, x: s.layer(x) * s.weight, X, sides={0: (0, 2, 3)}, layer=lambda: nn.Conv2D(8, 4, 3))
for _name, _act in {"abs": paddle.abs, "swish": F.swish, "sigmoid": F.sigmoid, "hardswish": F.hardswish}.items():
    _layers: Any = {"layer": lambda: nn.Conv2D(8, 8, 3)}
    add(f"conv_{_name}", lambda s, x, act=_act: act(s.layer(x)) * s.weight, X, **_layers)
add(
    "conv_batch_norm_add",
    lambda s, x: F.relu(s.norm(s.layer(x)) + x) * s.weight,
    X,
    layer=lambda: nn.Conv2D(8, 8, 3, padding=1, bias_attr=False),
    norm=lambda: nn.BatchNorm2D(8),
)

add("dot", lambda s, x, y: paddle.matmul(x * s.weight, y), real(6), real(6))
add("matrix_vector", lambda s, x, y: paddle.matmul(x * s.weight, y), real(4, 6), real(6))
add("matmul_turned", lambda s, x, y: paddle.matmul(x * s.weight, y, True, True), real(2, 6, 4), real(2, 5, 6))
add("matmul_repeated", lambda s, x, y: paddle.matmul(x * s.weight, y), real(1, 4, 6), real(3, 6, 5))
add("matmul_ranks", lambda s, x, y: paddle.matmul(x * s.weight, y), real(2, 3, 4, 6), real(3, 6, 5))
layer("linear_vector", lambda: nn.Linear(6, 4), real(6))
layer("linear_maps", lambda: nn.Linear(16, 4))
add("linear_open", lambda s, x: s.layer(x) * s.weight, real(3, 6), sides={0: (0,)}, layer=lambda: nn.Linear(6, 4))

add("flatten_middle", lambda s, x: paddle.flatten(x * s.weight, 1, 2), X)
add("transpose_6", lambda s, x: (x * s.weight).reshape([1, 2, 4, 4, 4, 16]).transpose([0, 3, 1, 5, 2, 4]), X)
add("shape_open", lambda s, x: _floats(paddle.shape(x), s), X, sides={0: (2, 3)})
add("slice_reversed", lambda s, x: (x * s.weight)[:, :, ::-1], X)
add("slice_negative", lambda s, x: (x * s.weight)[:, 1:-1, -3:], X)
add("set_value", lambda s, x: paddle.static.setitem(x * s.weight, (slice(None), slice(0, 2)), 3.0), real(4, 5))
add("pad_with_ones", lambda s, x: F.pad(x * s.weight, [1, 1, 2, 2], value=1.0), X)
add("pad_replicate", lambda s, x: F.pad(x * s.weight, [1, 1, 2, 2], mode="replicate"), X)
add("unfold", lambda s, x: F.unfold(x * s.weight, 3), X)
add("gather_columns", lambda s, x, i: paddle.gather(x * s.weight, i, axis=1), real(3, 10), whole("int32", 2, 7, 0))
add(
    "scatter_nd_add",
    lambda s, x, i, u: paddle.scatter_nd_add(x * s.weight, i.reshape([3, 1]), u),
    *(real(10, 4), whole("int64", 2, 7, 0), real(3, 4)),
)
add("nonzero", lambda s, x: paddle.nonzero(x * s.weight > paddle.full([1], 0.5)), share(9))
add("arange_open", lambda s, x: x * s.weight + paddle.cast(paddle.arange(0, paddle.shape(x)[3], 1), "float32"), X,
    sides={0: (3,)})  # fmt: skip

add("cast_short", lambda s, x: paddle.cast(paddle.cast(x * s.weight * 20, "int16"), "float32"), POSITIVE)
add("cast_bool", lambda s, x: paddle.cast(paddle.cast(x * s.weight, "bool"), "float32"), POSITIVE)
add("input_bool", lambda s, x: _floats(x, s), lambda rng: rng.integers(0, 2, (3, 4)).astype(bool))
add("input_half", lambda s, x: _floats(x, s), lambda rng: rng.normal(0, 1, (2, 3)).astype("float16"))
add("output_long", lambda s, x: paddle.cast(x * s.weight * 20, "int64"), X)
add("whole_where", lambda s, x, y: _floats(paddle.where(x > y, x, y), s), whole("int64", 5, 6), whole("int64", 2, 9))
add("whole_sum", lambda s, x: _floats(paddle.sum(x), s), whole("int64", 7, 9, 3))
add("whole_modulo", lambda s, x, y: _floats(x % y, s), whole("int64", 7, 9, 3), whole("int64", 2, 4, 3))
add("constant_double", lambda s, x: x * s.weight + paddle.cast(paddle.to_tensor(np.arange(16.0)), "float32"), X)
add(
    "constant_bool",
    lambda s, x: paddle.where(
        paddle.to_tensor(np.arange(16) > 5).reshape([1, 1, 1, 16]).expand([1, 8, 16, 16]), x * s.weight, -x
    ),
    X,
)

add("interp_corners", lambda s, x: F.interpolate(x, size=[30, 20], mode="bilinear", align_corners=True) * s.weight, X)
add("interp_half_way", lambda s, x: F.interpolate(x, scale_factor=1.5, mode="bilinear", align_mode=1) * s.weight, X)
add("interp_smaller", lambda s, x: F.interpolate(x, size=[7, 5], mode="nearest") * s.weight, X)
add("interp_area", lambda s, x: F.interpolate(x, size=[8, 8], mode="area") * s.weight, X)
add(
    "grid_sample_border",
    lambda s, x, g: F.grid_sample(x * s.weight, g * 2.5, padding_mode="border", align_corners=False),
    *(X, share(1, 10, 12, 2)),
)
layer("lstm_both_ways", lambda: First(nn.LSTM(8, 6, direction="bidirect")), real(2, 5, 8))
add("lstm_states", lambda s, x: s.layer(x)[1][0] * s.weight, real(2, 5, 8), layer=lambda: nn.LSTM(8, 6))
layer("transformer", lambda: nn.TransformerEncoderLayer(8, 2, 16), real(2, 5, 8))
layer("dropout", lambda: nn.Dropout(0.5))
add(
    "dropout_large",
    lambda s, x: F.softmax(s.layer(x * s.weight) * 500.0, axis=1),
    X,
    layer=lambda: nn.Dropout(0.5),
)
add("tanh_of_channels", lambda s, x: paddle.tanh(x * s.weight), X)
add("floor_division", lambda s, x, y: _floats(x // y, s), whole("int64", 7, 9, 4), whole("int64", 2, 4, 3))
add("roi_align_two", lambda s, x, b, n: paddle.vision.ops.roi_align(x * s.weight, b, n, 7, 0.25), real(2, 8, 16, 16),
    boxes(5), whole("int32", 2, 3))  # fmt: skip
add(
    "loop",
    lambda s, x: paddle.static.nn.while_loop(
        lambda i, y: i < paddle.full([1], 3, "int64"),
        lambda i, y: [i + paddle.full([1], 1, "int64"), y * s.weight + 1.0],
        [paddle.full([1], 0, "int64"), x],
    )[1],
    real(3, 4),
)
add("complex", lambda s, x: paddle.real(paddle.complex(x * s.weight, x)), real(3, 4))
add("same_twice", lambda s, x: [x * s.weight] * 2, X)
add("rank_6", lambda s, x: x * s.weight + 1.0, real(1, 2, 1, 2, 2, 2))
