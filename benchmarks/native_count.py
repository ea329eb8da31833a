"""``make native-count``: instructions of the native runner's stages on an emulated board, and what they depend on.

Counted are instructions of a modelled processor, never times of a board: caches and issue width aren't in them. They
repeat to a millionth, on any machine. bench/cost.py counts them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click

from bench.cost import Sample, count, reason_to_skip
from edge_seg.bundle import open_bundle

MILLION = 1e6


@click.command()
@click.argument("bundle", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--images", multiple=True, help="Images; two with unequal numbers of objects also show a changing one.")
@click.option("--instances", default=10, show_default=True, help="Boxes that get a mask in the steady run.")
@click.option("--board", default="cortex-a72", show_default=True)
@click.option("--cpu", is_flag=True, help="Only compare the processor as it is with the one shown to the library.")
def main(bundle: Path | None, images: tuple[str, ...], instances: int, board: str, cpu: bool) -> None:
    """Count the instructions of BUNDLE (R18-FPN, 320 x 320, random weights) on an emulated BOARD."""
    reason = reason_to_skip(open_bundle(bundle).manifest.engine if bundle else "paddle-lite")
    if reason:
        click.echo(f"skipped: {reason}")
        return
    with tempfile.TemporaryDirectory() as scratch:
        if bundle is None:
            words = ["mask_rcnn_r18_fpn", "--random-weights", "--seed", "1", "--recipe", "arm-fp32", "--size", "320"]
            bundle = Path(scratch, "arm-fp32")
            _edge_seg("convert", *words, "--out", str(bundle))
        if not images:
            _edge_seg("data", "synth", scratch + "/shapes", "--images", "4", "--size", "320", "--seed", "5")
            images = tuple(str(path) for path in sorted(Path(scratch, "shapes", "images").iterdir())[:2])
        click.echo(f"{bundle.name} on an emulated {board}, one thread; million instructions, not times of a board")
        if cpu:
            _compare_cpu(bundle, board, images[0], instances)
            return
        _show_steady(count(bundle, board, "--images", images[0], "--repeat", "1", "--instances", str(instances)))
        if len(images) > 1:
            _show_changing(bundle, board, images[0], images[1])


def _show_steady(samples: list[Sample]) -> None:
    sample = samples[-1]
    for stage in ("pre", "detect", "nms", "mask", "post", "total"):
        click.echo(f"  {stage:8} {getattr(sample, stage) / MILLION:9.2f}")
    click.echo(f"  {sample.instances} objects; everything but the two graphs: {sample.rest:.2%}")


def _show_changing(bundle: Path, board: str, first: str, second: str) -> None:
    """The same images, each after itself and each after the other."""
    samples = count(bundle, board, "--repeat", "1", "--images", first, first, second, second, first, second)
    constant, changing = samples[1].total + samples[3].total, samples[4].total + samples[5].total
    click.echo(f"  {samples[1].instances} and {samples[3].instances} objects in turn: {changing / MILLION:.2f}; each")
    click.echo(f"  image after itself: {constant / MILLION:.2f}; the change costs {changing / constant - 1:+.2%}")


def _compare_cpu(bundle: Path, board: str, image: str, instances: int) -> None:
    options = ("--images", image, "--repeat", "1", "--instances", str(instances))
    shown, real = (count(bundle, board, *options, *more)[-1].total for more in ((), ("--cpu-as-it-is",)))
    click.echo(f"  processor as it is: {real / MILLION:.2f}; as the library is shown it: {shown / MILLION:.2f}")
    click.echo(f"  ({shown / real - 1:+.2%})")


def _edge_seg(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "edge_seg.cli", *words], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
