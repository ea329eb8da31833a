"""The parity ladder: the same pictures through every form of a model, from preprocessing to the device.

Each rung is compared with the one below it, tensor by tensor in the order of the way. So the first rung that leaves its
tolerance is where a fault lies, and the first such tensor on it says in what.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from convert.verify import model_stages, rule_stages
from convert.verify.compare import Reading
from convert.verify.source import rebuild
from convert.verify.state import Climb, Picture, Rung, Shown
from edge_seg.bundle import Bundle, examine_bundle
from edge_seg.bundles.check import check
from edge_seg.errors import BundleError, ConversionError, EngineError, ImageError, UsageError
from edge_seg.files import refuse_non_utf8, scratch_dir
from edge_seg.runtime.image import read_image
from edge_seg.runtime.one_graph import FULL
from edge_seg.runtime.overlay import draw
from edge_seg.words import counted

TITLES = {
    "files": "files and their hashes",
    "preprocessing": "preprocessing, pixel by pixel",
    "paddle": "paddle, the layers themselves",
    "golden": "the golden result in the bundle",
    "postprocessing": "postprocessing: which boxes are kept",
    "exported": "exported graph, not optimised",
    "rounded": "exported graph, rounded as the recipe says",
    "host": "optimised graph on this host",
    "device": "the device, through its runner",
}
_STEPS: dict[str, Callable[[Climb], Rung]] = {
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
    """What to verify with. Of the pictures in ``data``, the first ``limit`` of its ``split`` give the mAP."""

    run: Path | None = None
    images: tuple[Path, ...] = ()
    data: Path | None = None
    split: str = "val"
    limit: int = 100
    runner: tuple[str, ...] | None = None
    on: str | None = None
    fail_fast: bool = False


@dataclass(frozen=True)
class Compared:
    """What one picture holds by the lowest and by the highest rung that computed, or by the only one.

    Drawn, uint8[h, w, 3] BGR.
    """

    name: str
    shown: tuple[Shown, ...]


@dataclass(frozen=True)
class Report:
    """What the ladder found. ``rungs`` in the order climbed; ``pictures`` are their names, by number in a reading."""

    bundle: Bundle
    rungs: tuple[Rung, ...]
    pictures: tuple[str, ...]
    compared: tuple[Compared, ...] = ()

    @property
    def first(self) -> tuple[Rung, Reading] | None:
        """The first rung that leaves its tolerance, and its first such tensor."""
        return next(((rung, rung.fault) for rung in self.rungs if rung.fault), None)

    @property
    def exit_code(self) -> int:
        return 1 if self.first else 0


def verify_bundle(path: Path, options: Options, note: Callable[[Rung], None] = lambda rung: None) -> Report:
    """Climbs the ladder; ``note`` is told each rung as it is done. Faults of the bundle are in the report.

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
        rung = Rung("golden", (Reading("golden file", ok=False, note=golden_fault),))
        note(rung)
        rest = _skipped("without a golden picture there is nothing to start from", but="golden")
        return Report(bundle, (whole, rung, *rest), ())
    pictures = _pictures(bundle, options.images)
    job, no_job = rebuild(bundle, options.run)
    with scratch_dir(Path(tempfile.gettempdir()) / "edge-seg-verify") as scratch:
        climb = Climb(bundle, job, no_job, pictures, scratch, runner=options.runner, on=options.on)
        climb.golden_fault = golden_fault
        if options.data:
            _add_data(climb, options.data, options.split, options.limit)
        rungs = _climb(climb, [whole], options.fail_fast, note)
        return Report(bundle, tuple(rungs), tuple(p.name for p in pictures), tuple(_compared(climb)))


def _skipped(why: str, but: str = "") -> list[Rung]:
    return [Rung(name, skipped=why) for name in _UNROUNDED if name != but]


def _climb(climb: Climb, rungs: list[Rung], fail_fast: bool, note: Callable[[Rung], None]) -> list[Rung]:
    for name in _steps(climb):
        if fail_fast and any(rung.fault for rung in rungs):
            rungs.append(Rung(name, skipped="a rung below has failed"))
            continue
        begun = time.monotonic()
        try:
            rung = _STEPS[name](climb)
        except (BundleError, ConversionError, EngineError) as problem:
            rung = Rung(name, (Reading("run", ok=False, note=problem.message),))
        rung = dataclasses.replace(rung, seconds=time.monotonic() - begun)
        rungs.append(rung)
        note(rung)
    rungs = [_with_blame(rung, climb.blamed.get(rung.name)) for rung in rungs]
    if not any(rung.fault or (rung.name in _PROVING and rung.readings) for rung in rungs):
        source = "the run that the bundle was made from (--run)"
        if FULL in climb.manifest.graphs:
            source = "the bundle that x86-fp32 makes of the same exported model"
        reasons = dict.fromkeys(rung.skipped for rung in rungs if rung.skipped)
        raise UsageError(
            f"{climb.bundle.path}: nothing of the model could be run: {'; '.join(reasons)}",
            remedy=f"give {source}, or a device (--on, --runner)",
            code="nothing-verified",
        )
    return rungs


def _steps(climb: Climb) -> tuple[str, ...]:
    if climb.job is None:
        return _STEPS_WITHOUT_MODEL
    return _ROUNDED if model_stages.is_rounded(climb.manifest) else _UNROUNDED


def _with_blame(rung: Rung, blame: Reading | None) -> Rung:
    return rung if blame is None else dataclasses.replace(rung, readings=(*rung.readings, blame), skipped="")


def _pictures(bundle: Bundle, images: Iterable[Path]) -> tuple[Picture, ...]:
    golden = bundle.path / bundle.manifest.golden.image
    named = [("the golden picture", golden), *((file.name, file) for file in images)]
    return tuple(Picture(name, file, read_image(file)) for name, file in named)


def _add_data(climb: Climb, folder: Path, split: str, limit: int) -> None:
    from edge_seg.data.coco import load_split

    climb.dataset = load_split(folder, split)
    climb.data = tuple(record.path for record in climb.dataset.images[:limit])


def _compared(climb: Climb) -> Iterable[Compared]:
    if not climb.traces:
        return
    ends = dict.fromkeys((next(iter(climb.traces)), next(reversed(climb.traces))))
    for picture, *results in list(zip(climb.pictures, *map(climb.results, ends), strict=True))[:_MOST_SHOWN]:
        drawn = (
            Shown(
                f"{TITLES[name]}: {counted(len(found), 'instance')}",
                draw(picture.pixels, found, climb.manifest.classes),
            )
            for name, found in zip(ends, results, strict=True)
        )
        yield Compared(picture.name, tuple(drawn))
