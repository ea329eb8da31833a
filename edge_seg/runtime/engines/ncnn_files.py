"""The two files of a graph for ncnn: ``.param`` (text, a layer a line) and ``.bin`` (the weights, one after the other).

Checked here because ncnn doesn't: it takes a ``.bin`` that is too long, crashes when it runs one that is too short, and
a kind of layer that its build lacks, or knows by other rules, may load and give wrong values. So only the kinds that
the conversion writes are accepted, and the weights must fill their file exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_seg.errors import BundleError
from edge_seg.words import counted

MAGIC = "7767517"
FLAG_FP32, FLAG_FP16 = 0, 0x01306B47
"""What stands before the values of a flagged array, uint32."""

Params = dict[int, str]


@dataclass(frozen=True)
class Layer:
    """One line of a ``.param``: kind, name, the blobs it reads and gives, its parameters as they are written."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: Params


def _convolution(params: Params) -> tuple[int, int]:
    return int(params[6]), int(params[0]) if params.get(5) == "1" else 0


def _none(params: Params) -> tuple[int, int]:
    return 0, 0


LAYERS: dict[str, Callable[[Params], tuple[int, int]]] = {
    "Input": _none,
    "Split": _none,
    "Convolution": _convolution,
    "Deconvolution": _convolution,
    "Gemm": lambda params: (int(params[8]) * int(params[9]), int(params[8])),
    "BinaryOp": _none,
    "Concat": _none,
    "Interp": _none,
    "Pooling": _none,
    "ReLU": _none,
}
"""The kinds of layers that a graph may hold, and how many values its weights and its bias have."""


def read_layers(file: Path) -> list[Layer]:
    """The layers of a ``.param``. Raises BundleError when it isn't whole, or holds a kind that isn't accepted."""
    try:
        magic, counts, *lines = file.read_text("ascii").splitlines()
        layers = [_layer(line) for line in lines]
        if magic != MAGIC or int(counts.split()[0]) != len(layers):
            raise ValueError("its head doesn't fit")
    except (ValueError, IndexError) as problem:
        raise _damaged(file, f"not a whole ncnn graph: {problem}") from None
    unknown = sorted({layer.kind for layer in layers} - LAYERS.keys())
    if unknown:
        raise _damaged(file, f"holds layers that aren't accepted: {', '.join(unknown)}")
    return layers


def _layer(line: str) -> Layer:
    kind, name, inputs, outputs, *words = line.split()
    first, last = int(inputs), int(inputs) + int(outputs)
    params = dict(word.split("=", 1) for word in words[last:])
    return Layer(kind, name, tuple(words[:first]), tuple(words[first:last]), {int(k): v for k, v in params.items()})


def check_weights(layers: list[Layer], file: Path) -> None:
    """Raises BundleError unless the ``.bin`` holds the layers' weights and nothing more."""
    size = file.stat().st_size
    try:
        with file.open("rb") as content:
            at = 0
            for weights, bias in _sizes(layers):
                if weights:
                    content.seek(at)
                    flag = content.read(4)
                    if len(flag) < 4:
                        raise ValueError(f"{counted(size, 'byte')}, expected more")
                    at += 4 + stored_size(weights, int.from_bytes(flag, "little"))
                at += bias * 4
        if at != size:
            raise ValueError(f"{counted(size, 'byte')}, expected {at}")
    except (ValueError, KeyError) as problem:
        raise _damaged(file, f"doesn't hold the graph's weights: {problem}") from None


def _sizes(layers: list[Layer]) -> Iterator[tuple[int, int]]:
    for layer in layers:
        weights, bias = LAYERS[layer.kind](layer.params)
        if layer.kind == "Gemm":  # both of its arrays are flagged
            yield weights, 0
            yield bias, 0
        else:
            yield weights, bias


def stored_size(count: int, flag: int) -> int:
    """Bytes that ``count`` values take after their flag."""
    if flag == FLAG_FP32:
        return 4 * count
    if flag == FLAG_FP16:
        return 4 * math.ceil(count / 2)
    raise ValueError(f"values of the unknown kind {flag:#x}")


def _damaged(file: Path, what: str) -> BundleError:
    return BundleError(
        f"{file}: {what}", remedy="the file is damaged: copy the bundle again or convert anew", code="graph-damaged"
    )
