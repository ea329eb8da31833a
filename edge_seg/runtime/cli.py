"""``edge-seg predict``."""

from __future__ import annotations

from pathlib import Path

import click

from edge_seg.guard import guarded, phase
from edge_seg.options import SCORE, echo_json, json_option


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="IMAGE|FOLDER...")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the pictures and the results.")
@click.option("--score", type=SCORE, help="Lowest score of what is kept, 0 to 1.  [default: the bundle's]")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="Threads; 0: the engine's choice.")
@click.option("--engine", help="Engine to use.  [default: the bundle's]")
@json_option
@guarded
def predict(
    bundle: Path,
    images: tuple[Path, ...],
    out: Path,
    score: float | None,
    threads: int,
    engine: str | None,
    as_json: bool,
) -> int:
    """Find the objects in pictures and draw them.

    Writes into the folder --out an overlay picture for each picture, and predictions.json: COCO results (image_id,
    category_id, bbox, score, segmentation as run-length code) with a file_name in each. Pictures are numbered from 1 in
    the order of their paths. A picture that can't be read is named and left out; the exit code is 1 then.

    \b
    Examples:
      edge-seg predict bundles/cpu-fp32 photo.jpg --out pictures
      edge-seg predict bundles/x86-fp32 shapes/images --out pictures --score 0.5
    """
    from edge_seg.bundle import open_bundle
    from edge_seg.runtime.predict import check_folder, find_pictures
    from edge_seg.runtime.predict import predict as run
    from edge_seg.runtime.segmenter import Segmenter

    opened = open_bundle(bundle)
    pictures = find_pictures(images, out)
    check_folder(out)
    with Segmenter(opened, engine=engine, threads=threads, score=score) as segmenter:
        report = run(segmenter, pictures, out, opened.manifest.category_ids, lambda line: click.echo(line, err=True))
        phase("closing the engine")
    if as_json:
        echo_json(report.as_json())
    else:
        click.echo(str(report))
    return report.exit_code
