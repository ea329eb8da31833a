"""Images done on another machine: they go there, what was found comes back, and the drawing is done here."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.bundle import Bundle
from edge_seg.errors import EdgeSegError, EngineError, ImageError
from edge_seg.files import write_json
from edge_seg.runtime.image import read_image
from edge_seg.runtime.overlay import draw
from edge_seg.runtime.predict import PREDICTIONS, Done, ImageFile, Report, line_of, results_of, write_image
from edge_seg.runtime.result import Instances
from edge_seg.targets import Target
from edge_seg.targets.drive import Message, drive
from edge_seg.words import counted

BATCH = 50
"""Images that are copied and done at a time: a runner loads the model once for them."""
SILENCE_S = 600.0
DIRECTLY = (".jpg", ".jpeg", ".png")
"""What the native runner reads; other images go there as PNG."""


@dataclass(frozen=True)
class Settings:
    """How the runner is asked; what is 0 or None is left to it."""

    score: float | None = None
    threads: int = 0
    engine: str | None = None

    def options(self) -> list[str]:
        """The runner's words."""
        words = ["--warmup", "0", "--repeat", "1", "--json"]
        words += ["--threads", str(self.threads)] if self.threads else []
        words += ["--score", str(self.score)] if self.score is not None else []
        return [*words, *(["--engine", self.engine] if self.engine else [])]


def predict_on(
    target: Target,
    bundle: Bundle,
    images: Sequence[ImageFile],
    out: Path,
    settings: Settings,
    progress: Callable[[str], None],
) -> Report:
    """Like :func:`edge_seg.runtime.predict.predict`, with the bundle's runner on ``target``.

    An image that can't be read, here or there, is reported and left out. Raises TargetError and EngineError.
    """
    classes = bundle.manifest.classes
    progress(f"{target.name}: copying the bundle")
    there = target.push(bundle.path)
    done = []
    for begin in range(0, len(images), BATCH):
        for item in _do(target, there, images[begin : begin + BATCH], settings, classes):
            progress(line_of(item, classes))
            done.append(item)
    write_json(out / PREDICTIONS, results_of(done, bundle.manifest.category_ids))
    return Report(done, classes, out / PREDICTIONS)


def _do(
    target: Target, bundle: str, images: Sequence[ImageFile], settings: Settings, classes: tuple[str, ...]
) -> Iterator[Done]:
    with tempfile.TemporaryDirectory(prefix="edge-seg-") as folder:
        copies: dict[ImageFile, str] = {}
        for number, image in enumerate(images):
            try:
                copies[image] = _copy(image.file, Path(folder), number)
            except ImageError as problem:
                yield Done(image, error=problem)
        if copies:
            there = target.push(Path(folder))
            yield from _run(target, bundle, {p: f"{there}/{name}" for p, name in copies.items()}, settings, classes)
            target.drop(there)


def _copy(file: Path, folder: Path, number: int) -> str:
    """Puts an image that can be read into ``folder`` under a plain name, which is returned."""
    image = read_image(file)
    suffix = file.suffix.lower()
    if suffix not in DIRECTLY:
        write_image(folder / f"{number}.png", image)
        return f"{number}.png"
    try:
        os.link(file.resolve(), folder / f"{number}{suffix}")
    except OSError:  # another file system
        shutil.copyfile(file, folder / f"{number}{suffix}")
    return f"{number}{suffix}"


def _run(
    target: Target, bundle: str, images: dict[ImageFile, str], settings: Settings, classes: tuple[str, ...]
) -> Iterator[Done]:
    waiting = dict(images)
    while waiting:
        done, problem = _ask(target, bundle, waiting, settings, len(classes))
        for one, (found, ms) in done.items():
            del waiting[one]
            image = read_image(one.file)
            if (found.height, found.width) != image.shape[:2]:
                raise _protocol(target, f"a result of {found.height}x{found.width} for an image of {image.shape[:2]}")
            write_image(one.overlay, draw(image, found, classes))
            yield Done(one, found, ms)
        if problem is not None:
            # The runner ends at an image that it can't read: the others go to another one.
            refused = next(iter(waiting))
            del waiting[refused]
            message = problem.message.replace(images[refused], str(refused.file))
            yield Done(refused, error=ImageError(message, remedy=problem.remedy, code=problem.code))


def _ask(
    target: Target, bundle: str, images: dict[ImageFile, str], settings: Settings, classes: int
) -> tuple[dict[ImageFile, tuple[Instances, float]], EdgeSegError | None]:
    """What a runner found, and the error with which it refused the first image that isn't among that."""
    samples: list[Message] = []
    results: list[Message] = []

    def keep(message: Message) -> None:
        if message["type"] == "sample":
            samples.append(message)
        elif message["type"] == "result":
            results.append(message)

    refused = None
    options = ["--bundle", bundle, *settings.options(), "--images", *images.values()]
    try:
        drive(target, options, silence=SILENCE_S, on_message=keep)
    except EdgeSegError as problem:
        if not problem.code.startswith("image"):
            raise
        refused = problem
    if len(results) != len(samples) or (refused is None and len(results) != len(images)):
        raise _protocol(target, f"{counted(len(results), 'result')} for {counted(len(images), 'image')}")
    try:
        found = [
            (
                Instances.from_json(result["instances"], result["height"], result["width"], classes),
                sample["ns"]["total"] / 1e6,
            )
            for result, sample in zip(results, samples, strict=True)
        ]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as problem:
        raise _protocol(target, f"a result that can't be read: {problem!r}") from None
    return dict(zip(images, found, strict=False)), refused


def _protocol(target: Target, said: Any) -> EngineError:
    return EngineError(
        f"{target.name}: the runner: {said}",
        remedy="use a runner of the same version as this edge-seg",
        code="runner-protocol",
    )
