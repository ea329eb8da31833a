"""An exported Mask R-CNN from elsewhere → the graph `full`, as the runtime and Paddle Lite want it.

PaddleDetection's and PaddleX's programs end by scaling boxes and pasting masks into the whole image, in the graph:
slow, and in operators that Paddle Lite lacks. The runtime does that better, so the program is cut where the detections
leave the non-maximum suppression and the masks (28 x 28) leave the mask head. Of what is left, what opt or
Paddle Lite can't take is written otherwise, with the same results (:data:`_MENDERS`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from convert.program.edit import replace_operators
from convert.program.program import FLATTEN, Program, from_description
from edge_seg.errors import ConversionError

EXPORT_AGAIN = (
    "export it again for one image of a fixed size, with its masks' pasting in plain operators: tools/export_model.py"
    " -o export_onnx=True TestReader.inputs_def.image_shape=[3,640,640]; or take its weights (.pdparams) into a run of"
    " edge-seg: edge-seg train MODEL --weights FILE"
)
RAW = "`edge-seg convert FILE --raw` converts it as it is, to a plain .nb"
_CONTROL = ("while", "conditional_block", "conditional_block_infer", "select_input", "write_to_array")
_NMS = ("multiclass_nms2", "multiclass_nms3", "matrix_nms")
_INPUTS = ("image", "im_shape")
_CARRIERS = ("unsqueeze2", "squeeze2", "reshape2", "slice", "cast", "assign")
_SAME = ("reshape2", "assign")
_FAR = 8  # operators between the mask head and what pastes


@dataclass(frozen=True)
class Cut:
    """``program`` has the inputs ``image`` and perhaps ``im_shape``, the outputs detections and masks.

    ``mended``: what was written otherwise, in words; ``proposals``: how many boxes are looked at.
    """

    program: Program
    mended: tuple[str, ...]
    proposals: int


def cut(program: Program, size: tuple[int, int]) -> Cut:
    """Raises :class:`ConversionError`, with the way out, when ``program`` isn't one that can be cut."""
    _refuse(program)
    detections, masks = _detections(program), _masks(program)
    description = type(program.description)()
    description.CopyFrom(program.description)
    block = description.blocks[0]
    _keep(block, (detections, masks))
    _fix_size(block, size)
    mended = tuple(said for mender in _MENDERS for said in [mender(block, program)] if said)
    shorter = from_description(description)
    asked = [tensor.name for tensor in shorter.inputs]
    if asked[:1] != ["image"] or not set(asked) <= set(_INPUTS):
        raise ConversionError(
            f"the model's detections hang on the inputs {', '.join(asked)}; expected image, and im_shape at most",
            remedy=RAW,
            code="other-inputs",
        )
    kept = [op for op in shorter.operators if op.kind.startswith("generate_proposals")]
    proposals = max((int(op.attributes.get("post_nms_topN", 0)) for op in kept), default=0)
    return Cut(shorter, mended, max(1, proposals))


def _refuse(program: Program) -> None:
    kinds = {operator.kind for operator in program.operators}
    if not kinds & set(_NMS) or not any(kind.startswith("roi_align") for kind in kinds):
        raise ConversionError(
            "the model isn't a Mask R-CNN: it has no RoIAlign, or no non-maximum suppression",
            remedy=RAW,
            code="not-mask-rcnn",
        )
    control = sorted(kinds & set(_CONTROL))
    if len(program.description.blocks) > 1 or control:
        raise ConversionError(
            f"the model holds loops and branches ({', '.join(control)}): it was exported for any number of images,"
            " and the part that the runtime needs can't be cut out of them",
            remedy=EXPORT_AGAIN,
            code="control-flow",
        )


def _makers(program: Program) -> dict[str, Any]:
    return {name: operator for operator in program.operators for name in operator.writes}


def _detections(program: Program) -> str:
    """The tensor [K, 6] of what the NMS keeps, with the fake box where there is one."""
    same = _found(program)
    joined = [op for op in program.operators if op.kind == "concat" and same.intersection(op.inputs.get("X", ()))]
    if not joined:
        raise ConversionError(
            "when nothing is found in an image, the model hands its mask head no boxes, and Paddle Lite aborts",
            remedy=EXPORT_AGAIN,
            code="zero-boxes",
        )
    return str(joined[0].outputs["Out"][0])


def _found(program: Program) -> set[str]:
    """The tensors that hold what the last NMS found, as it is."""
    same: set[str] = set()
    for operator in program.operators:
        if operator.kind in _NMS:
            same = {operator.outputs["Out"][0]}
        elif operator.kind in _SAME and same.intersection(operator.inputs.get("X", ())):
            same.update(operator.outputs.get("Out", ()))
    return same


def _masks(program: Program) -> str:
    """The tensor [K, 28, 28] that is pasted into the image."""
    makers = _makers(program)
    pasted = next((op for op in program.operators if op.kind == "grid_sampler"), None)
    ends = [pasted.inputs["X"][0]] if pasted else [tensor.name for tensor in program.outputs]
    for name in ends:
        for _ in range(_FAR):
            maker = makers.get(name)
            if maker is None:
                break
            if maker.kind == "sigmoid" and len(program.shape(name) or ()) == 3:
                return name
            if maker.kind not in (*_CARRIERS, "scale"):
                break
            name = next(iter(maker.inputs.get("X", maker.inputs.get("Input", ("",)))))
    raise ConversionError("no masks are found among what the model computes", remedy=RAW, code="not-mask-rcnn")


def _keep(block: Any, outputs: tuple[str, ...]) -> None:
    """Leaves the operators that ``outputs`` hang on, and makes these the outputs."""
    feeds = [op for op in block.ops if op.type == "feed"]
    fetch = next(op for op in block.ops if op.type == "fetch")
    needed, kept = set(outputs), []
    for op in reversed(block.ops):
        if op.type not in ("feed", "fetch") and needed & set(_names(op.outputs)):
            kept.append(op)
            needed.update(_names(op.inputs))
    feeds = sorted((op for op in feeds if needed & set(_names(op.outputs))), key=lambda op: _place(_names(op.outputs)))
    ends = []
    for name in outputs:
        end = type(fetch)()
        end.CopyFrom(fetch)
        end.inputs[0].arguments[:] = [name]
        ends.append(end)
    for group in (feeds, ends):
        for column, op in enumerate(group):
            next(attribute for attribute in op.attrs if attribute.name == "col").i = column
    replace_operators(block, (*feeds, *reversed(kept), *ends))


def _names(slots: Any) -> list[str]:
    return [name for slot in slots for name in slot.arguments]


def _place(names: list[str]) -> int:
    return min((_INPUTS.index(name) for name in names if name in _INPUTS), default=len(_INPUTS))


def _fix_size(block: Any, size: tuple[int, int]) -> None:
    """Gives the inputs the sides that the export left open."""
    shapes = {"image": (1, 3, *size), "im_shape": (1, 2)}
    for variable in block.vars:
        if variable.name in shapes:
            variable.type.lod_tensor.tensor.dims[:] = shapes[variable.name]


def _leave_out(block: Any, passes: Callable[[Any], bool]) -> bool:
    """Takes out the operators that ``passes`` picks: what they give is what they read. Whether there were any."""
    other: dict[str, str] = {}
    kept = []
    for op in block.ops:
        for slot in op.inputs:
            slot.arguments[:] = [other.get(name, name) for name in slot.arguments]
        if passes(op):
            given = [name for slot in op.outputs if slot.parameter == "Out" for name in slot.arguments]
            other.update(zip(given, _names(op.inputs), strict=False))
        else:
            kept.append(op)
    replace_operators(block, kept)
    return bool(other)


def _no_empty_reshapes(block: Any, program: Program) -> str:
    """Paddle Lite's reshape to [-1, 6] aborts on a tensor without rows; what the NMS found has that shape already."""
    found = _found(program)
    left = _leave_out(block, lambda op: op.type in _SAME and bool(found.intersection(_names(op.inputs)[:1])))
    return "a reshape behind the non-maximum suppression left out" if left else ""


def _no_broadcasts(block: Any, program: Program) -> str:
    """Tensors of one dimension each, an index a row: they have the same length already."""

    def flat(op: Any) -> bool:
        return op.type == "broadcast_tensors" and all(len(program.shape(n) or ()) == 1 for n in _names(op.inputs))

    return "broadcast_tensors left out" if _leave_out(block, flat) else ""


def _no_flattens(block: Any, program: Program) -> str:
    """flatten(x, n) → reshape(x, [0, …, -1])."""
    found = 0
    for op in block.ops:
        stated = {attribute.name: attribute.i for attribute in op.attrs}
        shape = program.shape(_names(op.inputs)[0]) if op.type in FLATTEN and op.inputs else None
        if not shape or stated.get("stop_axis", -1) not in (-1, len(shape) - 1) or "start_axis" not in stated:
            continue
        found += 1
        op.type = "reshape2"
        del op.attrs[:]
        new = op.attrs.add(name="shape", type=_INTS)
        new.ints.extend([0] * stated["start_axis"] + [-1])
        if not any(slot.parameter == "XShape" and slot.arguments for slot in op.outputs):
            source = _names(op.inputs)[0]
            variable = block.vars.add()
            variable.CopyFrom(next(v for v in block.vars if v.name == source))
            variable.name = f"{source}.flattened.{found}"
            op.outputs.add(parameter="XShape", arguments=[variable.name])
    return f"flatten written as reshape ({found})" if found else ""


def _no_scalars(block: Any, program: Program) -> str:
    """Constants without dimensions get one."""
    found = 0
    for op in block.ops:
        for attribute in op.attrs:
            bare = op.type in ("fill_constant", "assign_value") and attribute.name == "shape" and not op.inputs
            if bare and not attribute.ints and not attribute.longs:
                (attribute.longs if attribute.type == _LONGS else attribute.ints).append(1)
                found += 1
    return f"constants given a dimension ({found})" if found else ""


_INTS, _LONGS = 3, 11  # AttrType
_MENDERS: tuple[Callable[[Any, Program], str], ...] = (_no_empty_reshapes, _no_broadcasts, _no_flattens, _no_scalars)
