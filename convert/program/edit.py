"""A program in Paddle's inference format (``.pdmodel``) as something to edit: operators, their slots, variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from convert.program.protobuf import framework

# framework_pb2's AttrType and VarType.Type, as far as they are written here.
_INT, _FLOAT, _INTS, _BOOLEAN = 0, 1, 3, 6
_FP32, _LOD_TENSOR = 5, 7


class ProgramEdit:
    """One program. ``block`` is its only block's protocol buffer."""

    def __init__(self, content: bytes) -> None:
        self._program: Any = framework().ProgramDesc()
        self._program.ParseFromString(content)
        self.block: Any = self._program.blocks[0]

    @classmethod
    def read(cls, file: Path) -> ProgramEdit:
        """The program of a ``.pdmodel``."""
        return cls(file.read_bytes())

    def content(self) -> bytes:
        """The program as bytes, the same each time."""
        return bytes(self._program.SerializeToString(deterministic=True))

    @property
    def weights(self) -> list[str]:
        """Names of the variables whose values lie in the ``.pdiparams``."""
        return [var.name for var in self.block.vars if var.persistable and var.type.HasField("lod_tensor")]

    @property
    def outputs(self) -> list[str]:
        """The variables that the program gives, in order."""
        fetches = [op for op in self.block.ops if op.type == "fetch"]
        return [only(op.inputs, "X") for op in sorted(fetches, key=lambda op: attribute(op, "col").i)]

    def shape(self, name: str) -> list[int]:
        """A variable's shape, -1 where a size is known only at run time."""
        return next(list(var.type.lod_tensor.tensor.dims) for var in self.block.vars if var.name == name)

    def add_variable(self, name: str, shape: Iterable[int], *, weight: bool = False) -> str:
        """A float32 tensor; returns its name."""
        var = self.block.vars.add(name=name, persistable=weight)
        var.type.type = _LOD_TENSOR
        var.type.lod_tensor.tensor.data_type = _FP32
        var.type.lod_tensor.tensor.dims.extend(shape)
        return name

    def replace_operators(self, operators: Iterable[Any]) -> None:
        """Puts ``operators``, in this order, in the place of all that there are."""
        replace_operators(self.block, operators)

    def drop_unused_variables(self) -> None:
        """Takes out what no operator names any more."""
        used = {name for op in self.block.ops for slot in (*op.inputs, *op.outputs) for name in slot.arguments}
        kept = [type(var).FromString(var.SerializeToString()) for var in self.block.vars if var.name in used]
        del self.block.vars[:]
        self.block.vars.extend(kept)


def replace_operators(block: Any, operators: Iterable[Any]) -> None:
    """Puts ``operators``, in this order, in the place of all that a block's protocol buffer holds."""
    # Copies: taking messages out of their list ends them.
    copies = [type(op).FromString(op.SerializeToString()) for op in operators]
    del block.ops[:]
    block.ops.extend(copies)


def operator(
    kind: str, inputs: Mapping[str, str], outputs: Mapping[str, str], attributes: Mapping[str, Any] | None = None
) -> Any:
    """An operator's protocol buffer; attributes are bool, int, float or lists of int."""
    op = framework().OpDesc(type=kind)
    for slots, arguments in ((op.inputs, inputs), (op.outputs, outputs)):
        for parameter, name in arguments.items():
            slots.add(parameter=parameter).arguments.append(name)
    for name, value in (attributes or {}).items():
        _set(op.attrs.add(name=name), value)
    return op


def only(slots: Any, parameter: str) -> str:
    """The one argument of that parameter, "" when there is none or more than one."""
    found = [name for slot in slots if slot.parameter == parameter for name in slot.arguments]
    return found[0] if len(found) == 1 else ""


def rewire(op: Any, parameter: str, name: str) -> None:
    """Lets ``op`` read the variable ``name`` at ``parameter``."""
    next(slot for slot in op.inputs if slot.parameter == parameter).arguments[:] = [name]


def attribute(op: Any, name: str) -> Any:
    """The attribute's protocol buffer."""
    return next(attribute for attribute in op.attrs if attribute.name == name)


def _set(attribute: Any, value: Any) -> None:
    if isinstance(value, bool):
        attribute.type, attribute.b = _BOOLEAN, value
    elif isinstance(value, int):
        attribute.type, attribute.i = _INT, value
    elif isinstance(value, float):
        attribute.type, attribute.f = _FLOAT, value
    else:
        attribute.type = _INTS
        attribute.ints.extend(value)


# The kinds of operators that `opt` can bring to integers: slots of what enters and of the weight, axis of the weight's
# output channels.
KINDS = {"conv2d": ("Input", "Filter", 0), "mul": ("X", "Y", 1)}


def quantizable(content: bytes) -> list[tuple[str, str]]:
    """(layer, variable that enters it) of everything that can be quantized, in the program's order."""
    found = [op for op in ProgramEdit(content).block.ops if op.type in KINDS]
    return [(layer_of(weight_of(op)), only(op.inputs, KINDS[op.type][0])) for op in found]


def layer_of(weight: str) -> str:
    """A weight's layer: ``backbone.conv1.conv1.conv`` of ``backbone.conv1.conv1.conv.weight``."""
    return weight.rpartition(".")[0]


def weight_of(op: Any) -> str:
    """Name of the operator's weight, "" when it isn't of a kind that is rounded."""
    return only(op.inputs, KINDS[op.type][1]) if op.type in KINDS else ""
