"""Whether an exported model is whole: each weight that the program names is in the files, finite and of its shape."""

from __future__ import annotations

import math
import shutil
import struct
from pathlib import Path
from typing import IO

import numpy as np

from convert.program.files import ModelFiles
from convert.program.program import Program, Variable
from convert.program.protobuf import DTYPES, framework
from edge_seg.errors import ConversionError
from edge_seg.words import counted

_REMEDY = "copy the model again, or export it anew"
_BYTES = {0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 6: 8, 20: 1, 21: 1, 22: 2, 23: 8, 24: 16}


def gather(files: ModelFiles, program: Program, folder: Path) -> tuple[Path, Path | None]:
    """Copies the model into ``folder`` as a ``.pdmodel`` and, where it has weights, a ``.pdiparams``.

    Raises :class:`ConversionError` when the weights aren't those of the program.
    """
    copy = folder / f"{files.program.name.removesuffix('.pdmodel')}.pdmodel"
    weights = copy.with_suffix(".pdiparams")
    shutil.copyfile(files.program, copy)
    if files.folder is not None and program.weights:
        _join(files.folder, program.weights, weights)
    elif files.weights is not None:
        shutil.copyfile(files.weights, weights)
    elif program.weights:
        raise ConversionError(
            f"{files.program}: its weights are missing: no {files.program.with_suffix('.pdiparams').name} beside it",
            remedy="copy both files of the model",
            code="weights-missing",
        )
    else:
        return copy, None
    _check_weights(files.weights or files.program.parent, weights, program)
    return copy, weights


def _join(folder: Path, names: tuple[str, ...], out: Path) -> None:
    """One file of the separate ones, which hold the same records."""
    with out.open("wb") as joined:
        for name in names:
            file = folder / name
            if Path(name).name != name or not file.is_file():
                raise ConversionError(
                    f"{folder}: the weight {name!r} is missing", remedy="copy the whole folder", code="weights-missing"
                )
            with file.open("rb") as part:
                shutil.copyfileobj(part, joined)


def _check_weights(shown: Path, file: Path, program: Program) -> None:
    with file.open("rb") as data:
        size = file.stat().st_size
        try:
            for name in program.weights:
                _check_record(data, name, program.variables[name], size)
            if data.tell() != size:
                raise ValueError(f"{counted(size - data.tell(), 'byte')} too many")
        except (struct.error, ValueError) as problem:
            raise ConversionError(
                f"{shown}: doesn't hold the program's weights: {problem}", remedy=_REMEDY, code="weights-damaged"
            ) from None


def _check_record(data: IO[bytes], name: str, variable: Variable, size: int) -> None:
    """Reads past one tensor: versions, levels of detail, description, values. Raises ValueError or struct.error."""
    begin = data.tell()
    if begin == size:
        raise ValueError(f"it ends before {name!r}")
    version, levels = _unpack(data, "<IQ")
    if version != 0 or levels > 8:
        raise ValueError(f"no tensor where {name!r} should be (byte {begin})")
    for _ in range(levels):
        data.seek(_unpack(data, "<Q")[0], 1)
    _, length = _unpack(data, "<Ii")
    described = framework().VarType.TensorDesc()
    try:
        described.ParseFromString(data.read(max(0, min(length, size))))
    except Exception:  # the library's own kind
        raise ValueError(f"no tensor where {name!r} should be (byte {begin})") from None
    shape, dtype = tuple(described.dims), DTYPES.get(described.data_type, "")
    if shape != variable.shape or dtype != variable.dtype:
        raise ValueError(
            f"{name!r} is {dtype or 'of an unknown type'}{list(shape)[:8]} there,"
            f" {variable.dtype}{list(variable.shape)[:8]} in the program"
        )
    end = data.tell() + math.prod(shape) * _BYTES[described.data_type]
    if end > size:
        raise ValueError(f"it ends within {name!r}: {counted(size, 'byte')}, {end} needed")
    _refuse_nonsense(data, name, dtype, math.prod(shape))
    data.seek(end)


def _refuse_nonsense(data: IO[bytes], name: str, dtype: str, count: int) -> None:
    if dtype in ("float32", "float64"):
        values = np.frombuffer(data.read(count * np.dtype(dtype).itemsize), dtype)
        if not np.isfinite(values).all():
            raise ValueError(f"{name!r} holds values that aren't finite")


def _unpack(data: IO[bytes], form: str) -> tuple[int, ...]:
    return struct.unpack(form, data.read(struct.calcsize(form)))
