"""An ncnn graph that grows layer by layer, and its two files."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.program.program import Operator, Program
from convert.program.weights import Weights
from edge_seg.errors import ConversionError
from edge_seg.runtime.engines.ncnn_files import FLAG_FP16, FLAG_FP32, MAGIC

_HALF_LARGEST = 65504.0


@dataclass
class Layer:
    """A layer to be written. ``weights`` are flagged arrays, ``bias`` is one that isn't."""

    kind: str
    inputs: list[str]
    output: str
    params: dict[int, int | float] = field(default_factory=dict)
    weights: list[NDArray[Any]] = field(default_factory=list)
    bias: NDArray[Any] | None = None


class NcnnGraph:
    """Layers, and which of their values stands for which variable of the ``program`` they come from."""

    def __init__(self, name: str, program: Program, weights: Weights) -> None:
        self.name = name
        self.program = program
        self.layers: list[Layer] = []
        self._weights = weights
        self._values: dict[str, str] = {}
        self._reads = Counter(name for op in program.operators for name in op.reads)
        self._reads.update(spec.name for spec in program.outputs)

    def add(self, kind: str, inputs: list[str], output: str, **more: Any) -> None:
        """A layer that gives the variable ``output`` from the values ``inputs``."""
        self.layers.append(Layer(kind, inputs, output, **more))
        self._values[output] = output

    def alias(self, variable: str, value: str) -> None:
        """From here on ``variable`` is ``value``."""
        self._values[variable] = value

    def input(self, op: Operator, slot: str) -> str:
        """The value in the only variable of an operator's ``slot``."""
        return self.value(op.inputs[slot][0])

    def value(self, variable: str) -> str:
        """The value that stands for a variable of the program."""
        if variable not in self._values:
            raise ConversionError(f"no layer that ncnn has gives the variable {variable}", code="unsupported-operator")
        return self._values[variable]

    def weight(self, op: Operator, slot: str) -> NDArray[Any] | None:
        """The values of the variable in ``slot`` where it is a weight."""
        return self._weights.get(op.inputs[slot][0])

    def producer(self, op: Operator, slot: str, *kinds: str) -> Layer | None:
        """The layer that gives the variable in ``slot``, where it is of one of ``kinds`` and nothing else reads it."""
        (name,) = op.inputs[slot]
        value = self._values.get(name)
        if value is None or self._reads[name] != 1 or name != value:
            return None
        return next((layer for layer in self.layers if layer.output == value and layer.kind in kinds), None)

    def extend(self, layer: Layer, variable: str) -> None:
        """``layer`` gives ``variable`` now, having taken in the operator that gave it."""
        layer.output = variable
        self._values[variable] = variable

    def write(self, inputs: list[str], outputs: list[tuple[str, str]], param: Path, weights: Path, fp16: bool) -> None:
        """Writes both files, the same bytes each time. ``outputs``: a value and the name that it gets."""
        readers = Counter(name for layer in self.layers for name in layer.inputs)
        words: dict[str, list[str]] = {}  # of each value: the blobs that its readers inside have still to take
        lines: list[str] = []
        blobs = 0

        def give(value: str, line: str) -> None:
            nonlocal blobs
            ends = [name for source, name in outputs if source == value]
            if len(ends) + readers[value] == 1:
                blob, copies = (ends or [value])[0], []
                words[value] = [blob]
            else:  # a blob of ncnn is read once
                blob, copies = value, [*ends, *(f"{value}_{index}" for index in range(readers[value]))]
                words[value] = copies[len(ends) :]
            lines.append(line.format(blob))
            if copies:
                lines.append(f"Split split_{value} 1 {len(copies)} {blob} {' '.join(copies)}")
            blobs += 1 + len(copies)

        for name in inputs:
            give(name, f"Input {name} 0 1 {{}}")
        for layer in self.layers:
            read = [words[value].pop(0) for value in layer.inputs]
            params = "".join(f" {key}={_number(value)}" for key, value in sorted(layer.params.items()))
            give(layer.output, f"{layer.kind} {layer.output} {len(read)} 1 {' '.join(read)} {{}}{params}")
        param.write_text("\n".join([MAGIC, f"{len(lines)} {blobs}", *lines]) + "\n", encoding="ascii")
        with weights.open("wb") as out:
            for layer in self.layers:
                for array in layer.weights:
                    out.write(_flagged(array, fp16, f"{self.name}: {layer.output}"))
                if layer.bias is not None:
                    out.write(layer.bias.astype("<f4").tobytes())


def _number(value: int | float) -> str:
    return str(value) if isinstance(value, int) else f"{value:e}"


def _flagged(array: NDArray[Any], fp16: bool, where: str) -> bytes:
    flag = FLAG_FP16 if fp16 else FLAG_FP32
    if fp16 and not np.abs(array).max(initial=0.0) <= _HALF_LARGEST:
        raise ConversionError(
            f"{where}: a weight is beyond fp16, which ends at {_HALF_LARGEST:g}",
            remedy="convert to a recipe that computes in fp32, such as ncnn-fp32",
            code="half-overflow",
        )
    values = array.astype("<f2" if fp16 else "<f4").tobytes()
    padded = values.ljust(4 * math.ceil(len(values) / 4), b"\0")
    return flag.to_bytes(4, "little") + padded
