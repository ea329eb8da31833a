"""What Paddle Lite says when it ends a process, in words that help."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from edge_seg.process.child import Outcome

_FATAL = re.compile(r"^\[F [^\]]*\]\s*(.+?)(?=^\[|\Z)", re.MULTILINE | re.DOTALL)
_WHERE = re.compile(r"lite/((?:core|operators|kernels|backends|model_parser|api|optimizer)/[\w/.]+)")
_ONLY_HERE = re.compile(r"(kernels|backends)/x86/|api/python")


@dataclass(frozen=True)
class Words:
    """``said``: the library's own words, on one line; ``meaning`` and ``remedy``, where they are known.

    ``names``: they name the operator, or it is none's fault. ``everywhere``: they came from code that all targets have
    in common, so that another target fails alike.
    """

    said: str
    meaning: str = ""
    remedy: str = ""
    names: bool = False
    everywhere: bool = False


@dataclass(frozen=True)
class _Meaning:
    pattern: str
    meaning: str
    remedy: str
    names: bool = False


_MOST = 300

# The first that fits; groups are filled in.
_MEANINGS = (
    _Meaning(
        r"no valid out_shape",
        "a constant without dimensions, which paddle writes for x > 0.5, where(c, x, 0.0) and the like",
        "give constants a dimension: x > paddle.full([1], 0.5)",
    ),
    _Meaning(
        r"Wrong broadcast type",
        "two tensors that are added (or multiplied …) don't fit each other: often feature maps of a size that isn't a"
        " multiple of 32, or channels last (NHWC)",
        "use an input whose sides are multiples of 32, and NCHW layers",
    ),
    _Meaning(
        r"No attributes called (\w+) found for (\w+)",
        "the operator {2} was exported without its attribute {1}",
        "write {2} in other operators (clip, sigmoid, multiplication), and export again",
        names=True,
    ),
    _Meaning(
        r"Unknown var type: (\d+)",
        "the model holds tensors of a type that Paddle Lite doesn't know (number {1}; 23 and 24 are complex)",
        "use float32 tensors",
        names=True,
    ),
    _Meaning(
        r"cast_compute.*not been implemented transform",
        "a cast from or to a type that Paddle Lite doesn't cast (float16 and float64 among them)",
        "keep to float32, int32, int64 and bool",
    ),
    _Meaning(
        r"unsupported (?:active|Activation) type:\s*(\w+)",
        "opt fuses an addition or multiplication with the {1} behind it, and has no kernel for the two in one",
        "put another operator between them, or write {1} in other operators (abs: maximum(x, -x))",
        names=True,
    ),
    _Meaning(
        r"No kernels found for (\w+)",
        "{1} has no kernel that takes tensors like these",
        "replace {1} in the model (bmm: matmul)",
        names=True,
    ),
    _Meaning(
        r"is_have_output",
        "an operator was exported without an output that Paddle Lite asks for (instance_norm: SavedMean)",
        "use another operator (GroupNorm with as many groups as channels)",
    ),
    _Meaning(
        r"required type is \w+ not match the true type",
        "an operator has an attribute of another type than Paddle Lite expects: it was exported by another version",
        "write the operator in others, and export again",
    ),
    _Meaning(
        r"unsupport mode except gru and lstm, present mode is (\w+)",
        "a recurrent layer of mode {1}: Paddle Lite knows LSTM and GRU only",
        "use nn.LSTM or nn.GRU",
        names=True,
    ),
    _Meaning(
        r"sum_x\(x_dims",
        "a matmul of tensors whose batches must be repeated to fit",
        "paddle.expand both to the same batch before the matmul",
    ),
    _Meaning(
        r"(?:Require precision type|supports numpy array input in)",
        "an input is of a type that Paddle Lite can't be fed with",
        "make the input float32, int32, int64, uint8 or bool, and cast it in the model",
        names=True,
    ),
)


def explain(outcome: Outcome) -> Words:
    """What a child's last words mean."""
    fatal = _FATAL.search(outcome.stderr) or _FATAL.search(outcome.stdout)
    if fatal is None:
        return explain_text(outcome.tail(1))
    where = _WHERE.search(fatal[0])
    everywhere = where is not None and not _ONLY_HERE.search(where[1])
    return replace(explain_text(fatal[0]), said=_line(fatal[1]), everywhere=everywhere)


def explain_text(text: str) -> Words:
    """The same for words that have been taken out of their place already."""
    for known in _MEANINGS:
        found = re.search(known.pattern, text, re.DOTALL)
        if found:
            groups = ("", *found.groups())
            return Words(_line(text), known.meaning.format(*groups), known.remedy.format(*groups), known.names)
    return Words(_line(text))


def _line(text: str) -> str:
    return " ".join(text.split())[:_MOST]
