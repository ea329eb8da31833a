"""Whether engines find the same: ``python -m benchmarks.parity BUNDLE BUNDLE… [--images N]``.

The first bundle is held against each other one in images that no conversion has seen: at least 99.5 % of the instances
matched, boxes within 0.01 px, scores within 1e-4, masks within 2 pixels of the input's. Half of the images are as large
as the input; the others are photos of 1280 x 720, in which a pixel of the input is several.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path

import click
import numpy as np

from benchmarks.worker import HEIGHT, WIDTH
from edge_seg.bundle import open_bundle
from edge_seg.data.synth import draw
from edge_seg.runtime.parity import Parity, compare
from edge_seg.runtime.result import Instances
from edge_seg.runtime.segmenter import Segmenter

MATCHED, BOX_PX, SCORE, MASK_PIXELS = 0.995, 0.01, 1e-4, 2
FIRST_SEED = 7000
"""Of the drawn images; conversions draw theirs from small seeds."""


def find(bundle: Path, images: int, threads: int) -> list[Instances]:
    """What a bundle finds in drawn images, some of a photo's size, some as large as its input."""
    with Segmenter(bundle, threads=threads) as segmenter:
        height, width = segmenter.preprocess.size
        found = []
        for number in range(images):
            side = WIDTH if number % 2 else max(height, width)
            image = np.ascontiguousarray(draw(FIRST_SEED + number, side, 0)[0][:HEIGHT])
            found.append(segmenter(image))
        return found


def worst(first: list[Instances], second: list[Instances], size: int) -> Parity:
    """The worst of all images; the numbers of instances are sums. Masks' pixels are the input's, ``size`` wide."""
    each = []
    for one, other in zip(first, second, strict=True):
        found = compare(one, other)
        scale = max(1.0, one.width / size)
        each.append(dataclasses.replace(found, mask_pixels=math.ceil(found.mask_pixels / scale)))
    return Parity(
        sum(one.expected for one in each),
        sum(one.found for one in each),
        sum(one.matched for one in each),
        max(one.box_px for one in each),
        max(one.score for one in each),
        min(one.mask_iou for one in each),
        max(one.mask_pixels for one in each),
    )


@click.command()
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--images", default=8, show_default=True)
@click.option("--threads", default=1, show_default=True)
def main(bundles: tuple[Path, ...], images: int, threads: int) -> None:
    """Hold the first bundle against the others."""
    first = find(bundles[0], images, threads)
    size = max(open_bundle(bundles[0]).manifest.preprocess.size)
    failed = False
    for bundle in bundles[1:]:
        found = worst(first, find(bundle, images, threads), size)
        good = found.share >= MATCHED and found.box_px <= BOX_PX and found.score <= SCORE
        good &= found.mask_pixels <= MASK_PIXELS
        failed |= not good
        click.echo(
            f"{'holds' if good else 'FAILS'}  {bundle}: {found.matched} of {found.expected} matched"
            f" ({found.found} found), box {found.box_px:.2e} px, score {found.score:.1e},"
            f" mask {found.mask_pixels} pixels"
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
