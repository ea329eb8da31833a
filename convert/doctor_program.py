"""An exported model's program: its operators, variables, inputs and outputs, and whether its weights are all there.

Nothing here loads paddle or Paddle Lite, so nothing here can be ended by a damaged file.
"""

from __future__ import annotations

import importlib.util
import math
import shutil
import struct
from collections.abc import Iterator, Mapping, MutableSequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np

from convert.doctor_files import ModelFiles
from edge_seg.bundle import TensorSpec
from edge_seg.errors import ConversionError, MissingDependencyError

# VarType.Type: what a tensor may hold, and bytes of a value. numpy has no bfloat16.
DTYPES = {
    **{0: "bool", 1: "int16", 2: "int32", 3: "int64", 4: "float16", 5: "float32", 6: "float64", 20: "uint8"},
    **{21: "int8", 22: "bfloat16", 23: "complex64", 24: "complex128"},
}
_BYTES = {0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 6: 8, 20: 1, 21: 1, 22: 2, 23: 8, 24: 16}
_LOD_TENSOR = 7
_PLUMBING = ("feed", "fetch")
# AttrType → the field of the message in which the value is.
_FIELDS = (
    *("i", "f", "s", "ints", "floats", "strings", "b", "bools", "block_idx", "l", "blocks_idx", "longs", "float64s"),
    *("var_name", "vars_name", "float64", "scalar", "scalars"),
)
_MOST_SIDES = 16
_REMEDY = "copy the model again, or export it anew"


@dataclass(frozen=True)
class Operator:
    """One operator: its ``kind`` ("conv2d"), the variables of each slot ("Input", "Filter"), its attributes."""

    kind: str
    inputs: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, tuple[str, ...]]
    attributes: Mapping[str, Any]

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(name for names in self.inputs.values() for name in names)

    @property
    def writes(self) -> frozenset[str]:
        return frozenset(name for names in self.outputs.values() for name in names)


@dataclass(frozen=True)
class Variable:
    """``shape``: -1 where a size is known only at run time. ``dtype`` is empty for what isn't a tensor."""

    shape: tuple[int, ...]
    dtype: str
    weight: bool


@dataclass(frozen=True)
class Program:
    """``operators`` of all blocks without feed and fetch; ``version`` of the paddle that wrote it, (2, 6, 2)."""

    operators: tuple[Operator, ...]
    variables: Mapping[str, Variable]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    version: tuple[int, int, int]
    description: Any

    @property
    def weights(self) -> tuple[str, ...]:
        """Names, in the order in which the values lie in the file."""
        return tuple(sorted(name for name, variable in self.variables.items() if variable.weight))

    def shape(self, name: str) -> tuple[int, ...] | None:
        """None when nothing is known of it."""
        variable = self.variables.get(name)
        return variable.shape if variable and variable.dtype else None

    def dtype(self, name: str) -> str:
        variable = self.variables.get(name)
        return variable.dtype if variable else ""


def read_program(file: Path) -> Program:
    """Raises :class:`ConversionError` when the file isn't a whole program."""
    data = file.read_bytes()
    described = descriptions().ProgramDesc()
    try:
        described.ParseFromString(data)
        if not described.IsInitialized():
            raise ValueError("fields are missing")
        if not described.blocks or not any(block.ops for block in described.blocks):
            raise ValueError("it holds no operators")
        return from_description(described)
    except Exception as problem:  # the protocol buffer library raises kinds of its own
        said = " ".join(str(problem).split()) or type(problem).__name__
        raise ConversionError(
            f"{file}: not a whole Paddle program ({len(data)} bytes): {said[:200]}",
            remedy=_REMEDY,
            code="program-damaged",
        ) from None


def from_description(described: Any) -> Program:
    """From paddle's own ``ProgramDesc``."""
    operators = [_operator(op) for block in described.blocks for op in block.ops]
    variables = {variable.name: _variable(variable) for block in described.blocks for variable in block.vars}
    ends: dict[str, list[TensorSpec]] = {"feed": [], "fetch": []}
    for kind, slots in (("feed", "outputs"), ("fetch", "inputs")):
        found = [op for op in operators if op.kind == kind]
        for op in sorted(found, key=lambda op: int(op.attributes.get("col", 0))):
            name = next(iter(getattr(op, slots)["Out" if kind == "feed" else "X"]))
            variable = variables[name]
            if len(variable.shape) > _MOST_SIDES:
                raise ValueError(f"{name} has {len(variable.shape)} sides")
            ends[kind].append(TensorSpec(name, variable.shape, variable.dtype))
    version = int(described.version.version)
    return Program(
        tuple(op for op in operators if op.kind not in _PLUMBING),
        variables,
        tuple(ends["feed"]),
        tuple(ends["fetch"]),
        (version // 1_000_000, version // 1_000 % 1_000, version % 1_000),
        described,
    )


def _operator(op: Any) -> Operator:
    return Operator(
        op.type,
        {slot.parameter: tuple(slot.arguments) for slot in op.inputs if slot.arguments},
        {slot.parameter: tuple(slot.arguments) for slot in op.outputs if slot.arguments},
        {attribute.name: _value(attribute) for attribute in op.attrs},
    )


def _value(attribute: Any) -> Any:
    value = getattr(attribute, _FIELDS[attribute.type])
    return tuple(value) if isinstance(value, MutableSequence) else value


def _variable(variable: Any) -> Variable:
    if not variable.type.HasField("lod_tensor"):
        return Variable((), "", False)
    tensor = variable.type.lod_tensor.tensor
    weight = variable.persistable and variable.type.type == _LOD_TENSOR
    return Variable(tuple(tensor.dims), DTYPES.get(tensor.data_type, f"type {tensor.data_type}"), weight)


@lru_cache(maxsize=1)
def descriptions() -> Any:
    """paddle's module of protocol buffers, loaded without paddle, which takes seconds."""
    spec = importlib.util.find_spec("paddle")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or []:
        file = Path(folder, "base", "proto", "framework_pb2.py")
        if file.is_file():
            found = importlib.util.spec_from_file_location("edge_seg_framework_pb2", file)
            assert found is not None
            assert found.loader is not None
            module = importlib.util.module_from_spec(found)
            found.loader.exec_module(module)
            return module
    raise MissingDependencyError(
        "reading a model needs PaddlePaddle, which isn't installed", remedy="pip install 'edge-seg[train]'"
    )


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
                raise ValueError(f"{size - data.tell()} bytes too many")
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
    described = descriptions().VarType.TensorDesc()
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
        raise ValueError(f"it ends within {name!r}: {size} bytes, {end} needed")
    _refuse_nonsense(data, name, dtype, math.prod(shape))
    data.seek(end)


def _refuse_nonsense(data: IO[bytes], name: str, dtype: str, count: int) -> None:
    if dtype in ("float32", "float64"):
        values = np.frombuffer(data.read(count * np.dtype(dtype).itemsize), dtype)
        if not np.isfinite(values).all():
            raise ValueError(f"{name!r} holds values that aren't finite")


def _unpack(data: IO[bytes], form: str) -> tuple[int, ...]:
    return struct.unpack(form, data.read(struct.calcsize(form)))


def kinds(program: Program) -> Iterator[tuple[str, int]]:
    """Kinds of operators with their numbers, by name."""
    counts: dict[str, int] = {}
    for operator in program.operators:
        counts[operator.kind] = counts.get(operator.kind, 0) + 1
    yield from sorted(counts.items())
