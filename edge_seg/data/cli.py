"""``edge-seg data``: draw, check and convert datasets."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from edge_seg.options import echo_json, json_option

FOLDER = click.Path(path_type=Path)
MOST_LINES = 20
"""Of a list of problems, so many are shown."""


@click.group()
def data() -> None:
    """Draw, check and convert datasets in COCO form (train.json, val.json, images/)."""


@data.command()
@click.argument("out", type=FOLDER)
@click.option("--images", type=int, default=200, show_default=True, help="How many pictures, validation included.")
@click.option("--size", type=int, default=320, show_default=True, help="Their height and width in pixels.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed draws the same set, byte for byte.")
@click.option("--val", type=float, default=0.2, show_default=True, help="The part that is for validation.")
@json_option
def synth(out: Path, images: int, size: int, seed: int, val: float, as_json: bool) -> None:
    """Draw a dataset: overlapping circles, triangles and stars on textured grounds.

    \b
    Example:
      edge-seg data synth shapes --images 200 --size 320 --seed 1
    """
    from edge_seg.data.synth import CLASSES, make

    with _progress("drawing") as advance:
        counts = make(out, images, size, seed, val, progress=advance)
    _say_written(out, {**counts, "classes": list(CLASSES)}, as_json)


@data.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@json_option
def check(folder: Path, as_json: bool) -> int:
    """Open every picture and outline of the dataset in DIR and say what is wrong.

    Exit code 1 when a training on it would stop; warnings alone don't.

    \b
    Example:
      edge-seg data check dataset
    """
    from dataclasses import asdict

    from edge_seg.data.check import check as check_folder

    with _progress("checking") as advance:
        report = check_folder(folder, advance)
    for kind, lines in (("Error", report.problems), ("Warning", report.warnings)):
        for line in lines[:MOST_LINES]:
            click.echo(f"{kind}: {line}", err=True)
        if len(lines) > MOST_LINES:
            click.echo(f"{kind}: … and {len(lines) - MOST_LINES} more (--json lists all)", err=True)
    if as_json:
        echo_json({"ok": not report.problems, **asdict(report)})
    else:
        for name, figures in report.splits.items():
            click.echo(f"{name}: {_summary(figures)}")
        click.echo("can't be trained on as it is" if report.problems else "ready to be trained on")
    return 1 if report.problems else 0


@data.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option("--val", type=float, default=0.2, show_default=True, help="The part that is for validation.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which pictures these are.")
@click.option("--classes", default="", help="Labels in the order of their category ids, as a,b,c; others are refused.")
@json_option
def labelme(folder: Path, out: Path, val: float, seed: int, classes: str, as_json: bool) -> None:
    """Convert labelme's JSON files and pictures in DIR to a COCO dataset in OUT.

    \b
    Example:
      edge-seg data labelme annotated dataset --classes cat,dog
      edge-seg data check dataset
    """
    from edge_seg.data.labelme import convert

    wanted = [name.strip() for name in classes.split(",") if name.strip()]
    with _progress("converting") as advance:
        counts = convert(folder, out, val_fraction=val, seed=seed, classes=wanted, progress=advance)
    _say_written(out, counts, as_json)


def _say_written(out: Path, counts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        echo_json({"out": out, **counts})
        return
    for split in ("train", "val"):
        click.echo(f"{out / split}.json: {counts[split]['images']} images, {counts[split]['instances']} instances")
    click.echo(f"classes: {', '.join(counts['classes'])}")


def _summary(figures: dict[str, Any]) -> str:
    """One line about a split."""
    smallest, largest = ("x".join(map(str, figures[key])) for key in ("smallest", "largest"))
    per_class = ", ".join(f"{count} {name}" for name, count in figures["instances_per_class"].items())
    return (
        f"{figures['images']} images ({figures['empty_images']} empty), "
        f"{smallest if smallest == largest else f'{smallest} to {largest}'} pixels; "
        f"{figures['instances']} instances ({per_class}), {figures['crowds']} crowds"
    )


@contextlib.contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, which shows itself on a terminal only; yields ``progress(done, total)``."""
    with click.progressbar(length=1, label=label, file=sys.stderr, show_pos=True) as bar:

        def advance(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield advance
