"""What a stage makes of the images: every tensor on the way from image to instances, kept on disk.

Run as ``python -m convert.verify.trace TASK.json``, it does this for a bundle in a process of its own, which a library
may abort.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.export.ties import NO_TIES, Ties, find_ties
from edge_seg.bundle import Bundle, open_bundle
from edge_seg.errors import ConversionError
from edge_seg.files import read_json, write_json
from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from edge_seg.plain import from_plain
from edge_seg.process import guard
from edge_seg.process.child import failure, refusing, run_module
from edge_seg.runtime.engines import Arrays, Engine, open_engine
from edge_seg.runtime.engines.checks import Checked, file_of, loading
from edge_seg.runtime.engines.recorder import Recorder
from edge_seg.runtime.engines.three_graphs import in_two_steps
from edge_seg.runtime.image import read_image
from edge_seg.runtime.one_graph import FULL
from edge_seg.runtime.result import Instances
from edge_seg.runtime.segmenter import Segmenter

LIMIT_S = 600.0
LIMIT_AN_IMAGE_S = 60.0


@dataclass(frozen=True)
class Trace:
    """One image on one stage.

    ``detect``: the graph's outputs ``p2`` … ``p5``, ``boxes`` float32[R, C, 4], ``scores`` float32[R, C + 1]; ``masks``
    float32[N, 28, 28], of the instances in their order; ``repeats``: whether a second run gave the same bytes. A bundle
    of one graph shows neither: ``detect`` and ``masks`` are empty.
    """

    detect: Arrays
    masks: NDArray[np.float32]
    instances: Instances
    repeats: bool


def trace(segmenter: Segmenter, image: NDArray[np.uint8]) -> Trace:
    """Runs ``image``, uint8[h, w, 3] BGR, twice."""
    first, second = _once(segmenter, image), _once(segmenter, image)
    same = _bytes(first) == _bytes(second) and first.instances.as_json() == second.instances.as_json()
    return dataclasses.replace(first, repeats=same)


def _once(segmenter: Segmenter, image: NDArray[np.uint8]) -> Trace:
    recorder = Recorder(segmenter.engine)
    over = Segmenter.over(
        recorder,
        segmenter.preprocess,
        segmenter.postprocess,
        classes=segmenter.classes,
        instances=segmenter.instances,
        full=segmenter.full,
    )
    found = over(image)
    masks = recorder.outputs["mask"]["masks"] if "mask" in recorder.outputs else np.zeros((0, 28, 28), np.float32)
    return Trace(recorder.outputs.get("detect", {}), masks, found, True)


def _bytes(made: Trace) -> list[bytes]:
    return [value.tobytes() for value in (*made.detect.values(), made.masks)]


def save(made: Trace, folder: Path, number: int) -> None:
    """Writes the trace of image ``number`` into ``folder``."""
    np.savez(folder / f"{number}.npz", masks=made.masks, **made.detect)
    write_json(folder / f"{number}.json", {"repeats": made.repeats, "found": pack(made.instances)})


def load(folder: Path, number: int) -> Trace:
    """The trace of image ``number`` that :func:`save` wrote."""
    with np.load(folder / f"{number}.npz") as arrays:
        detect = {name: arrays[name] for name in arrays.files}
    masks = detect.pop("masks")
    told = read_json(folder / f"{number}.json", ConversionError)
    return Trace(detect, masks, unpack(told["found"]), told["repeats"])


def pack(found: Instances) -> dict[str, Any]:
    """Instances as a JSON value."""
    return {"height": found.height, "width": found.width, "instances": found.as_json()}


def unpack(told: dict[str, Any]) -> Instances:
    """The instances that :func:`pack` described."""
    return Instances.from_json(told["instances"], told["height"], told["width"])


def load_ties(folder: Path, number: int) -> Ties:
    """What :func:`trace_all` found of image ``number``; no ties where it wasn't to look for them."""
    file = folder / f"{number}.ties.json"
    return from_plain(Ties, read_json(file, ConversionError), str(file), ConversionError) if file.is_file() else NO_TIES


@dataclass(frozen=True)
class Task:
    """What a child is to do.

    ``plain``: Paddle Inference without optimisation passes and oneDNN, instead of the bundle's engine. ``preprocess``
    and ``postprocess`` take the place of the manifest's. ``images`` are traced, with their ``ties``; of ``data`` only
    the instances are kept, in ``data.json``.
    """

    bundle: str
    out: str
    images: tuple[str, ...]
    plain: bool = False
    instances: int | None = None
    data: tuple[str, ...] = ()
    preprocess: PreprocessSpec | None = None
    postprocess: PostprocessSpec | None = None
    ties: bool = False


def run_task(task: Task) -> None:
    """Runs the task in a child process. Raises :class:`ConversionError` when it fails or aborts."""
    out = Path(task.out)
    out.mkdir()
    file = out / "task.json"
    write_json(file, dataclasses.asdict(task))
    limit = LIMIT_S + LIMIT_AN_IMAGE_S * (len(task.images) + len(task.data))
    outcome = run_module("convert.verify.trace", file, limit_s=limit)
    if not outcome.ok:
        phases = outcome.stdout.splitlines()
        raise failure(outcome, f"the engine's process{f' (while {phases[-1]})' if phases else ''}")


def do_task(task: Task) -> None:
    """What the child does: opens the bundle's engine, traces the images into ``out``.

    In one thread, as conversion does: sums depend on the number of threads.
    """
    bundle, out = open_bundle(Path(task.bundle)), Path(task.out)
    manifest = bundle.manifest
    segmenter = Segmenter.over(
        _plain_engine(bundle) if task.plain else open_engine(bundle, threads=1),
        task.preprocess or manifest.preprocess,
        task.postprocess or manifest.postprocess,
        classes=manifest.classes,
        instances=task.instances,
        full=manifest.graphs.get(FULL),
    )
    trace_all(segmenter, [Path(file) for file in task.images], [Path(file) for file in task.data], out, task.ties)


def trace_all(
    segmenter: Segmenter, images: Sequence[Path], data: Sequence[Path], out: Path, ties: bool = False
) -> None:
    """Traces ``images`` into ``out``, and writes the instances of ``data`` into ``out / "data.json"``.

    With ``ties``, looks for them too; in a model of one graph they can't be seen.
    """
    for number, file in enumerate(images):
        image = read_image(file)
        made = trace(segmenter, image)
        save(made, out, number)
        if ties and not segmenter.full:
            found = find_ties(segmenter.engine, image, segmenter.preprocess, segmenter.postprocess, made.detect)
            write_json(out / f"{number}.ties.json", dataclasses.asdict(found))
    segmenter.instances = None  # a fixed number of objects would spoil the mAP
    if data:
        write_json(out / "data.json", [pack(segmenter(file)) for file in data])


def _plain_engine(bundle: Bundle) -> Engine:
    """The exported graphs as they are: no pass, no oneDNN, so that what a pass does to them can be seen."""
    from edge_seg.paddle_env import paddle
    from edge_seg.runtime.engines.paddle_inference import PaddleInferenceEngine

    predictors = {}
    for name, graph in bundle.manifest.graphs.items():
        files = file_of(bundle, name, ".pdmodel"), file_of(bundle, name, ".pdiparams")
        config = paddle.inference.Config(*map(str, files))
        config.disable_gpu()
        config.switch_ir_optim(False)
        config.set_cpu_math_library_num_threads(1)
        config.disable_glog_info()
        with loading("paddle-inference", " and ".join(map(str, files))):
            predictors[name] = (paddle.inference.create_predictor(config), graph)
    manifest = bundle.manifest
    engine = Checked(PaddleInferenceEngine(predictors, {"passes": False}), manifest.graphs)
    return in_two_steps(engine, manifest.graphs, manifest)


def _child(file: Path) -> None:
    guard.listener = lambda text: print(text, flush=True)
    do_task(from_plain(Task, read_json(file, ConversionError), str(file), ConversionError))


if __name__ == "__main__":
    # Inference libraries crash in their destructors; all is written by then.
    os._exit(refusing(lambda: _child(Path(sys.argv[1]))))
