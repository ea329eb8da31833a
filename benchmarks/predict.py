"""How much longer `predict` takes than its model: ``python -m benchmarks.predict BUNDLE``.

Wall time an image, from files to overlays and predictions, against the model's time (detect, NMS, mask) of the same
images in the same run: at most 1.15, with 20 objects in images of 1280 x 720.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from time import perf_counter_ns

import click
import cv2
import numpy as np

from benchmarks.worker import HEIGHT, WIDTH
from edge_seg.bundle import open_bundle
from edge_seg.data.synth import draw
from edge_seg.records.record import MODEL_STAGES
from edge_seg.runtime.image import ImageLike
from edge_seg.runtime.predict import find_images, predict
from edge_seg.runtime.result import Instances
from edge_seg.runtime.segmenter import Segmenter

LIMIT = 1.15


class Noting(Segmenter):
    """A segmenter that notes the model's time of each image."""

    noted: list[int]

    def timed(self, image: ImageLike) -> tuple[Instances, dict[str, int]]:
        """What the segmenter returns."""
        found, ns = super().timed(image)
        self.noted.append(sum(ns[stage] for stage in MODEL_STAGES))
        return found, ns


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True))
@click.option("--images", default=30, show_default=True, help="Images of a run.")
@click.option("--objects", default=20, show_default=True, help="Objects an image.")
@click.option("--threads", default=0, show_default=True, help="Threads of the engine; 0: one a core.")
@click.option("--runs", default=3, show_default=True)
def main(bundle: Path, images: int, objects: int, threads: int, runs: int) -> None:
    """Run `predict` over drawn photos, and hold its wall time against the model's."""
    segmenter = Noting(bundle, threads=threads, instances=objects)
    segmenter.noted = []
    with tempfile.TemporaryDirectory() as scratch, segmenter:
        folder = Path(scratch, "photos")
        folder.mkdir()
        for number in range(images):
            photo = np.ascontiguousarray(draw(number + 1, WIDTH, 0)[0][:HEIGHT])
            cv2.imwrite(str(folder / f"{number:03}.jpg"), photo)
        pictures = find_images([folder], Path(scratch, "found"), "jpg")
        Path(scratch, "found").mkdir()
        categories = open_bundle(bundle).manifest.category_ids
        predict(segmenter, pictures[:5], Path(scratch, "found"), categories, lambda line: None)
        shares = []
        for _ in range(runs):
            segmenter.noted = []
            begin = perf_counter_ns()
            predict(segmenter, pictures, Path(scratch, "found"), categories, lambda line: None)
            wall, model = (perf_counter_ns() - begin) / images, statistics.fmean(segmenter.noted)
            shares.append(wall / model)
            click.echo(f"{wall / 1e6:.1f} ms an image, the model {model / 1e6:.1f} ms: {wall / model:.3f}")
    click.echo(f"median {statistics.median(shares):.3f} (limit {LIMIT})")


if __name__ == "__main__":
    main()
