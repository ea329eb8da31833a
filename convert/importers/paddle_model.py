"""A Mask R-CNN that PaddleDetection or PaddleX exported → bundles of one graph, each proven as any other is.

The proof has two steps: the graph as it was cut must find what the whole program finds, both run by paddle; then each
bundle's engine must find what the cut graph finds.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.artifacts import Exported, ExportedGraph, Job, Referenced
from convert.backends.run_graph import Graph, run_paddle
from convert.importers.compare_whole import compare_whole
from convert.importers.settings import ImportedConfig, find_config, read_config
from convert.importers.trim import RAW, Cut, cut
from convert.job import Options
from convert.program.files import ModelFiles, find_model
from convert.program.integrity import gather
from convert.program.program import Operator, Program, read_program
from convert.recipe import Recipe
from edge_seg.errors import ConversionError, UsageError
from edge_seg.files import sha256
from edge_seg.manifest import GraphSpec, PostprocessSpec, PreprocessSpec, TensorSpec
from edge_seg.runtime.image import read_image
from edge_seg.runtime.one_graph import FULL
from edge_seg.runtime.result import Instances
from edge_seg.runtime.segmenter import Segmenter

ENGINES = ("paddle-lite", "paddle-inference")
_IMAGES = 8
"""Drawn images that are looked at, at most, for one in which the model finds something."""


@dataclass(frozen=True)
class Imported:
    """An exported model, its settings, and what was cut from it; ``size`` is the input's height and width."""

    config: ImportedConfig
    files: ModelFiles
    program: Program
    cut: Cut
    size: tuple[int, int]
    options: Options


@dataclass(frozen=True)
class Prepared:
    """The graph in a file of its own. ``whole``: the program as it was exported, beside the same weights."""

    imported: Imported
    graph: Graph
    whole: Graph
    spec: GraphSpec


def is_imported(path: Path) -> bool:
    """Whether ``path`` is, or lies in, the folder of a model that was exported with settings beside it."""
    return path.exists() and find_config(path) is not None


def load(path: Path, options: Options) -> Imported:
    """Raises :class:`ConversionError`, with the way out, when the model can't become a bundle."""
    files = find_model(path)
    for name in ("proposals", "before_nms"):
        if getattr(options, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')}: fixed in the exported model", remedy="leave it out, or export it anew"
            )
    file = find_config(path)
    assert file is not None
    config = read_config(file)
    if not config.is_mask_rcnn:
        what = f"{config.architecture}{'' if config.masks else ' without masks'}"
        raise ConversionError(
            f"{file}: the model is a {what}, and bundles are of Mask R-CNN", remedy=RAW, code="not-mask-rcnn"
        )
    program = read_program(files.program)
    size = _size(files.program, program, config, options.size)
    shorter = cut(program, size)
    _check_classes(config, shorter.program)
    return Imported(config, files, program, shorter, size, options)


def _nms(program: Program) -> Operator:
    """The one that decides what is found: the last, as :mod:`convert.importers.trim` takes it."""
    return [operator for operator in program.operators if "nms" in operator.kind][-1]


def _check_classes(config: ImportedConfig, program: Program) -> None:
    """Of too few names, the runtime would drop what has none."""
    nms = _nms(program)
    shape = program.shape(nms.inputs["Scores"][0]) or ()
    scored = shape[1] if len(shape) > 1 else -1
    count = scored - (0 <= int(nms.attributes.get("background_label", -1)) < scored)
    if scored > 0 and len(config.classes) not in (scored, count):
        raise ConversionError(
            f"{config.file}: {len(config.classes)} names of classes, but the model tells {count} apart",
            remedy=f"name every class, in the order of the training's category ids; {RAW}",
            code="other-classes",
        )


def _size(file: Path, program: Program, config: ImportedConfig, asked: tuple[int, int] | None) -> tuple[int, int]:
    shape = next((tensor.shape for tensor in program.inputs if tensor.name == "image"), ())
    if len(shape) != 4 or shape[1] != 3:
        raise ConversionError(f"{file}: it has no input image [1, 3, height, width]", remedy=RAW, code="other-inputs")
    fixed = shape[2:]
    if min(fixed) < 0:
        size = asked or config.size
        if size is None:
            raise UsageError(f"{file}: its input may have any size", remedy="choose one: --size 640")
        return size
    if any(side % 32 or side == 0 for side in fixed):
        raise ConversionError(
            f"{file}: its input is {fixed[0]} x {fixed[1]}, not multiples of 32: Paddle Lite aborts on such",
            remedy="export it with sides that are multiples of 32",
            code="size",
        )
    if asked not in (None, fixed):
        raise UsageError(
            f"--size: the model was exported for {fixed[0]}x{fixed[1]}", remedy="leave it out, or export it anew"
        )
    return fixed[0], fixed[1]


def check_recipes(recipes: Sequence[Recipe]) -> None:
    """Raises :class:`UsageError` for a recipe that takes more than an exported program."""
    for recipe in recipes:
        if recipe.engine not in ENGINES or recipe.precision != "fp32":
            raise UsageError(
                f"--recipe {recipe.name}: not for models from elsewhere",
                remedy="choose arm-fp32, x86-fp32 or cpu-fp32; the others start from a run",
            )


def prepare(imported: Imported, scratch: Path) -> Prepared:
    """Writes the cut graph and its weights into ``scratch``. Raises :class:`ConversionError` for other weights."""
    from convert.program.passes import tidy

    whole_file, weights = gather(imported.files, imported.program, scratch)
    if weights is None:
        raise ConversionError(f"{imported.files.program}: it has no weights", remedy=RAW, code="no-weights")
    file = scratch / f"{FULL}.pdmodel"
    file.write_bytes(imported.cut.program.description.SerializeToString())
    tidy(file)
    ours = file.with_suffix(".pdiparams")
    if ours != weights:
        shutil.copyfile(weights, ours)
    program = read_program(file)
    outputs = (TensorSpec("detections", (-1, 6), "float32"), TensorSpec("masks", (-1, -1, -1), "float32"))
    spec = GraphSpec({}, program.inputs, outputs)
    graph = Graph(program, file, ours, scratch)
    return Prepared(imported, graph, Graph(imported.program, whole_file, weights, scratch), spec)


class Paddle:
    """The engine that a graph from elsewhere is held against: paddle, each run in a process of its own."""

    name = "paddle"

    def __init__(self, graph: Graph, outputs: tuple[str, ...]) -> None:
        self._graph = graph
        self._outputs = outputs

    def run(self, graph: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The outputs. Raises :class:`ConversionError` when paddle can't run the graph."""
        tried = run_paddle(self._graph, [[inputs[tensor.name] for tensor in self._graph.program.inputs]])
        if tried.words:
            raise ConversionError(
                f"paddle itself can't run the model: it {tried.ending}: {tried.words.said}",
                remedy="the model is damaged, or of a version that paddle 2.6 doesn't read: export it anew",
                code="paddle-failed",
            )
        return dict(zip(self._outputs, tried.outputs[0], strict=True))

    def describe(self) -> dict[str, Any]:
        """Its name."""
        return {"name": self.name}

    def close(self) -> None:
        """Nothing to free."""


@dataclass(frozen=True)
class ImportedProgram:
    """A model that is one exported graph, of which ``instances`` says what paddle finds in the golden image."""

    prepared: Prepared
    instances: Instances
    canonical_size: int | None = None
    rpn: None = None

    def form(self, recipe: Recipe) -> tuple[str, ...]:
        """The one graph, whatever the recipe."""
        return (FULL,)

    def refer(self, job: Job) -> Referenced:
        """What was found when the golden image was chosen."""
        return Referenced(job, {}, self.instances, None)

    def export(self, referenced: Referenced, form: tuple[str, ...], folder: Path) -> Exported:
        """The graph as it was cut."""
        graph, spec = self.prepared.graph, self.prepared.spec
        return Exported(referenced, (ExportedGraph(FULL, graph.file, graph.weights, spec.inputs, spec.outputs),))


def imported_job(imported: Imported, scratch: Path) -> Job:
    """Cuts the model in ``scratch``, and compares the cut graph with the whole one on a golden image.

    Raises :class:`ConversionError` when they differ, or when no image is found that can prove the conversion.
    """
    prepared = prepare(imported, scratch)
    pre, post = imported.config.preprocess(imported.size), _postprocess(imported)
    engine = Paddle(prepared.graph, tuple(tensor.name for tensor in prepared.spec.outputs))
    segmenter = Segmenter.over(engine, pre, post, classes=imported.config.classes, full=prepared.spec)
    image, found = _image(segmenter, imported)
    compare_whole(prepared.whole, pre, post, image, found)
    return _job(prepared, pre, post, image, found)


def _image(segmenter: Segmenter, imported: Imported) -> tuple[NDArray[np.uint8], Instances]:
    """The golden image, and what is found in it."""
    from edge_seg.data.synth import draw

    golden = imported.options.golden
    drawn = (draw(0, max(imported.size), index)[0] for index in range(_IMAGES))
    for image in [read_image(golden)] if golden else drawn:
        found = segmenter(image)
        if len(found):
            return image, found
    nothing, hint = f"the model finds nothing in {_IMAGES} drawn images", ": --golden FILE"
    if golden:
        nothing = f"{golden}: the model finds nothing in it"
        hint = "; if it should in this one, see mean and std in its settings"
    raise ConversionError(
        f"{nothing}, so the conversion can't be proven",
        remedy=f"give an image in which it finds something{hint}",
        code="nothing-found",
    )


def _postprocess(imported: Imported) -> PostprocessSpec:
    """The model's own, but for what the user asked for."""
    options = imported.options
    attributes = _nms(imported.cut.program).attributes
    least, most = float(attributes.get("score_threshold", 0.0)), int(attributes.get("keep_top_k", -1))
    score = least if options.score is None else options.score
    if score < least:
        raise UsageError(f"--score {score:g}: the model itself keeps nothing below {least:g}", remedy="leave it out")
    if options.keep and 0 < most < options.keep:
        raise UsageError(f"--keep {options.keep}: the model itself keeps {most} at most", remedy="leave it out")
    return PostprocessSpec(
        score_threshold=score,
        nms_iou=float(attributes.get("nms_threshold", PostprocessSpec.nms_iou)),
        keep=options.keep or (most if most > 0 else PostprocessSpec.keep),
    )


def _job(
    prepared: Prepared, pre: PreprocessSpec, post: PostprocessSpec, image: NDArray[np.uint8], found: Instances
) -> Job:
    imported = prepared.imported
    config = imported.config
    size = f"{imported.size[0]}x{imported.size[1]}"
    return Job(
        model=ImportedProgram(prepared, found),
        zoo_model="mask_rcnn",
        classes=config.classes,
        category_ids=tuple(range(1, len(config.classes) + 1)),
        preprocess=pre,
        postprocess=post,
        proposals=imported.cut.proposals,
        image=image,
        random_weights=False,
        source={
            "exported_by": config.made_by,
            "architecture": config.architecture,
            "paddle": ".".join(map(str, imported.program.version)),
            "program_sha256": sha256(imported.files.program),
            "weights_sha256": sha256(prepared.graph.weights),
            "mended": list(imported.cut.mended),
            "options": f"--size {size} --keep {post.keep} --score {post.score_threshold:g}",
        },
    )
