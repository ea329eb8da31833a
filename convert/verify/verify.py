"""How ``edge-seg verify`` works: the same images through every form of a model, from preprocessing to the device.

Each stage is compared with the one before it, tensor by tensor in the order of the data flow. The first stage out of
tolerance is where a fault lies, and its first such tensor says in what.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from convert.verify import model_stages, rule_stages
from convert.verify.source import rebuild
from convert.verify.state import Image, State
from edge_seg.bundle import Bundle, examine_bundle
from edge_seg.bundles.check import check
from edge_seg.errors import BundleError, ConversionError, EngineError, ImageError, UsageError
from edge_seg.files import refuse_non_utf8, scratch_dir
from edge_seg.runtime.image import read_image
from edge_seg.runtime.one_graph import FULL
from edge_seg.runtime.overlay import draw
from edge_seg.verification import TITLES, Compared, Difference, Report, Shown, StageResult
from edge_seg.words import counted

_STEPS: dict[str, Callable[[State], StageResult]] = {
    "preprocessing": rule_stages.preprocessing,
    "paddle": model_stages.paddle,
    "golden": rule_stages.golden,
    "postprocessing": rule_stages.postprocessing,
    "exported": model_stages.exported,
    "rounded": model_stages.rounded,
    "host": model_stages.host,
    "device": model_stages.device,
}
_UNROUNDED = tuple(name for name in _STEPS if name != "rounded")
# The golden result of a rounded model is what its rounded graphs give.
_ROUNDED = ("preprocessing", "paddle", "postprocessing", "exported", "rounded", "golden", "host", "device")
# Without the model itself, the golden result is the one thing that the graphs can be held against.
_STEPS_WITHOUT_MODEL = ("preprocessing", "paddle", "exported", "host", "golden", "postprocessing", "device")
_PROVING = ("golden", "exported", "rounded", "host", "device")
_MOST_SHOWN = 6


@dataclass(frozen=True)
class Options:
    """What to verify with. Of the images in ``data``, the first ``limit`` of its ``split`` give the mAP."""

    run: Path | None = None
    images: tuple[Path, ...] = ()
    data: Path | None = None
    split: str = "val"
    limit: int = 100
    runner: tuple[str, ...] | None = None
    on: str | None = None
    fail_fast: bool = False


def verify_bundle(path: Path, options: Options, note: Callable[[StageResult], None] = lambda stage: None) -> Report:
    """Runs all stages; ``note`` is told each stage as it is done. Faults of the bundle are in the report.

    Raises BundleError when the manifest can't be used, RunError, DataError, ImageError and UsageError for what else was
    given.
    """
    refuse_non_utf8(path)
    bundle, faults = examine_bundle(path)
    checked = check(path)
    whole = rule_stages.files(bundle, faults, checked)
    note(whole)
    if whole.fault:
        return Report(bundle, (whole, *_skipped("the bundle isn't whole")), ())
    golden_faults = [problem for name, problem in checked.problems if name == "golden"]
    golden_fault = "; ".join(problem.message for problem in golden_faults)
    if any(isinstance(problem, ImageError) for problem in golden_faults):
        stage = StageResult("golden", (Difference("golden file", ok=False, note=golden_fault),))
        note(stage)
        rest = _skipped("without a golden image there is nothing to start from", but="golden")
        return Report(bundle, (whole, stage, *rest), ())
    images = _images(bundle, options.images)
    job, no_job = rebuild(bundle, options.run)
    with scratch_dir(Path(tempfile.gettempdir()) / "edge-seg-verify") as scratch:
        state = State(bundle, job, no_job, images, scratch, runner=options.runner, on=options.on)
        state.golden_fault = golden_fault
        if options.data:
            _add_data(state, options.data, options.split, options.limit)
        stages = _run_stages(state, [whole], options.fail_fast, note)
        return Report(bundle, tuple(stages), tuple(p.name for p in images), tuple(_compared(state)))


def _skipped(why: str, but: str = "") -> list[StageResult]:
    return [StageResult(name, skipped=why) for name in _UNROUNDED if name != but]


def _run_stages(
    state: State, stages: list[StageResult], fail_fast: bool, note: Callable[[StageResult], None]
) -> list[StageResult]:
    for name in _steps(state):
        if fail_fast and any(stage.fault for stage in stages):
            stages.append(StageResult(name, skipped="a previous stage has failed"))
            continue
        begun = time.monotonic()
        try:
            stage = _STEPS[name](state)
        except (BundleError, ConversionError, EngineError) as problem:
            stage = StageResult(name, (Difference("run", ok=False, note=problem.message),))
        stage = dataclasses.replace(stage, seconds=time.monotonic() - begun)
        stages.append(stage)
        note(stage)
    if not any(stage.fault or (stage.name in _PROVING and stage.differences) for stage in stages):
        source = "the run that the bundle was made from (--run)"
        if FULL in state.manifest.graphs:
            source = "the bundle that x86-fp32 makes of the same exported model"
        reasons = dict.fromkeys(stage.skipped for stage in stages if stage.skipped)
        raise UsageError(
            f"{state.bundle.path}: nothing of the model could be run: {'; '.join(reasons)}",
            remedy=f"give {source}, or a device (--on, --runner)",
            code="nothing-verified",
        )
    return stages


def _steps(state: State) -> tuple[str, ...]:
    if state.job is None:
        return _STEPS_WITHOUT_MODEL
    return _ROUNDED if model_stages.is_rounded(state.manifest) else _UNROUNDED


def _images(bundle: Bundle, images: Iterable[Path]) -> tuple[Image, ...]:
    golden = bundle.path / bundle.manifest.golden.image
    named = [("the golden image", golden), *((file.name, file) for file in images)]
    return tuple(Image(name, file, read_image(file)) for name, file in named)


def _add_data(state: State, folder: Path, split: str, limit: int) -> None:
    from edge_seg.data.coco import load_split

    state.dataset = load_split(folder, split)
    state.data = tuple(record.path for record in state.dataset.images[:limit])


def _compared(state: State) -> Iterable[Compared]:
    if not state.traces:
        return
    ends = dict.fromkeys((next(iter(state.traces)), next(reversed(state.traces))))
    for image, *results in list(zip(state.images, *map(state.results, ends), strict=True))[:_MOST_SHOWN]:
        drawn = (
            Shown(
                f"{TITLES[name]}: {counted(len(found), 'instance')}", draw(image.pixels, found, state.manifest.classes)
            )
            for name, found in zip(ends, results, strict=True)
        )
        yield Compared(image.name, tuple(drawn))
