"""A run made of someone's trained weights, without a step of training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edge_seg.errors import UsageError
from edge_seg.files import atomic_dir, write_text
from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from edge_seg.runtime.image import read_image
from edge_seg.train.folder import check_new, command_line, write_golden
from edge_seg.train.initial import LoadReport, count_classes, load, read_source
from edge_seg.train.pretrained import coco_classes
from edge_seg.train.run import COMMAND, GOLDEN, WEIGHTS, RunConfig, TrainSettings, write_config
from edge_seg.train.weights import build, write_arrays
from edge_seg.words import counted


def import_run(
    file: Path,
    model: str,
    out: Path,
    *,
    classes: tuple[str, ...] | None,
    known: tuple[str, ...] | None = None,
    golden: Path | None = None,
    size: tuple[int, int] = (640, 640),
    partial: bool = False,
) -> LoadReport:
    """Writes the run ``out`` of the zoo's ``model`` with the weights in ``file``; says what was loaded.

    ``classes`` name the detector's classes in order; without them those that its origin tells (``known``, or a run's
    own), or COCO's when there are 80. ``golden`` is an image for the self-test of bundles. Raises :class:`UsageError`
    when the number of names isn't the detector's, :class:`DataError` when the weights are another model's.
    """
    check_new(out)
    source = read_source(file)
    count = count_classes(source.arrays)
    names = classes or source.classes or known or (coco_classes() if count == len(coco_classes()) else None)
    if names is None or (count and len(names) != count):
        found = "no names" if names is None else f"{len(names)} names ({', '.join(names[:4])}…)"
        raise UsageError(
            f"{file}: a detector of {counted(count, 'class') if count else 'unknown classes'}, {found} given",
            remedy="give --classes with as many names, in the order in which it was trained",
            code="class-count",
        )
    layers = build(model, len(names), False)
    report = load(layers, dataclasses.replace(source, classes=None), names, partial=partial)
    if count == 0 and not partial:
        raise UsageError(
            f"{file}: a backbone, not a detector: it finds nothing before it is trained",
            remedy="train with it: edge-seg train MODEL --weights FILE",
        )
    config = RunConfig(
        model=model,
        classes=names,
        category_ids=tuple(range(1, len(names) + 1)),
        preprocess=PreprocessSpec(size),
        postprocess=PostprocessSpec(),
        settings=TrainSettings(0, 1, 0.0, 0, (), 0, weights=str(file)),
        data="",
        data_sha256="",
    )
    image = None if golden is None else read_image(golden)
    with atomic_dir(out) as partial_run:
        write_config(partial_run, config)
        write_arrays(partial_run / WEIGHTS, layers.state_dict())
        write_text(partial_run / COMMAND, command_line())
        if image is not None:
            write_golden(partial_run / GOLDEN, image)
    return report
