"""The weights beside an exported program (``.pdiparams``), read and written.

The file holds one tensor after the other, in the order of their names, which it doesn't hold: for each a version,
levels of detail (none), a version, the length of its description, its description (element type, shape), its values.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.program.protobuf import framework
from edge_seg.errors import ConversionError
from edge_seg.words import counted

Weights = dict[str, NDArray[Any]]

# VarType.Type of what a graph's tensors may hold.
DTYPES = {0: np.bool_, 2: np.int32, 3: np.int64, 5: np.float32, 6: np.float64}
_CODES = {np.dtype(dtype): code for code, dtype in DTYPES.items()}
_HEAD = struct.Struct("<IQIi")


def read_weights(file: Path, names: Iterable[str]) -> Weights:
    """The tensors of ``file``, read-only; ``names`` are those of the program's persistable variables, in any order.

    Raises :class:`ConversionError` when the file doesn't hold as many.
    """
    content = memoryview(file.read_bytes())
    weights = {}
    at = 0
    try:
        for name in sorted(names):
            _, levels, _, length = _HEAD.unpack_from(content, at)
            at += _HEAD.size
            description = framework().VarType.TensorDesc()
            description.ParseFromString(bytes(content[at : at + length]))
            at += length
            dtype, size = np.dtype(DTYPES[description.data_type]), int(np.prod(description.dims))
            weights[name] = np.frombuffer(content, dtype, size, at).reshape(description.dims)
            at += size * dtype.itemsize
            if levels:
                raise ValueError("levels of detail")
        if at != len(content):
            raise ValueError(f"{counted(len(content) - at, 'byte')} too many")
    except (struct.error, ValueError, KeyError) as problem:
        raise ConversionError(
            f"{file.name} doesn't hold the program's weights: {problem}", code="export-failed"
        ) from None
    return weights


def write_weights(file: Path, weights: Mapping[str, NDArray[Any]]) -> None:
    """Writes ``weights`` for a program that names all of them as persistable, and no others."""
    with file.open("wb") as out:
        for name in sorted(weights):
            value = np.ascontiguousarray(weights[name])
            description = framework().VarType.TensorDesc(data_type=_CODES[value.dtype], dims=value.shape)
            described = description.SerializeToString(deterministic=True)
            out.write(_HEAD.pack(0, 0, 0, len(described)) + described)
            out.write(value.tobytes())
