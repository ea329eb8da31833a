"""What is known to go wrong with exported models on Paddle Lite 2.13, as rules over their operators.

A rule raises a suspicion. Whether it is one of this model's faults, the trial decides: opt may fold an operator away, a
branch may never be taken. So a suspicion that the trial has refuted isn't told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from convert.doctor.stress import MAY_FIND_NOTHING, NO_ROWS, NOTHING_FOUND, ODD_SIZE, Trial
from convert.program.program import FLATTEN, Operator, Program
from edge_seg.words import counted


@dataclass(frozen=True)
class Suspicion:
    """``kinds``: the operators it is about.

    ``conditional``: one good run doesn't refute it, other inputs may go wrong; ``trial`` is the one that would, where
    there is one. ``silent``: it shows in wrong values, on every target.
    """

    code: str
    kinds: tuple[str, ...]
    message: str
    remedy: str
    conditional: bool = False
    silent: bool = False
    trial: Trial | None = None


Rule = Callable[[Program], Iterator[Suspicion]]

HEADS = ("roi_align", "conv2d", "depthwise_conv2d", "conv2d_transpose", "fc", "mul", "matmul", "matmul_v2")
_RESHAPES = ("reshape", "reshape2")
# Attributes that Paddle Lite reads and that some ways of exporting leave out.
_ATTRIBUTES = {
    "relu6": ("threshold", "clip(x, 0, 6)"),
    "swish": ("beta", "x * sigmoid(x)"),
}
_COUNTS = ("RoisNum", "MultiLevelRoIsNum")
_FAR = 8  # operators back
_UNKNOWN_TYPES = ("bfloat16", "complex64", "complex128")
_UNCAST = ("float16", "float64")


def suspect(program: Program) -> list[Suspicion]:
    """All suspicions about a model, the graver ones first."""
    found = [suspicion for rule in RULES for suspicion in rule(program)]
    return sorted(found, key=lambda suspicion: suspicion.conditional)


def _of(program: Program, *kinds: str) -> list[Operator]:
    return [operator for operator in program.operators if operator.kind in kinds]


def _flatten(program: Program) -> Iterator[Suspicion]:
    kinds = tuple(sorted({operator.kind for operator in _of(program, *FLATTEN)}))
    if kinds:
        yield Suspicion(
            "flatten",
            kinds,
            "opt crashes on most graphs with a flatten",
            "write x.reshape([0, -1]) or x.reshape([-1, n]) for flatten(x, 1) and nn.Flatten, and export again",
        )


def _scalars(program: Program) -> Iterator[Suspicion]:
    made = [
        operator
        for operator in _of(program, "fill_constant", "assign_value")
        if operator.attributes.get("shape") == () and not operator.inputs
    ]
    if made:
        yield Suspicion(
            "scalar-constant",
            (made[0].kind,),
            f"{counted(len(made), 'constant')} without dimensions, which paddle writes for x > 0.5, "
            "where(c, x, 0.0) and the like",
            "give constants a dimension: x > paddle.full([1], 0.5)",
        )


def _attributes(program: Program) -> Iterator[Suspicion]:
    for kind, (name, instead) in _ATTRIBUTES.items():
        if any(name not in operator.attributes for operator in _of(program, kind)):
            yield Suspicion(
                "attribute-missing",
                (kind,),
                f"{kind} was exported without its attribute {name}, which Paddle Lite reads",
                f"write {instead} for {kind}(x), and export again",
            )


def _instance_norm(program: Program) -> Iterator[Suspicion]:
    if any("SavedMean" not in operator.outputs for operator in _of(program, "instance_norm")):
        yield Suspicion(
            "output-missing",
            ("instance_norm",),
            "instance_norm was exported without its output SavedMean, which Paddle Lite asks for",
            "use GroupNorm(channels, channels) for InstanceNorm2D(channels), and export again",
        )


def _top_k(program: Program) -> Iterator[Suspicion]:
    for operator in _of(program, "top_k_v2", "top_k"):
        if operator.attributes.get("largest") is False:
            yield Suspicion(
                "smallest-k",
                (operator.kind,),
                "topk(largest=False): Paddle Lite ignores it and returns the largest, without a word",
                "write topk(-x, k) and change the sign of the values",
                silent=True,
            )
        name = next(iter(operator.inputs.get("X", ("",))))
        shape, axis = program.shape(name), operator.attributes.get("axis", -1)
        k = operator.attributes.get("k", 1)
        open_end = "K" not in operator.inputs and shape and -len(shape) <= axis < len(shape) and shape[axis] < 0
        if open_end and not _padded(program, name, k):
            yield Suspicion(
                "few-candidates",
                (operator.kind,),
                f"topk takes {k} of a number that is known only at run time; of fewer, it aborts",
                f"put {k} dummy rows with a score of -1 before topk",
                conditional=True,
            )


def _padded(program: Program, name: str, rows: int) -> bool:
    """Whether a tensor is joined of several, one of which has ``rows`` or more at any time."""
    makers = {written: operator for operator in program.operators for written in operator.writes}
    for _ in range(_FAR):
        operator = makers.get(name)
        if operator is None:
            return False
        if operator.kind == "concat":
            return any((program.shape(part) or (0,))[0] >= rows for part in operator.inputs.get("X", ()))
        name = next(iter(operator.inputs.get("X", ("",))))
    return False


def _modulo(program: Program) -> Iterator[Suspicion]:
    for operator in _of(program, "elementwise_mod"):
        if any(program.dtype(name).startswith("float") for name in operator.reads):
            yield Suspicion(
                "float-modulo",
                (operator.kind,),
                "x % y of floats: Paddle Lite divides whole numbers and aborts",
                "write x - paddle.floor(x / y) * y",
            )
            return


def _floor_division(program: Program) -> Iterator[Suspicion]:
    for operator in _of(program, "elementwise_floordiv"):
        if any(program.dtype(name).startswith("int") for name in operator.reads):
            yield Suspicion(
                "floor-division",
                (operator.kind,),
                "x // y of whole numbers: Paddle Lite rounds towards zero, paddle down, so -7 // 2 is -3 instead of -4",
                "divide floats and take paddle.floor, where values may be negative",
                conditional=True,
            )
            return


def _layout(program: Program) -> Iterator[Suspicion]:
    for operator in program.operators:
        if operator.attributes.get("data_format", operator.attributes.get("data_layout")) == "NHWC":
            yield Suspicion(
                "nhwc",
                (operator.kind,),
                f"{operator.kind} with channels last (NHWC): Paddle Lite takes every image as NCHW",
                "build the layers with data_format='NCHW', and transpose the input outside of the model",
            )
            return


def _recurrent(program: Program) -> Iterator[Suspicion]:
    for operator in _of(program, "rnn"):
        if operator.attributes.get("mode") not in ("LSTM", "GRU"):
            yield Suspicion(
                "rnn-mode",
                ("rnn",),
                f"a recurrent layer of mode {operator.attributes.get('mode')}: Paddle Lite knows LSTM and GRU only",
                "use nn.LSTM or nn.GRU",
            )
            return


def _types(program: Program) -> Iterator[Suspicion]:
    used = {name for operator in program.operators for name in operator.reads | operator.writes}
    types = {program.dtype(name) for name in used}
    bad = sorted(t for t in types if t in _UNKNOWN_TYPES or t.startswith("type "))
    if bad:
        yield Suspicion(
            "unknown-type", (), f"tensors of {', '.join(bad)}, which Paddle Lite doesn't know", "use float32"
        )
    wide = sorted(t for t in types if t in _UNCAST)
    if wide:
        yield Suspicion(
            "half-or-double",
            ("cast",),
            f"tensors of {', '.join(wide)}: Paddle Lite can't cast to them, nor be fed with float16",
            "export the model in float32; fp16 is a matter of the recipe",
        )
    for tensor in program.outputs:
        if tensor.dtype == "bool":
            yield Suspicion(
                "bool-output",
                (),
                f"the output {tensor.name} is bool; Paddle Lite returns it as all false",
                "put paddle.cast(…, 'int32') before the output",
                silent=True,
            )


def _broadcast(program: Program) -> Iterator[Suspicion]:
    for operator in _of(program, "matmul_v2", "matmul"):
        shapes = [program.shape(name) for slot in ("X", "Y") for name in operator.inputs.get(slot, ())]
        if len(shapes) == 2 and all(shape and len(shape) > 2 for shape in shapes) and _differ(*shapes):
            yield Suspicion(
                "matmul-broadcast",
                (operator.kind,),
                f"a matmul of {list(shapes[0] or ())} with {list(shapes[1] or ())}: batches that must be repeated",
                "paddle.expand both to the same batch before the matmul",
            )
            return


def _differ(x: tuple[int, ...] | None, y: tuple[int, ...] | None) -> bool:
    return x is not None and y is not None and x[:-2] != y[:-2]


def _sizes(program: Program) -> Iterator[Suspicion]:
    """Feature maps that are halved, enlarged again and joined fit only if the halving never rounded."""
    joins = _of(program, "elementwise_add", "concat", "sum")
    if not any("_interp" in operator.kind for operator in program.operators) or not joins:
        return
    for tensor in program.inputs:
        if len(tensor.shape) != 4 or not tensor.dtype.startswith("float"):
            continue
        sides = tensor.shape[2:]
        text = "x".join("?" if side < 0 else str(side) for side in sides)
        if any(side > 0 and side % 32 for side in sides):
            yield Suspicion(
                "size",
                ("elementwise_add",),
                f"the input {tensor.name} is {text}, not multiples of 32: enlarged maps may not fit those they are"
                ' added to ("Wrong broadcast type")',
                "export with sides that are multiples of 32",
            )
        elif any(side < 0 for side in sides):
            yield Suspicion(
                "size",
                ("elementwise_add",),
                f"the input {tensor.name} takes any size ({text}), but others than multiples of 32 may abort",
                "export with a fixed size; edge-seg's models are",
                conditional=True,
                trial=ODD_SIZE,
            )


def _nothing_found(program: Program) -> Iterator[Suspicion]:
    """Whether boxes from an NMS reach a head without being joined with a box that is always there."""
    tainted: dict[str, str] = {}
    for operator in program.operators:
        reads = [name for slot, names in operator.inputs.items() if slot not in _COUNTS for name in names]
        sources = {tainted[name] for name in reads if name in tainted}
        if operator.kind in MAY_FIND_NOTHING:
            sources = {operator.kind}
        if not sources or operator.kind == "concat":
            continue
        source = min(sources)
        if operator.kind in _RESHAPES and -1 in operator.attributes.get("shape", ()):
            yield Suspicion(
                "zero-boxes",
                (source, operator.kind),
                f"what {source} finds is reshaped with a -1; when it finds nothing, Paddle Lite aborts",
                "leave the reshape out, or join what is found with one fake box before it (paddle.concat)",
                conditional=True,
                trial=NOTHING_FOUND,
            )
            return
        if operator.kind in HEADS:
            yield Suspicion(
                "zero-boxes",
                (source, operator.kind),
                f"what {source} finds goes to {operator.kind}; when it finds nothing, Paddle Lite aborts",
                "add one fake box, with an area, to those found (paddle.concat); drop its result outside of the model",
                conditional=True,
                trial=NOTHING_FOUND,
            )
            return
        tainted.update(dict.fromkeys(operator.writes, source))


def _rows(program: Program) -> Iterator[Suspicion]:
    rows = [tensor for tensor in program.inputs if len(tensor.shape) == 2 and tensor.shape[0] < 0]
    fed = [tensor.name for tensor in rows if tensor.shape[1] == 4]
    if fed and _of(program, "roi_align"):
        yield Suspicion(
            "zero-rows",
            ("roi_align",),
            f"the input {fed[0]} holds any number of boxes; handed none, Paddle Lite aborts",
            "don't run this graph when there are no boxes (edge-seg's runtime doesn't)",
            conditional=True,
            trial=NO_ROWS,
        )


def _pasted(program: Program) -> Iterator[Suspicion]:
    if _of(program, "roi_align") and _of(program, "grid_sampler"):
        yield Suspicion(
            "masks-pasted",
            ("grid_sampler",),
            "masks are enlarged to the whole image within the graph: slow, and it depends on the image's size",
            "export the model without pasting (28x28 masks and boxes as outputs), and paste on the host",
            conditional=True,
        )


def _newer_paddle(program: Program) -> Iterator[Suspicion]:
    if program.version < (3, 0, 0):
        return
    version = ".".join(map(str, program.version))
    kinds = ("assign_value",) if _of(program, "assign_value") else ()
    constants = "; Paddle Lite aborts on constants that such exports make of paddle.to_tensor" if kinds else ""
    yield Suspicion(
        "newer-paddle",
        kinds,
        f"exported by paddle {version}, which Paddle Lite 2.13 wasn't made for{constants}",
        "export with paddle 2.6.2: weights carry over; make constants with paddle.full or as buffers",
    )


RULES: tuple[Rule, ...] = (
    _flatten,
    _scalars,
    _attributes,
    _instance_norm,
    _top_k,
    _modulo,
    _floor_division,
    _layout,
    _recurrent,
    _types,
    _broadcast,
    _sizes,
    _nothing_found,
    _rows,
    _pasted,
    _newer_paddle,
)
