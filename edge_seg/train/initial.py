"""The weights that a training, or an imported run, begins with: read from whatever form they come in, and checked.

A file of another model fits in part as a rule (115 arrays of a ResNet50 fit a ResNet18), and a training on top of it
looks as usual. So all that the model needs must be there, and nothing may be left over that the model can't use, unless
part of it was asked for.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.archive import unpack
from edge_seg.errors import DataError
from edge_seg.models.fake_quant import RANGE
from edge_seg.train import fluid
from edge_seg.train.run import CONFIG, WEIGHTS, RunConfig, read_config
from edge_seg.train.weights import CLASS_LAYERS, fault_of, read_arrays
from edge_seg.words import counted

if TYPE_CHECKING:
    from edge_seg.models.mask_rcnn import MaskRCNN

Arrays = dict[str, NDArray[Any]]

_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
# What classifies images behind a backbone: of no use to a detector.
_CLASSIFIER = re.compile(
    r"(backbone\.)?(fc|out|linear|classifier|cls_head|last_cls|conv_last|incre_modules|downsamp_modules|final_layer)\b"
    r"|(fc|cls_head\w*|last_cls\w*)_\w+"
)
_BOOKKEEPING = re.compile(r"StructuredToParameterName@@|.*\.num_batches_tracked")


@dataclass(frozen=True)
class Source:
    """Arrays by name, of the file that they were read from; ``classes`` in the order of the labels, where known.

    ``run`` is the configuration of the run that they are of, if they are of one.
    """

    file: Path
    arrays: Arrays
    classes: tuple[str, ...] | None = None
    run: RunConfig | None = None


@dataclass
class LoadReport:
    """What became of a weights file: names of the model that it filled, and of those that keep their first values.

    ``kept_classes`` are the model's classes that the file knows by name, where their lists differ.
    """

    loaded: list[str] = field(default_factory=list)
    other_classes: list[str] = field(default_factory=list)
    other_shape: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    kept_classes: tuple[str, ...] = ()
    classes: tuple[int, int] = (0, 0)  # of the file, of the model

    def lines(self, file: Path) -> list[str]:
        """The report for the user."""
        theirs, ours = self.classes
        count = (
            f"{counted(theirs, 'class')} in the file, {ours} in the model"
            if theirs != ours
            else "other classes in the file"
        )
        kept = (
            (self.other_classes, f"for {count}: left untrained"),
            (self.other_shape, "of another shape, left untrained"),
            (self.missing, "not in the file, left untrained"),
            (self.unused, "in the file but not in the model, ignored"),
        )
        lines = [f"weights from {file}: {counted(len(self.loaded), 'array')} loaded"]
        if self.kept_classes:
            known = f"{len(self.kept_classes)} of {counted(ours, 'class')} are known to the file and keep their weights"
            lines.append(f"  {known}: {_some(self.kept_classes)}")
        return lines + [f"  {len(names)} {why}: {_some(names)}" for names, why in kept if names]


def read_source(path: Path) -> Source:
    """Weights in any form: a ``.pdparams``, a run, a folder that holds ``model.pdparams``, PaddleX 1.x's folder of
    variables, or an archive of one of these. :class:`DataError` when it is none.
    """
    if path.is_dir():
        return _read_folder(path, path)
    if path.name.lower().endswith(_ARCHIVES) and path.is_file():
        with tempfile.TemporaryDirectory(prefix="edge-seg-weights-") as temporary:
            return _read_folder(unpack(path, Path(temporary) / "content", DataError), path)
    beside = path.with_name(CONFIG)
    if path.name == WEIGHTS and beside.is_file():
        return _of_run(path, path.parent)
    return Source(path, read_arrays(path))


def _of_run(named: Path, run: Path) -> Source:
    config = read_config(run)
    return Source(named, read_arrays(run / WEIGHTS), config.classes, config)


def _read_folder(folder: Path, named: Path) -> Source:
    """``named`` is what the user knows the folder as."""
    for place in (folder, *sorted(child for child in folder.iterdir() if child.is_dir())):
        if (place / CONFIG).is_file() and (place / WEIGHTS).is_file():
            return _of_run(named, place)
        if (place / WEIGHTS).is_file():
            return Source(named, read_arrays(place / WEIGHTS))
        if fluid.is_folder(place):
            return Source(named, fluid.read_folder(place))
    raise DataError(
        f"{named}: holds no weights: neither {WEIGHTS} nor the variables of PaddlePaddle 1.x",
        remedy="give a .pdparams file, a run, or an archive that PaddleX or PaddleDetection published",
        code="weights-invalid",
    )


def load(model: MaskRCNN, source: Source, classes: Sequence[str], *, partial: bool = False) -> LoadReport:
    """Puts the source's arrays into ``model``, whose classes are ``classes``.

    A whole detector must fit but for the layers whose shape is the number of classes; a backbone must fit as a whole.
    Raises :class:`DataError` when it doesn't and ``partial`` isn't set, when nothing fits, or a value isn't a number.
    """
    expected: dict[str, Any] = model.state_dict()
    found = {name: value for name, value in source.arrays.items() if not _BOOKKEEPING.fullmatch(name)}
    if fluid.is_old(found):
        found = fluid.renamed(found, list(expected))
    whole = bool(found.keys() & expected.keys() - {name for name in expected if name.startswith("backbone.")})
    if not found.keys() & expected.keys():
        found = {f"backbone.{name}": value for name, value in found.items()}
    report = _sort(source, found, expected, tuple(classes))
    _refuse(report, source.file, whole, partial)
    for name in report.loaded:
        _check(source.file, name, found[name])
        expected[name].set_value(found[name].astype(np.float32))
    if report.kept_classes and source.classes is not None:
        for name in report.other_classes:
            _check(source.file, name, found[name])
            value = np.array(expected[name], np.float32)
            expected[name].set_value(_transfer(name, found[name], value, source.classes, tuple(classes)))
    return report


def _sort(source: Source, found: Arrays, expected: dict[str, Any], classes: tuple[str, ...]) -> LoadReport:
    """What can be loaded, and why the rest can't; loads nothing."""
    theirs = count_classes(found)
    report = LoadReport(classes=(theirs or len(classes), len(classes)))
    foreign = source.classes is not None and source.classes != classes
    if source.classes is not None and len(source.classes) == theirs:
        report.kept_classes = tuple(name for name in classes if foreign and name in source.classes)
    for name, value in expected.items():
        if name not in found:
            report.missing.append(name)
        elif name.startswith(CLASS_LAYERS) and (foreign or list(found[name].shape) != list(value.shape)):
            report.other_classes.append(name)
        elif list(found[name].shape) == list(value.shape):
            report.loaded.append(name)
        else:
            report.other_shape.append(name)
    report.unused = [name for name in found if name not in expected]
    return report


def count_classes(found: Arrays) -> int:
    """Of a detector, background not counted; 0 of a backbone."""
    biases = [found[name] for name in ("bbox_head.bbox_score.bias", "cls_score_b") if name in found]
    return biases[0].size - 1 if biases else 0


def _refuse(report: LoadReport, file: Path, whole: bool, partial: bool) -> None:
    if not report.loaded:
        names = _some([name.removeprefix("backbone.") for name in report.unused + report.other_shape])
        raise DataError(
            f"{file}: none of its arrays ({len(report.unused) + len(report.other_shape)}) fits the "
            f"model; it holds {names}",
            remedy="give weights of the same architecture, with PaddleDetection's or PaddleX's names",
            code="weights-invalid",
        )
    if partial:
        return
    missing = [n for n in report.missing if (whole or n.startswith("backbone.")) and not n.endswith(f".{RANGE}")]
    unused = [n for n in report.unused if not _CLASSIFIER.match(n.removeprefix("backbone.")) and RANGE not in n]
    for wrong, what in (
        (report.other_shape, "have another shape than the model's"),
        (missing, "of the model are missing"),
        (unused, "are of no use to the model"),
    ):
        if wrong:
            raise DataError(
                f"{file}: weights of another model: {counted(len(wrong), 'array')} {what}: {_some(wrong)}",
                remedy="name the model that they belong to, or add --partial to load what fits",
                code="weights-mismatch",
            )


def _check(file: Path, name: str, value: NDArray[Any]) -> None:
    if not np.issubdtype(value.dtype, np.floating):
        problem = f"{value.dtype}, expected numbers of floating point"
    else:
        problem = fault_of(name, value.astype(np.float32))
    if problem:
        raise DataError(f"{file}: {name}: {problem}", remedy="download or copy them again", code="weights-invalid")


def _transfer(
    name: str, found: NDArray[Any], value: NDArray[np.float32], theirs: tuple[str, ...], ours: tuple[str, ...]
) -> NDArray[np.float32]:
    """``value`` of a class layer with the rows of the classes that ``found`` knows, background (the last) included."""
    axis = 0 if name.startswith("mask_head.") else -1
    pairs = [(theirs.index(label), i) for i, label in enumerate(ours) if label in theirs]
    width = 4 if name.startswith("bbox_head.bbox_delta.") else 1
    if name.startswith("bbox_head.bbox_score."):
        pairs.append((len(theirs), len(ours)))
    target, source = np.moveaxis(value, axis, 0), np.moveaxis(found, axis, 0)
    for old, new in pairs:
        target[new * width : (new + 1) * width] = source[old * width : (old + 1) * width]
    return value


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
