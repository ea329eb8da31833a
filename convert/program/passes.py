"""Edits of an exported program (``.pdmodel``) that change its bytes and its speed, never its results."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from convert.program.edit import ProgramEdit, attribute, only, rewire


def tidy(file: Path) -> None:
    """Takes the call stacks out of ``file`` and simplifies how biases are added; the same bytes each time."""
    program = ProgramEdit.read(file)
    _strip_call_stacks(program.block)
    _add_biases_along_channels(program.block)
    file.write_bytes(program.content())


def _strip_call_stacks(block: Any) -> None:
    """They hold this machine's paths."""
    for operator in block.ops:
        kept = [named for named in operator.attrs if named.name != "op_callstack"]
        del operator.attrs[:]
        operator.attrs.extend(kept)


def _add_biases_along_channels(block: Any) -> None:
    """``conv + reshape(bias, [1, C, 1, 1])`` becomes ``conv + bias`` along axis 1.

    paddle exports a convolution's bias as a reshape and a broadcast. Neither oneDNN's passes nor Paddle Lite's know
    that form: bias and activation stay operators of their own, each a pass over the whole map.
    """
    weights = {var.name for var in block.vars if var.persistable}
    uses = Counter(name for operator in block.ops for slot in operator.inputs for name in slot.arguments)
    reshaped = {}
    for operator in block.ops:
        source = only(operator.inputs, "X")
        shape = next((list(a.ints) for a in operator.attrs if a.name == "shape"), [])
        if operator.type == "reshape2" and source in weights and _is_channel_shape(shape):
            reshaped[only(operator.outputs, "Out")] = source
    replaced = set()
    for operator in block.ops:
        bias = only(operator.inputs, "Y")
        if operator.type == "elementwise_add" and bias in reshaped and uses[bias] == 1:
            rewire(operator, "Y", reshaped[bias])
            attribute(operator, "axis").i = 1
            replaced.add(bias)
    kept = [
        operator
        for operator in block.ops
        if only(operator.outputs, "Out") not in replaced or operator.type != "reshape2"
    ]
    del block.ops[:]
    block.ops.extend(kept)


def _is_channel_shape(shape: list[int]) -> bool:
    return len(shape) == 4 and shape[0] == shape[2] == shape[3] == 1
