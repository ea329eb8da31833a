"""Weights of PaddlePaddle 1.x and of PaddleX 1.x, under the names that the models here have.

A 1.x archive is a folder with a file for each variable. Its detectors count the background as class 0; here, as in
PaddleDetection 2.x, it is the last. The names are those of PaddleX 1.3 (``paddlex/cv/nets``), which are also those of
PaddleDetection 0.x.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.errors import DataError
from edge_seg.words import counted

Arrays = dict[str, NDArray[Any]]

# A variable's ``data_type`` in Paddle's framework.proto.
_DTYPES = {1: np.int16, 2: np.int32, 3: np.int64, 4: np.float16, 5: np.float32, 6: np.float64}
_LONGEST_HEADER = 1 << 16
_NORM = {"weight": "scale", "bias": "offset", "_mean": "mean", "_variance": "variance"}
_HEADS = {
    "rpn_head.rpn_feat.rpn_conv": "conv_rpn_fpn2",
    "rpn_head.rpn_rois_score": "rpn_cls_logits_fpn2",
    "rpn_head.rpn_rois_delta": "rpn_bbox_pred_fpn2",
    "bbox_head.head.fc6": "fc6",
    "bbox_head.head.fc7": "fc7",
    "bbox_head.bbox_score": "cls_score",
    "bbox_head.bbox_delta": "bbox_pred",
    "mask_head.mask_fcn_logits": "mask_fcn_logits",
}
_MARKS = ("conv1_weights", "layer1_1_weights")
"""The first convolution of a ResNet and of an HRNet: who has one speaks the old language."""


def is_old(arrays: Mapping[str, Any]) -> bool:
    """Whether the arrays have 1.x names."""
    return any(mark in arrays for mark in _MARKS)


def renamed(arrays: Mapping[str, NDArray[Any]], names: list[str]) -> Arrays:
    """The arrays under the model's ``names``, background last; what no name asks for keeps its own name."""
    rest = dict(arrays)
    found: Arrays = {}
    for name in names:
        value = rest.pop(old_name(name), None)
        if value is not None:
            found[name] = _background_last(name, value)
    return {**found, **rest}


def old_name(name: str) -> str:
    """What PaddleX 1.x calls the array that is ``name`` here."""
    layer, _, part = name.rpartition(".")
    if layer.startswith("backbone."):
        return _backbone(layer.removeprefix("backbone."), part)
    if layer.startswith("neck."):
        layer = layer.removeprefix("neck.")
        if layer == "reduction":
            return "hrfpn_reduction_weights"
        if layer.startswith("fpn_conv_"):
            return f"shared_{layer}_weights"
    layer = _HEADS.get(layer, layer.removeprefix("mask_head.head.upsample."))
    return f"{layer}_{'w' if part == 'weight' else 'b'}"


def _backbone(layer: str, part: str) -> str:
    layer, _, kind = layer.rpartition(".")
    block = re.fullmatch(r"res\d\.res(\d\w)\.(branch2\w|short)", layer)
    if layer == "conv1.conv1":
        conv, norm = "conv1", "bn_conv1"
    elif block:
        branch = "branch1" if block[2] == "short" else block[2]
        conv, norm = f"res{block[1]}_{branch}", f"bn{block[1]}_{branch}"
    else:
        conv = layer.split(".", 1)[-1] if layer.startswith(("la1", "tr", "st")) else layer.removeprefix("conv_")
        conv = re.sub(r"^(stage_\w+\.(branches_func|fuse_func)\.)", "", conv)
        conv = re.sub(r"^(block_|transition_|bb_|residual_)", "", conv)
        conv = conv.replace(".conv_down", "_downsample").replace(".", "_")
        norm = f"{conv}_bn"
    return f"{conv}_weights" if kind == "conv" else f"{norm}_{_NORM[part]}"


def _background_last(name: str, value: NDArray[Any]) -> NDArray[Any]:
    if name.startswith("bbox_head.bbox_score."):
        return np.roll(value, -1, axis=-1)
    if name.startswith("bbox_head.bbox_delta."):
        return value[..., 4:]
    if name.startswith("mask_head.mask_fcn_logits."):
        return value[1:]
    return value


def read_folder(folder: Path) -> Arrays:
    """The variables of a 1.x folder by name; :class:`DataError` names the file that isn't one."""
    return {file.name: read_variable(file) for file in sorted(folder.iterdir()) if file.is_file()}


def is_folder(folder: Path) -> bool:
    """Whether ``folder`` holds 1.x variables of a model that is known here."""
    return any((folder / mark).is_file() for mark in _MARKS)


def read_variable(file: Path) -> NDArray[Any]:
    """One variable as PaddlePaddle 1.x writes it: level of detail, a description (dtype, shape), the values."""
    content = file.read_bytes()
    try:
        return _variable(content)
    except (ValueError, struct.error, IndexError, OverflowError) as problem:
        raise DataError(
            f"{file}: not a variable of PaddlePaddle 1.x, or damaged: {problem}",
            remedy="unpack or download the weights again",
            code="weights-invalid",
        ) from None


def _variable(content: bytes) -> NDArray[Any]:
    version, levels = struct.unpack_from("<IQ", content)
    if version or levels:
        raise ValueError(f"version {version}, level of detail {levels}, expected 0 and 0")
    version, length = struct.unpack_from("<Ii", content, 12)
    if version or not 0 < length <= _LONGEST_HEADER:
        raise ValueError(f"tensor version {version} with a description of {length} bytes")
    kind, shape = _description(content[20 : 20 + length])
    dtype = np.dtype(_DTYPES[kind]) if kind in _DTYPES else None
    if dtype is None or any(side < 0 for side in shape):
        raise ValueError(f"data type {kind}, shape {shape}")
    start = 20 + length
    if len(content) - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{counted(len(content) - start, 'byte')} of values, expected {shape} of {dtype}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).copy()


def _description(content: bytes) -> tuple[int, list[int]]:
    """Data type and shape of a ``VarType.TensorDesc``."""
    kind, shape, at = -1, [], 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = content[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value - (1 << 64) if value >> 63 else value

    while at < len(content):
        tag = varint()
        if tag == 0x08:
            kind = varint()
        elif tag == 0x10:
            shape.append(varint())
        elif tag == 0x12:
            end = varint()
            end += at
            while at < end:
                shape.append(varint())
        else:
            raise ValueError(f"a description with field {tag}")
    return kind, shape
