"""Which images a model is calibrated with: a sample of the run's own training data, or of a folder that was named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.errors import RunError, UsageError
from edge_seg.runtime.image import read_image

if TYPE_CHECKING:
    from edge_seg.data.coco import CocoDataset

IMAGES = 16
DRAWN = 2
"""So many drawn images serve a model that has learned nothing, unless told otherwise."""
_FIRST_DRAWN = 100  # far from those that a golden image is chosen from


@dataclass(frozen=True)
class CalibrationOptions:
    """What the user may set.

    ``folder``: a COCO folder or one of images. ``algorithm``: of :data:`convert.quantize.ranges.ALGORITHMS`.
    ``keep_accuracy``: points of mask mAP that may be lost at most.
    """

    folder: Path | None = None
    images: int | None = None
    seed: int = 0
    algorithm: str = "mse"
    keep_accuracy: float | None = None


@dataclass(frozen=True)
class Images:
    """The images, uint8[h, w, 3] BGR each, and what a manifest says of them."""

    pixels: tuple[NDArray[np.uint8], ...]
    described: dict[str, Any]

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return iter(self.pixels)


@dataclass(frozen=True)
class Source:
    """Where calibration images come from.

    The folder of the ``options``, else the ``data`` that a run was trained on, else, for a model that has seen none,
    drawn images of ``side`` pixels.
    """

    options: CalibrationOptions = CalibrationOptions()
    data: str | None = None
    side: int = 320

    def images(self) -> Images:
        """Reads the sample. Raises :class:`RunError` when the training data isn't there, DataError and ImageError."""
        if self.options.folder is None and self.data is None:
            return self._drawn()
        files, told = self._files()
        count = self.options.images or IMAGES
        rng = np.random.default_rng(self.options.seed)
        chosen = [files[i] for i in sorted(rng.permutation(len(files))[:count])]
        digest = hashlib.sha256()
        for file in chosen:
            digest.update(file.read_bytes())
        names = [file.name for file in chosen]
        return Images(tuple(map(read_image, chosen)), self._said(told, names, digest.hexdigest()))

    def validation(self) -> CocoDataset:
        """Annotated images to measure accuracy on: the validation split of the same data."""
        from edge_seg.data.coco import load_split

        folder = self.options.folder or self._trained_on()
        if folder is None or not _is_coco(folder):
            what = f"{folder}: holds images without annotations" if folder else "a model with random weights"
            raise UsageError(
                f"{what}: --keep-accuracy can't be measured",
                remedy="give a COCO folder (train.json, val.json, images/) with --calibration, or leave it out",
            )
        return load_split(folder, "val")

    def _files(self) -> tuple[list[Path], str]:
        from edge_seg.data.coco import load_split
        from edge_seg.runtime.predict import find_images

        folder = self.options.folder
        if folder is None:
            trained_on = self._trained_on()
            assert trained_on is not None
            return [record.path for record in load_split(trained_on, "train").images], "the training data"
        if _is_coco(folder):
            return [record.path for record in load_split(folder, "train").images], folder.resolve().name
        return [image.file for image in find_images([folder], folder / "out")], folder.resolve().name

    def _trained_on(self) -> Path | None:
        if self.data is None:
            return None
        if not Path(self.data).is_dir():
            raise RunError(
                f"{self.data}: the data that this run was trained on isn't on this machine, and quantization has to see"
                " images like those that the model will see",
                remedy="give --calibration DIR: a folder of such images (16 or more), or a COCO folder",
                code="calibration-missing",
            )
        return Path(self.data)

    def _drawn(self) -> Images:
        from edge_seg.data.synth import draw

        count = self.options.images or DRAWN
        pixels = tuple(draw(self.options.seed, self.side, _FIRST_DRAWN + i)[0] for i in range(count))
        digest = hashlib.sha256(b"".join(image.tobytes() for image in pixels)).hexdigest()
        return Images(pixels, self._said("drawn shapes", [], digest))

    def _said(self, told: str, names: list[str], digest: str) -> dict[str, Any]:
        count = len(names) or self.options.images or DRAWN
        return {"from": told, "images": count, "names": names, "sha256": digest, "seed": self.options.seed}


def _is_coco(folder: Path) -> bool:
    from edge_seg.data.layout import has_split

    return has_split(folder)
