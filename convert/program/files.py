"""Which files make up an exported model, and refusals, with the way out, of what isn't one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edge_seg.errors import ConversionError, UsageError

_PROGRAMS = ("model.pdmodel", "inference.pdmodel", "__model__")
_PIR = ("model.json", "inference.json")
_REEXPORT = (
    "export it with paddle 2.6 (paddle.jit.save writes .pdmodel and .pdiparams); weights carry over as .pdparams"
)
_OTHERS = {
    ".pdparams": (
        "a training's weights, without the model",
        "give the model that was exported with them, or an edge-seg run's folder",
    ),
    ".pdopt": ("an optimiser's state", "give the exported .pdmodel"),
    ".nb": (
        "a model that opt has converted already",
        "give what it was made from (.pdmodel), or the bundle's folder, which says what the .nb is for",
    ),
    ".onnx": ("an ONNX model", "give the Paddle model that it was made from"),
    ".pt": ("a PyTorch model", "give a model exported by paddle"),
    ".pth": ("a PyTorch model", "give a model exported by paddle"),
    ".gz": ("an archive", "unpack it first; a packed bundle with `edge-seg bundle unpack`"),
    ".tar": ("an archive", "unpack it first"),
    ".zip": ("an archive", "unpack it first"),
}


@dataclass(frozen=True)
class ModelFiles:
    """``program``, and where its weights are: one file, or ``folder`` with one for each weight; neither if none is."""

    program: Path
    weights: Path | None
    folder: Path | None = None


def is_exported(path: Path) -> bool:
    """Whether ``path`` is an exported model, or its folder, whether or not it can be converted."""
    if path.is_dir():
        named = (*_PROGRAMS, *_PIR)
        return any((path / name).is_file() for name in named) or any(path.glob("*.pdmodel"))
    return path.is_file()


def find_model(path: Path) -> ModelFiles:
    """The exported model in a folder, or the one that a file belongs to.

    Raises :class:`UsageError` when there is none, :class:`ConversionError` for a kind that can't be converted.
    """
    program = _in_folder(path) if path.is_dir() else path
    _refuse_others(program)
    if program.name == "__model__":
        for name in ("__params__", "params"):
            if (program.parent / name).is_file():
                return ModelFiles(program, program.parent / name)
        return ModelFiles(program, None, program.parent)
    for weights in (program.with_suffix(".pdiparams"), program.parent / "__params__"):
        if weights.is_file():
            return ModelFiles(program, weights)
    return ModelFiles(program, None)


def _in_folder(path: Path) -> Path:
    found = [path / name for name in _PROGRAMS if (path / name).is_file()] or sorted(path.glob("*.pdmodel"))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(file.name for file in found[:5])
        raise UsageError(f"{path}: holds several models: {names}", remedy="name one of them", code="several-models")
    for name in _PIR:
        if (path / name).is_file():
            return path / name
    raise UsageError(
        f"{path}: holds neither an exported model nor a run nor a bundle",
        remedy="give a .pdmodel or __model__ file, a run's or a bundle's folder, or the name of a zoo model",
        code="nothing-found",
    )


def _refuse_others(path: Path) -> None:
    if not path.exists():
        raise UsageError(f"{path}: no such file", remedy="check the name", code="file-missing")
    if not path.is_file():
        raise UsageError(f"{path}: not a file", remedy="check the name", code="file-missing")
    if _is_pir(path):
        raise ConversionError(
            f"{path}: a PIR program, which paddle 3.x writes; Paddle Lite's opt aborts on it",
            remedy=f"{_REEXPORT}; or export with FLAGS_enable_pir_api=0 (paddle 3.0 and 3.2 only)",
            code="pir-model",
        )
    if path.suffix == ".pdiparams":
        program = path.with_suffix(".pdmodel")
        way = f"give {program}" if program.is_file() else f"{program.name} is missing beside it: copy it as well"
        raise UsageError(f"{path}: the weights of a model, not its program", remedy=way, code="weights-only")
    if path.suffix in _OTHERS:
        what, remedy = _OTHERS[path.suffix]
        raise UsageError(f"{path}: {what}, not an exported model", remedy=remedy, code="not-a-model")


def _is_pir(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4096).lstrip()
    if not start.startswith(b"{"):
        return False
    if b'"base_code"' in start or b'"pir"' in start:
        return True
    try:
        return "program" in json.loads(path.read_bytes())
    except (ValueError, TypeError, RecursionError):
        return False
