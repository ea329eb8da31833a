"""A job from what the user named: a run's best weights, or a zoo model with random ones."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from convert.artifacts import Exported, Job, Referenced
from convert.calibration import CalibrationOptions, Source
from convert.export.ties import steady_image
from edge_seg.errors import RunError, UsageError
from edge_seg.files import sha256
from edge_seg.manifest import PostprocessSpec, PreprocessSpec, ProposalSpec
from edge_seg.runtime.image import read_image
from edge_seg.zoo import ZOO, find

if TYPE_CHECKING:
    from convert.recipe import Recipe
    from edge_seg.models.mask_rcnn import MaskRCNN
    from edge_seg.runtime.engines import Engine

DEFAULT_SIZE = (320, 320)
DEFAULT_CLASSES = 80
"""COCO's number, so that an untrained model has the size and cost of the published one."""
_OPTION = re.compile(r"--([\w-]+) (\S+)")
_CANDIDATES = 8
"""Drawn images that are looked at, at most, for one that can prove the conversion of an untrained model."""


@dataclass(frozen=True)
class Options:
    """What the user may set; None leaves a value to the run, or to the default for the input size."""

    size: tuple[int, int] | None = None
    proposals: int | None = None
    before_nms: int | None = None
    keep: int | None = None
    score: float | None = None
    golden: Path | None = None
    calibration: CalibrationOptions = field(default_factory=CalibrationOptions)


@dataclass(frozen=True)
class Layers:
    """A model that paddle runs layer by layer, and that can be exported in every form.

    ``before_nms``: boxes of each pyramid level that enter the proposals' NMS; None leaves it to the model.
    """

    network: MaskRCNN
    before_nms: int | None = None

    @property
    def canonical_size(self) -> int | None:
        """The side in pixels of a box of the pyramid's level 4."""
        return int(self.network.settings.canonical_size)

    @property
    def rpn(self) -> ProposalSpec | None:
        """How a runtime makes the proposals."""
        return self.network.proposal_rules(self.before_nms)

    def form(self, recipe: Recipe) -> tuple[str, ...]:
        """Those of the recipe."""
        return recipe.graphs

    def engine(self, size: tuple[int, int], proposals: int) -> Engine:
        """The layers as an engine, for inputs of ``size`` (height, width)."""
        from edge_seg.train.engine import DynamicEngine

        return DynamicEngine(self.network, size, proposals, self.before_nms)

    def refer(self, job: Job) -> Referenced:
        """What the layers make of the golden image."""
        from convert.export.reference import refer

        return refer(job, self.engine(job.size, job.proposals))

    def export(self, referenced: Referenced, form: tuple[str, ...], folder: Path) -> Exported:
        """The graphs named ``form``: two, three or four."""
        from convert.export.export import export

        return export(self.network, referenced, form, folder)


def layers(job: Job) -> Layers:
    """The job's model, which must be one of layers."""
    if not isinstance(job.model, Layers):
        raise TypeError("an imported program has no layers")
    return job.model


def run_job(path: Path, options: Options) -> Job:
    """The run's best weights. Raises :class:`RunError` when it can't be used."""
    from edge_seg.models.build import default_proposals
    from edge_seg.train.run import load_run

    _compute_reproducibly()
    run = load_run(path)
    size = options.size or run.config.size
    proposals = options.proposals or default_proposals(size)
    post = _postprocess(run.config.postprocess, options)
    if options.golden is None and not run.golden.is_file():
        message = f"{path}: the run holds no {run.golden.name}"
        raise RunError(message, remedy="give an image with --golden", code="run-invalid")
    calibration, ranges = options.calibration, run.input_ranges()
    if ranges and calibration.folder is None and calibration != CalibrationOptions():
        raise UsageError(
            f"{path}: its ranges for int8 were trained (--qat): how they would be found from images changes nothing",
            remedy="leave --calibration-images, --calibration-seed, --algorithm and --keep-accuracy out, or calibrate"
            " anew with --calibration DIR",
        )
    return Job(
        model=Layers(run.build_model(), options.before_nms),
        zoo_model=run.config.model,
        classes=run.config.classes,
        category_ids=run.config.category_ids,
        preprocess=dataclasses.replace(run.config.preprocess, size=size),
        postprocess=post,
        proposals=proposals,
        image=read_image(options.golden or run.golden),
        random_weights=False,
        source={
            "run": path.resolve().name,
            "weights_sha256": sha256(run.weights),
            "options": _described(size, proposals, post, options.before_nms),
            "metrics": run.config.metrics,
            **({"box_width": run.config.box_width} if run.config.box_width else {}),
        },
        calibration=Source(calibration, run.config.data, max(size)),
        trained_ranges=ranges,
    )


def random_job(name: str, seed: int, classes: int, options: Options) -> Job:
    """The zoo's model ``name`` with the random weights of ``seed``; its classes have numbers for names."""
    from edge_seg.data.synth import draw
    from edge_seg.models.build import build_model, default_proposals, randomize

    _compute_reproducibly()
    find(name)
    size = options.size or DEFAULT_SIZE
    proposals = options.proposals or default_proposals(size)
    post = _postprocess(PostprocessSpec(), options)
    pre = PreprocessSpec(size)
    network = build_model(name, classes)
    randomize(network, seed)
    model = Layers(network, options.before_nms)
    if options.golden:
        image = read_image(options.golden)
    else:
        drawn = (draw(seed, max(size), index)[0] for index in range(_CANDIDATES))
        image = steady_image(model.engine(size, proposals), drawn, pre, post)
    return Job(
        model=model,
        zoo_model=name,
        classes=tuple(f"class {number}" for number in range(1, classes + 1)),
        category_ids=tuple(range(1, classes + 1)),
        preprocess=pre,
        postprocess=post,
        proposals=proposals,
        image=image,
        random_weights=True,
        source={
            "seed": seed,
            "weights_sha256": _weights_sha256(network),
            "options": _described(size, proposals, post, options.before_nms),
        },
        calibration=Source(options.calibration, None, max(size)),
    )


def refuse_unknown(source: str) -> None:
    """Raises UsageError when ``source`` is neither a folder nor a zoo model."""
    if not Path(source).exists() and source not in ZOO:
        raise UsageError(
            f"{source}: no such run, and no model of the zoo",
            remedy=f"give the folder that `edge-seg train --out` made, or --random-weights and one of {', '.join(ZOO)}",
            code="run-missing",
        )


def _compute_reproducibly() -> None:
    """The sums behind random weights and the golden result depend on the device and on the number of threads."""
    from edge_seg.train import device

    device.use("cpu", threads=1)


def _postprocess(spec: PostprocessSpec, options: Options) -> PostprocessSpec:
    keep = spec.keep if options.keep is None else options.keep
    score = spec.score_threshold if options.score is None else options.score
    return dataclasses.replace(spec, keep=keep, score_threshold=score)


def _described(size: tuple[int, int], proposals: int, post: PostprocessSpec, before_nms: int | None) -> str:
    """The options that give the same bundle again; what comes from the recipe or the run stands elsewhere."""
    words = f"--size {size[0]}x{size[1]} --proposals {proposals} --keep {post.keep} --score {post.score_threshold:g}"
    return words if before_nms is None else f"{words} --before-nms {before_nms}"


def told_options(text: str) -> dict[str, str]:
    """``{"size": "320x320", …}`` of a manifest's ``source.options``, as :func:`_described` wrote it."""
    return dict(_OPTION.findall(text))


def _weights_sha256(network: MaskRCNN) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode() + b"\0" + value.numpy().tobytes())
    return digest.hexdigest()
