"""Weights files (``.pdparams``): read without running code from them, loaded exactly or as far as they fit.

A ``.pdparams`` file is a pickle of ``{name: array}``. Unpickling runs whatever a file asks for, so a reader of our own
(:mod:`edge_seg.train.unpickle`) builds the arrays: weights found on the internet can't do harm.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_seg.errors import DataError, RunError
from edge_seg.files import atomic_file, open_regular
from edge_seg.paddle_env import paddle
from edge_seg.train.unpickle import Refused, read_pickled_arrays
from edge_seg.words import counted

if TYPE_CHECKING:
    from edge_seg.models.mask_rcnn import MaskRCNN

# The layers whose shape depends on the number of classes.
CLASS_LAYERS = ("bbox_head.bbox_score.", "bbox_head.bbox_delta.", "mask_head.mask_fcn_logits.")


def read_arrays(file: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a ``.pdparams`` or ``.pdopt`` file by name; :class:`DataError` when it is not such a file."""
    try:
        with open_regular(file, DataError) as stream:
            return read_pickled_arrays(stream)
    except Refused as problem:
        raise DataError(
            f"{file}: not a PaddlePaddle weights file, or damaged: {problem}",
            remedy="give a .pdparams file as paddle.save writes it; download it again if it was cut short",
            code="weights-invalid",
        ) from None


def write_arrays(file: Path, state: Mapping[str, Any]) -> None:
    """Writes a state dict as ``.pdparams`` or ``.pdopt``, atomically; equal values give equal bytes.

    Tensors go as arrays: paddle would add their names in this process, which hang on what it built before. Some values
    of a state dict of paddle 3 are arrays already.
    """
    with atomic_file(file) as partial, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The input state dict is empty")  # SGD keeps nothing
        paddle.save({name: np.asarray(value) for name, value in state.items()}, str(partial))


def build(
    name: str,
    num_classes: int,
    frozen_norm: bool,
    box_width: int | None = None,
    widths: Mapping[str, int] | None = None,
) -> MaskRCNN:
    """A zoo model whose untrained weights hang on ``paddle.seed`` alone; ``widths`` are those of layers pruned to them.

    Raises :class:`RunError` when ``widths`` aren't of this model.
    """
    from edge_seg.models.build import build_model
    from edge_seg.models.channels import narrow

    model = build_model(name, num_classes, frozen_norm=frozen_norm, box_width=box_width)
    try:
        narrow(model, widths or {})
    except ValueError as problem:
        raise RunError(
            f"{name}: {problem}", remedy="undo the edit of the run's config.json, or prune again", code="run-invalid"
        ) from None
    return model


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
        fault = fault_of(name, found[name])
        if fault:
            raise RunError(
                f"{file}: {name}: {fault}", remedy="copy the run again, or train again", code="weights-invalid"
            )
    model.set_state_dict({name: found[name] for name in expected})


def fault_of(name: str, value: np.ndarray[Any, Any]) -> str:
    """What is wrong with an array of that name; empty when nothing is."""
    if value.dtype != np.float32:
        return f"{value.dtype}, expected float32"
    strange = int((~np.isfinite(value)).sum())
    if strange:
        return f"{strange} of {counted(value.size, 'value')} aren't finite"
    if name.endswith("._variance") and value.min(initial=0.0) < 0:
        return f"a variance of {value.min():g}, expected none below 0"
    return ""
