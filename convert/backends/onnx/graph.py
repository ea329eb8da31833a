"""An ONNX graph that grows operator by operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.program.program import Operator, Program
from convert.program.weights import Weights
from edge_seg.errors import ConversionError
from edge_seg.manifest import TensorSpec

_DTYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32, "int64": TensorProto.INT64}


class OnnxGraph:
    """Nodes and constants; and which of their values stands for which variable of the ``program`` they come from."""

    def __init__(self, program: Program, weights: Weights) -> None:
        self.program = program
        self.weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._values: dict[str, str] = {}

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one output, and returns that."""
        return self.add_many(kind, 1, *inputs, **attributes)[0]

    def add_many(self, kind: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """Adds a node with ``count`` outputs, and returns these."""
        name = f"{kind}_{len(self._nodes)}"
        outputs = [name] if count == 1 else [f"{name}.{i}" for i in range(count)]
        self._nodes.append(helper.make_node(kind, inputs, outputs, name=name, **attributes))
        return outputs

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """A constant of the graph; equal ones are stored once."""
        array = np.asarray(values, dtype)
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._shared:
            name = f"constant_{len(self._shared)}"
            self._constants[name] = numpy_helper.from_array(array, name)
            self._shared[key] = name
        return self._shared[key]

    def integers(self, *values: int) -> str:
        """A constant int64[n]: what ONNX wants for shapes, axes and indices."""
        return self.constant(values, np.int64)

    def input(self, operator: Operator, slot: str) -> str:
        """The value in the only variable of an operator's ``slot``."""
        (name,) = operator.inputs[slot]
        return self.value(name)

    def value(self, variable: str) -> str:
        """The value that stands for a variable of the program."""
        if variable not in self._values and variable in self.weights:
            self._constants[variable] = numpy_helper.from_array(self.weights[variable], variable)
            self._values[variable] = variable
        if variable not in self._values:
            raise ConversionError(
                f"no operator that ONNX has gives the variable {variable}", code="unsupported-operator"
            )
        return self._values[variable]

    def weight(self, operator: Operator, slot: str) -> NDArray[Any] | None:
        """The values of the variable in ``slot`` where it is a weight."""
        (name,) = operator.inputs[slot]
        return self.weights.get(name)

    def shape(self, operator: Operator, slot: str) -> tuple[int, ...]:
        """The shape of the only variable of an operator's ``slot``, -1 for sizes known only at run time."""
        (name,) = operator.inputs[slot]
        return self.program.variables[name].shape

    def used_once(self, operator: Operator, slot: str) -> bool:
        """Whether no other operator reads the only variable of an operator's ``slot``."""
        (name,) = operator.inputs[slot]
        reads = [name in names for op in self.program.operators for names in op.inputs.values()]
        return sum(reads) + sum(name == spec.name for spec in self.program.outputs) == 1

    def give_bias(self, value: str, bias: str) -> bool:
        """Makes ``bias`` the third input of the convolution that gives ``value``; False where none without one does."""
        for node in self._nodes:
            if value in node.output and node.op_type in ("Conv", "ConvTranspose") and len(node.input) == 2:
                node.input.append(bias)
                return True
        return False

    def bind(self, variable: str, value: str) -> None:
        """From here on ``variable`` is ``value``."""
        self._values[variable] = value

    def model(
        self,
        name: str,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[tuple[TensorSpec, str], ...],
        *,
        opset: int,
        ir_version: int,
    ) -> Any:
        """The finished model; each output's variable is given its name. The same graph gives the same bytes."""
        ends = [helper.make_node("Identity", [self.value(v)], [spec.name], name=spec.name) for spec, v in outputs]
        nodes = [*self._nodes, *ends]
        used = {value for node in nodes for value in node.input}
        graph = helper.make_graph(
            nodes,
            name,
            [_described(spec) for spec in inputs],
            [_described(spec) for spec, _ in outputs],
            [tensor for constant, tensor in self._constants.items() if constant in used],
        )
        operators = [helper.make_operatorsetid("", opset)]
        return helper.make_model(graph, producer_name="edge-seg", opset_imports=operators, ir_version=ir_version)


def _described(spec: TensorSpec) -> Any:
    shape = ["N" if side == -1 else side for side in spec.shape]
    return helper.make_tensor_value_info(spec.name, _DTYPES[spec.dtype], shape)
