"""Weights files (``.pdparams``): read without running code from them, loaded exactly or as far as they fit.

A ``.pdparams`` file is a pickle of ``{name: array}``. Unpickling runs whatever a file asks for, so a reader that only
knows numpy's arrays is used: weights found on the internet can't do harm.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_seg.errors import DataError, RunError
from edge_seg.files import atomic_file
from edge_seg.paddle_env import paddle

if TYPE_CHECKING:
    from edge_seg.models.mask_rcnn import MaskRCNN

# The layers whose shape depends on the number of classes.
CLASS_LAYERS = ("bbox_head.bbox_score.", "bbox_head.bbox_delta.", "mask_head.mask_fcn_logits.")
_HARMLESS = {
    (f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"), ("collections", "OrderedDict")}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _HARMLESS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which arrays don't need")
        return super().find_class(module, name)


def read_arrays(file: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a ``.pdparams`` or ``.pdopt`` file by name; :class:`DataError` when it is not such a file."""
    try:
        with file.open("rb") as stream:
            content = _ArraysOnly(stream, encoding="latin1").load()
    except FileNotFoundError:
        raise DataError(f"{file}: no such file", code="weights-missing") from None
    except OSError:
        raise
    except Exception as problem:  # a damaged pickle raises nearly anything
        raise DataError(
            f"{file}: not a PaddlePaddle weights file, or damaged: {problem}",
            remedy="give a .pdparams file as paddle.save writes it; download it again if it was cut short",
            code="weights-invalid",
        ) from None
    if not isinstance(content, dict):
        raise DataError(f"{file}: holds a {type(content).__name__}, expected arrays by name", code="weights-invalid")
    return {name: value for name, value in content.items() if isinstance(value, np.ndarray)}


def write_arrays(file: Path, state: Mapping[str, Any]) -> None:
    """Writes a state dict as ``.pdparams`` or ``.pdopt``, atomically; equal values give equal bytes.

    Tensors go as arrays: paddle would add their names in this process, which hang on what it built before.
    """
    with atomic_file(file) as partial:
        paddle.save({name: value.numpy() for name, value in state.items()}, str(partial))


def build(name: str, num_classes: int, frozen_norm: bool, box_width: int | None = None) -> MaskRCNN:
    """A zoo model whose untrained weights hang on ``paddle.seed`` alone."""
    from edge_seg.models.build import build_model

    return build_model(name, num_classes, frozen_norm=frozen_norm, box_width=box_width)


def load_exactly(model: MaskRCNN, file: Path) -> None:
    """Loads weights that must fit in every name, shape and dtype, and be numbers.

    :class:`RunError` names the first that doesn't: what isn't a number may be lost on the way (relu makes 0 of it), and
    a bundle seem sound.
    """
    try:
        found = read_arrays(file)
    except DataError as problem:
        raise RunError(problem.message, remedy="copy the run again, or train again", code="weights-invalid") from None
    expected = model.state_dict()
    for name, value in expected.items():
        if name not in found or list(found[name].shape) != list(value.shape):
            has = f"shape {list(found[name].shape)}" if name in found else "missing"
            raise RunError(
                f"{file}: {name}: {has}, expected shape {list(value.shape)}: weights of another model or version",
                remedy="copy the run again, or train again",
                code="weights-invalid",
            )
        fault = _fault(name, found[name])
        if fault:
            raise RunError(
                f"{file}: {name}: {fault}", remedy="copy the run again, or train again", code="weights-invalid"
            )
    model.set_state_dict({name: found[name] for name in expected})


def _fault(name: str, value: np.ndarray[Any, Any]) -> str:
    if value.dtype != np.float32:
        return f"{value.dtype}, expected float32"
    strange = int((~np.isfinite(value)).sum())
    if strange:
        return f"{strange} of {value.size} values aren't finite"
    if name.endswith("._variance") and value.min(initial=0.0) < 0:
        return f"a variance of {value.min():g}, expected none below 0"
    return ""


@dataclass
class LoadReport:
    """What became of a weights file: names of the model that it filled, and of those that keep their first values."""

    loaded: list[str] = field(default_factory=list)
    other_classes: list[str] = field(default_factory=list)
    other_shape: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def lines(self, file: Path) -> list[str]:
        """The report for the user."""
        kept = (
            (self.other_classes, "of another number of classes, left untrained"),
            (self.other_shape, "of another shape, left untrained"),
            (self.missing, "not in the file, left untrained"),
            (self.unused, "in the file but not in the model, ignored"),
        )
        lines = [f"weights from {file}: {len(self.loaded)} arrays loaded"]
        return lines + [f"  {len(names)} {why}: {_some(names)}" for names, why in kept if names]


def load_partly(model: MaskRCNN, file: Path) -> LoadReport:
    """Loads what fits of a ``.pdparams`` file with PaddleDetection's names, of a whole detector or a backbone only.

    Heads of another number of classes are skipped. Raises :class:`DataError` when nothing fits.
    """
    found = read_arrays(file)
    expected = model.state_dict()
    prefix = "" if found.keys() & expected.keys() else "backbone."
    found = {prefix + name: value for name, value in found.items()}
    report = LoadReport()
    for name, value in expected.items():
        if name not in found:
            report.missing.append(name)
        elif list(found[name].shape) == list(value.shape):
            report.loaded.append(name)
            value.set_value(found[name].astype(np.float32))
        elif name.startswith(CLASS_LAYERS):
            report.other_classes.append(name)
        else:
            report.other_shape.append(name)
    report.unused = [name.removeprefix(prefix) for name in found if name not in expected]
    if not report.loaded:
        names = _some([name.removeprefix(prefix) for name in found])
        raise DataError(
            f"{file}: none of its {len(found)} arrays fits the model; it holds {names}",
            remedy="give weights of the same architecture, with PaddleDetection's names",
            code="weights-invalid",
        )
    return report


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
