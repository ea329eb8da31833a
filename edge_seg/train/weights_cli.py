"""``edge-seg weights``: published weights, fetched by name, or made into a run without training."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edge_seg import zoo
from edge_seg.errors import UsageError
from edge_seg.options import SIZE, Group, echo_json, json_option
from edge_seg.printable import terminal_of
from edge_seg.words import counted

_PATH = click.Path(path_type=Path)


@click.group(cls=Group)
def weights() -> None:
    """Published weights: list them, fetch them, make a run of a file."""


@weights.command("list")
@json_option
def show(as_json: bool) -> None:
    """List the weights that can be had by name, and which of them are in the cache.

    \b
    Examples:
      edge-seg weights list
      edge-seg weights list --json
    """
    from edge_seg.train.pretrained import load_table

    table = load_table()
    if as_json:
        rows = [{**asdict(e), "address": e.address, "cached": str(e.path) if e.cached else None} for e in table]
        echo_json({"weights": rows})
        return
    click.echo(f"{'name':16} {'model':20} {'trained on':10} {'MB':>5}  where")
    for entry in table:
        where = str(entry.path) if entry.cached else entry.address
        click.echo(f"{entry.name:16} {entry.model:20} {entry.data:10} {entry.size_mb:5g}  {where}")
        click.echo(f"{'':16} {entry.source}")


@weights.command()
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@json_option
def fetch(names: tuple[str, ...], as_json: bool) -> None:
    """Download weights into the cache; what was begun is gone on with.

    The cache is edge-seg/weights in the user's cache folder, or EDGE_SEG_CACHE. EDGE_SEG_MIRROR names the address of a
    folder with the same files; http_proxy and https_proxy are honoured. The hash of the first download is kept, and a
    file that differs from it is refused.

    \b
    Examples:
      edge-seg weights fetch r50-imagenet
      EDGE_SEG_MIRROR=http://files.example/weights \\
          edge-seg weights fetch r18-coco r50-coco
    """
    from edge_seg.train import pretrained

    entries = [pretrained.find(name) for name in names]
    found = {}
    for entry in entries:
        label = f"fetching {entry.name}"
        # The bar moves the cursor, which the printable stream would escape.
        with click.progressbar(length=int(entry.size_mb * 1e6), label=label, file=terminal_of(sys.stderr)) as bar:

            def advance(done: int, total: int | None, bar: Any = bar) -> None:
                bar.length = total or max(done, bar.length)
                bar.update(done - bar.pos)

            found[entry.name] = pretrained.fetch(entry, progress=advance)
        if not as_json:
            click.echo(str(found[entry.name]))
    if as_json:
        echo_json({"fetched": found})


@weights.command("import")
@click.argument("file", metavar="FILE|NAME", type=str)
@click.option("--model", required=True, help="The zoo's name of the model that the weights belong to.")
@click.option("--out", type=_PATH, required=True, help="The run folder to write.")
@click.option(
    "--classes",
    metavar="A,B…|FILE",
    help="Class names in order, or a file with one a line.  [default: COCO's, if there are 80]",
)
@click.option("--golden", type=_PATH, help="An image with such objects, for the bundles' self-test.")
@click.option("--size", type=SIZE, default="640", show_default=True, help="Network input when it is evaluated.")
@click.option("--partial", is_flag=True, help="Accept weights that fit in part; the rest stays untrained.")
@json_option
def import_(
    file: str,
    model: str,
    out: Path,
    classes: str | None,
    golden: Path | None,
    size: tuple[int, int],
    partial: bool,
    as_json: bool,
) -> None:
    """Make a run of a trained detector's weights, without a step of training: to convert, evaluate, fine-tune.

    FILE is a .pdparams of PaddleDetection 2.x or PaddleX, its folder, or an archive of it.

    \b
    Examples:
      edge-seg weights import r50-coco --model mask_rcnn_r50_fpn --out r50
      edge-seg weights import best_model --model mask_rcnn_r18_fpn \\
          --classes cat,dog --golden pets.jpg --out pets
    """
    zoo.find(model)
    from edge_seg.train import pretrained
    from edge_seg.train.import_run import import_run

    path, known = pretrained.locate(file, model, lambda line: click.echo(line, err=True))
    if path is None:
        raise UsageError(f"{file}: no weights", remedy="give a file or a name of `edge-seg weights list`")
    report = import_run(
        path, model, out, classes=_names(classes), known=known, golden=golden, size=size, partial=partial
    )
    for line in report.lines(path):
        click.echo(line, err=True)
    if as_json:
        echo_json({"run": out, **asdict(report)})
    else:
        click.echo(f"{out}: a run of {model} with {counted(report.classes[1], 'class')}")


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    file = Path(text)
    try:
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else text.split(",")
    except UnicodeDecodeError as problem:
        raise UsageError(f"--classes {text}: not a text file in UTF-8: {problem}") from None
    names = tuple(line.strip() for line in lines if line.strip())
    if not names or len(set(names)) != len(names):
        raise UsageError(f"--classes {text!r}: expected different names, such as cat,dog")
    return names
