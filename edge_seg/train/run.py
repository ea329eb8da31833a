"""A run: the folder in which a training lives and which conversion starts from.

``config.json``      what was trained and how: everything that a resumed training or a conversion needs to know
``model.pdparams``   the best weights so far, by mask mAP
``last/``            the checkpoint that a killed training resumes from
``metrics.jsonl``    a line per logged step and per evaluation; holds no times, so equal trainings have equal files
``golden.png``       a validation image, for the bundle's self-test
``command.txt``      the command lines that made it
``scalars/``         the same as metrics.jsonl for TensorBoard; only with --scalars tensorboard
``report.html``      the newest evaluation and the curves, as a page; only where the extra "report" is installed
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_seg.errors import RunError
from edge_seg.files import read_json, write_json
from edge_seg.manifest import PostprocessSpec, PreprocessSpec, check_processing
from edge_seg.plain import from_plain
from edge_seg.words import counted
from edge_seg.zoo import ZOO

if TYPE_CHECKING:
    from edge_seg.models.mask_rcnn import MaskRCNN

SCHEMA = 2
_READABLE = (1, 2)
"""Schema 1 knew no ``box_width``."""
_UNDO = "undo the edit, or train again"
_WIDEST = 65536
CONFIG, WEIGHTS, LAST, METRICS, GOLDEN, COMMAND, REPORT, SCALARS = (
    "config.json",
    "model.pdparams",
    "last",
    "metrics.jsonl",
    "golden.png",
    "command.txt",
    "report.html",
    "scalars",
)


@dataclass(frozen=True)
class TrainSettings:
    """Every hyper-parameter. Two trainings on one machine with equal settings and data have equal losses.

    An image is resized to one of ``short_sides`` with the long side at most ``long_side``, or, when ``short_sides`` is
    empty, into the run's input size, scaled by a factor drawn from ``scale_range``. The first ``freeze_at`` parts of
    the backbone (1: the stem, 2: and res2 …) aren't trained. With ``qat`` the layers compute with int8's values.

    A step learns from ``accumulate`` batches, each of ``batch`` images in every one of ``processes`` processes, in
    mixed precision with ``amp`` ("fp16" or "bf16"). ``ema`` is the decay of the weights' running mean, which is then
    what is evaluated and kept. ``patience`` evaluations without a better mask mAP end the training. The heads learn
    from ``rois`` of an image, 0: as many as the model's own settings say. ``flip`` to ``mosaic`` are how often, 0 to 1,
    or how much an image is changed (:class:`edge_seg.data.loader.LoaderSettings`).
    """

    epochs: int
    batch: int
    lr: float
    warmup_steps: int
    decay_epochs: tuple[float, ...]
    seed: int
    short_sides: tuple[int, ...] = ()
    long_side: int = 0
    scale_range: tuple[float, float] = (1.0, 1.0)
    momentum: float = 0.9
    weight_decay: float = 1e-4
    clip_norm: float = 0.0
    frozen_norm: bool = False
    freeze_at: int = 0
    optimizer: str = "momentum"
    schedule: str = "step"
    accumulate: int = 1
    rois: int = 0
    processes: int = 1
    amp: str = ""
    ema: float = 0.0
    patience: int = 0
    flip: float = 0.5
    vertical_flip: float = 0.0
    color_jitter: float = 0.0
    crop: float = 0.0
    expand: float = 0.0
    mosaic: float = 0.0
    group_by_aspect: bool = False
    repeat_factor: float = 0.0
    weights: str = ""
    log_every: int = 20
    eval_every: int = 1
    checkpoint_every: int = 500
    max_steps: int = 0
    qat: bool = False

    @property
    def whole_batch(self) -> int:
        """Images of a batch in all processes together."""
        return self.batch * self.processes


@dataclass(frozen=True)
class RunConfig:
    """What ``config.json`` holds.

    ``metrics`` (``box_map``, ``mask_map``, 0 to 1) are of the best weights, empty as long as there are none.
    ``box_width`` is the width of the box head where it was pruned, None where it is the model's own; ``widths`` are
    those of other pruned layers, by their names (:mod:`edge_seg.models.channels`).
    """

    model: str
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    preprocess: PreprocessSpec
    postprocess: PostprocessSpec
    settings: TrainSettings
    data: str
    data_sha256: str
    metrics: dict[str, float | None] = field(default_factory=dict)
    box_width: int | None = None
    widths: dict[str, int] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input when it is evaluated, pixels."""
        return self.preprocess.size


@dataclass(frozen=True)
class Run:
    """A run folder whose ``config.json`` was read."""

    path: Path
    config: RunConfig

    @property
    def weights(self) -> Path:
        """File of the best weights."""
        return self.path / WEIGHTS

    @property
    def golden(self) -> Path:
        """An image of the validation split, PNG."""
        return self.path / GOLDEN

    def build_model(self) -> MaskRCNN:
        """The model with the best weights, in eval mode; its input size isn't set yet.

        Raises :class:`RunError` when the weights are damaged or of another model.
        """
        from edge_seg.train.weights import build, load_exactly

        config = self.config
        model = build(config.model, len(config.classes), config.settings.frozen_norm, config.box_width, config.widths)
        load_exactly(model, self.weights)
        model.eval()
        return model

    def input_ranges(self) -> dict[str, float]:
        """Of a quantisation-aware training: each convolution's range by the layer's name; empty otherwise."""
        if not self.config.settings.qat:
            return {}
        from edge_seg.models.fake_quant import RANGE
        from edge_seg.train.weights import read_arrays

        found = read_arrays(self.weights)
        return {name.removesuffix(f".{RANGE}"): float(v[0]) for name, v in found.items() if name.endswith(f".{RANGE}")}


def write_config(path: Path, config: RunConfig) -> None:
    """Replaces the run's ``config.json``."""
    write_json(path / CONFIG, dataclasses.asdict(config))


def read_config(path: Path) -> RunConfig:
    """The run's configuration; :class:`RunError` when it is missing, of another schema or edited wrongly."""
    if not path.is_dir():
        what = "a file, not a run folder" if path.exists() else "no such run"
        raise RunError(f"{path}: {what}", remedy="give the folder that `edge-seg train --out` made", code="run-missing")
    file = path / CONFIG
    if not file.is_file():
        raise RunError(
            f"{path}: not a run: it holds no {CONFIG}",
            remedy="give the folder that `edge-seg train --out` made",
            code="run-missing",
        )
    plain: Any = read_json(file, RunError)
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if schema not in _READABLE or isinstance(schema, bool):
        raise RunError(
            f"{file}: run schema {schema!r}, expected {SCHEMA}",
            remedy="train again with this version of edge-seg, or use the version that made the run",
            code="run-schema",
        )
    config = from_plain(RunConfig, {**plain, "schema": SCHEMA}, str(file), _altered)
    check_processing(config.preprocess, config.postprocess, str(file), _altered)
    if config.model not in ZOO:
        raise RunError(
            f"{file}: model {config.model!r}, expected one of {', '.join(ZOO)}", remedy=_UNDO, code="run-invalid"
        )
    if not config.classes or len(config.classes) != len(config.category_ids):
        raise RunError(
            f"{file}: {counted(len(config.classes), 'class')} and "
            f"{counted(len(config.category_ids), 'category id')}, expected as many",
            remedy=_UNDO,
            code="run-invalid",
        )
    if config.box_width is not None and not 1 <= config.box_width <= _WIDEST:
        raise RunError(
            f"{file}: box_width {config.box_width}, expected 1 to {_WIDEST}", remedy=_UNDO, code="run-invalid"
        )
    return config


def _altered(message: str) -> RunError:
    return RunError(message, remedy=_UNDO, code="run-invalid")


def load_run(path: Path | str) -> Run:
    """Opens a run that has weights to use; :class:`RunError` says what is missing otherwise."""
    path = Path(path)
    run = Run(path, read_config(path))
    if os.path.lexists(run.weights) and not run.weights.is_file():
        raise RunError(f"{run.weights}: not a plain file", remedy="copy the run again", code="weights-invalid")
    if not run.weights.is_file():
        raise RunError(
            f"{path}: no weights yet: the training has not reached its first evaluation",
            remedy="let it go on; if it was stopped, run its command again with --resume",
            code="run-unfinished",
        )
    return run


def finds_nothing(path: Path, metrics: dict[str, float | None]) -> str:
    """What whoever uses a run must know whose mask mAP is 0, to three digits; "" for all others.

    Without evaluation, and where there was nothing to find, nothing is known.
    """
    value = metrics.get("mask_map")
    if value is None or round(value, 3) > 0:
        return ""
    return (
        f"{path}: mask mAP is 0: the model finds no object of the validation images well enough to count; train it for "
        "longer, with more images or from trained weights before it is used"
    )
