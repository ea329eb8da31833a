"""An exported model's program: its operators, variables, inputs and outputs, and whether its weights are all there.

Nothing here loads paddle or Paddle Lite, so nothing here can be ended by a damaged file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableSequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.program.protobuf import DTYPES, FIELDS, framework
from edge_seg.errors import ConversionError
from edge_seg.manifest import TensorSpec
from edge_seg.words import counted

_LOD_TENSOR = 7
_PLUMBING = ("feed", "fetch")
FLATTEN = ("flatten", "flatten2", "flatten_contiguous_range")
_MOST_SIDES = 16
_REMEDY = "copy the model again, or export it anew"


@dataclass(frozen=True)
class Operator:
    """One operator: its ``kind`` ("conv2d"), the variables of each slot ("Input", "Filter"), its attributes."""

    kind: str
    inputs: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, tuple[str, ...]]
    attributes: Mapping[str, Any]

    def require(self, **expected: object) -> None:
        """Raises :class:`ConversionError` when an attribute (absent ones aside) has another value than expected."""
        for name, value in expected.items():
            found = self.attributes.get(name, value)
            if found != value:
                raise ConversionError(
                    f"{self.kind} with {name} {found!r} is not supported by the ONNX export, only {value!r}",
                    code="unsupported-operator",
                )

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
    described = framework().ProgramDesc()
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
            f"{file}: not a whole Paddle program ({counted(len(data), 'byte')}): {said[:200]}",
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
    value = getattr(attribute, FIELDS[attribute.type])
    return tuple(value) if isinstance(value, MutableSequence) else value


def _variable(variable: Any) -> Variable:
    if not variable.type.HasField("lod_tensor"):
        return Variable((), "", False)
    tensor = variable.type.lod_tensor.tensor
    weight = variable.persistable and variable.type.type == _LOD_TENSOR
    return Variable(tuple(tensor.dims), DTYPES.get(tensor.data_type, f"type {tensor.data_type}"), weight)


def kinds(program: Program) -> Iterator[tuple[str, int]]:
    """Kinds of operators with their numbers, by name."""
    counts: dict[str, int] = {}
    for operator in program.operators:
        counts[operator.kind] = counts.get(operator.kind, 0) + 1
    yield from sorted(counts.items())
