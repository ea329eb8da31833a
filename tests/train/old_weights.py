"""Weights as PaddlePaddle 1.x and PaddleX 1.x wrote them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.train.fluid import old_name

Arrays = dict[str, NDArray[Any]]


def as_old(arrays: Arrays) -> Arrays:
    """A detector's arrays under the old names, background first."""
    return {old_name(name): background_first(name, value) for name, value in arrays.items()}


def background_first(name: str, value: NDArray[Any]) -> NDArray[Any]:
    if name.startswith("bbox_head.bbox_score."):
        return np.roll(value, 1, axis=-1)
    if name.startswith("bbox_head.bbox_delta."):
        return np.concatenate([np.full_like(value[..., :4], 9), value], axis=-1)
    if name.startswith("mask_head.mask_fcn_logits."):
        return np.concatenate([np.full_like(value[:1], 9), value])
    return value


def write_folder(folder: Path, arrays: Arrays) -> None:
    folder.mkdir(parents=True)
    for name, value in arrays.items():
        (folder / name).write_bytes(variable(value))


def variable(value: NDArray[Any]) -> bytes:
    """LoDTensor: version, no levels of detail, tensor version, TensorDesc(data_type FP32, dims), the values."""
    desc = b"\x08\x05" + b"".join(b"\x10" + varint(side) for side in value.shape)
    return struct.pack("<IQIi", 0, 0, 0, len(desc)) + desc + value.astype("<f4").tobytes()


def varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found += bytes([value & 127 | 128])
        value >>= 7
    return found + bytes([value])
