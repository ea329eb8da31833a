"""Reads a program in Paddle's inference format (``.pdmodel`` + ``.pdiparams``): its operators and its weights.

paddle itself could load it, but only by switching the whole process to static mode and renaming variables on the way.
Both files are simple: a protocol buffer, and the weights one after the other in the order of their names.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from convert.artifacts import ExportedGraph
from convert.weights_file import read_weights
from edge_seg.errors import ConversionError

# AttrType → the field of a protocol buffer in which the value is.
_FIELDS = (
    *("i", "f", "s", "ints", "floats", "strings", "b", "bools", "block_idx", "l", "blocks_idx", "longs", "float64s"),
    *("var_name", "vars_name", "float64", "scalar", "scalars"),
)


@dataclass(frozen=True)
class Operator:
    """One operator: its ``kind`` ("conv2d"), the variables of each slot ("Input", "Filter"), its attributes."""

    kind: str
    inputs: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, tuple[str, ...]]
    attributes: Mapping[str, Any]

    def require(self, **expected: Any) -> None:
        """Raises :class:`ConversionError` when an attribute (absent ones aside) has another value than expected."""
        for name, value in expected.items():
            found = self.attributes.get(name, value)
            if found != value:
                raise ConversionError(
                    f"the operator {self.kind} with {name} {found!r} can't be said in ONNX, only {value!r}",
                    code="unsupported-operator",
                )


@dataclass(frozen=True)
class Program:
    """A straight list of operators. ``shapes`` are the variables', -1 where a size is known only at run time."""

    operators: tuple[Operator, ...]
    weights: Mapping[str, NDArray[Any]]
    shapes: Mapping[str, tuple[int, ...]]


def read_program(graph: ExportedGraph) -> Program:
    """Raises :class:`ConversionError` for control flow, and when the weights' file isn't the program's."""
    described = _descriptions().ProgramDesc()
    described.ParseFromString(graph.program.read_bytes())
    if len(described.blocks) != 1:
        raise ConversionError(f"{graph.name}: a program with control flow can't be said in ONNX", code="export-failed")
    block = described.blocks[0]
    operators = tuple(
        Operator(
            op.type,
            {slot.parameter: tuple(slot.arguments) for slot in op.inputs if slot.arguments},
            {slot.parameter: tuple(slot.arguments) for slot in op.outputs if slot.arguments},
            {attribute.name: _value(attribute) for attribute in op.attrs},
        )
        for op in block.ops
    )
    tensors = {variable.name: variable for variable in block.vars if variable.type.HasField("lod_tensor")}
    weights = [name for name, variable in tensors.items() if variable.persistable]
    shapes = {name: tuple(variable.type.lod_tensor.tensor.dims) for name, variable in tensors.items()}
    return Program(operators, read_weights(graph.weights, weights), shapes)


def _descriptions() -> Any:
    from edge_seg.paddle_env import paddle

    return paddle.base.proto.framework_pb2


def _value(attribute: Any) -> Any:
    value = getattr(attribute, _FIELDS[attribute.type])
    return tuple(value) if isinstance(value, MutableSequence) else value
