"""Edits of an exported program (``.pdmodel``) that change its bytes and its speed, never its results."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from edge_seg.paddle_env import paddle  # noqa: F401  # the protocol buffers below come with it


def tidy(file: Path) -> None:
    """Takes the call stacks out of ``file`` and simplifies how biases are added; the same bytes each time."""
    from paddle.base.proto import framework_pb2  # type: ignore[import-not-found,import-untyped,unused-ignore]

    program: Any = framework_pb2.ProgramDesc()
    program.ParseFromString(file.read_bytes())
    for block in program.blocks:
        _strip_call_stacks(block)
        _add_biases_along_channels(block)
    file.write_bytes(program.SerializeToString(deterministic=True))


def _strip_call_stacks(block: Any) -> None:
    """They hold this machine's paths."""
    for operator in block.ops:
        kept = [attribute for attribute in operator.attrs if attribute.name != "op_callstack"]
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
        source = _only(operator.inputs, "X")
        shape = next((list(a.ints) for a in operator.attrs if a.name == "shape"), [])
        if operator.type == "reshape2" and source in weights and _is_channel_shape(shape):
            reshaped[_only(operator.outputs, "Out")] = source
    replaced = set()
    for operator in block.ops:
        bias = _only(operator.inputs, "Y")
        if operator.type == "elementwise_add" and bias in reshaped and uses[bias] == 1:
            next(slot for slot in operator.inputs if slot.parameter == "Y").arguments[:] = [reshaped[bias]]
            next(attribute for attribute in operator.attrs if attribute.name == "axis").i = 1
            replaced.add(bias)
    kept = [
        operator
        for operator in block.ops
        if _only(operator.outputs, "Out") not in replaced or operator.type != "reshape2"
    ]
    del block.ops[:]
    block.ops.extend(kept)


def _is_channel_shape(shape: list[int]) -> bool:
    return len(shape) == 4 and shape[0] == shape[2] == shape[3] == 1


def _only(slots: Any, parameter: str) -> str:
    """The one argument of that parameter, "" when there is none or more than one."""
    found = [name for slot in slots if slot.parameter == parameter for name in slot.arguments]
    return found[0] if len(found) == 1 else ""
