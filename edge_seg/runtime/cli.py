"""``edge-seg predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_seg.errors import UsageError
from edge_seg.options import COMMAND, SCORE, THREADS, echo_json, json_option, public_key_option
from edge_seg.process.guard import guarded, phase

if TYPE_CHECKING:
    from edge_seg.runtime.predict import Report


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="IMAGE|FOLDER...")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the overlays and the results.")
@click.option(
    "--overlays",
    type=click.Choice(["jpg", "png"]),
    default="jpg",
    show_default=True,
    help="Format of the overlay images; png loses nothing, but takes twenty times as long to write.",
)
@click.option("--score", type=SCORE, help="Lowest score of what is kept, 0 to 1.  [default: the bundle's]")
@click.option("--threads", type=THREADS, default=0, help="Threads; 0: the engine's choice.")
@click.option("--engine", help="Engine to use.  [default: the bundle's]")
@click.option("--on", metavar="TARGET", help="Do it there: ssh://[user@]host[:port], adb:SERIAL, emulated:cortex-a72.")
@click.option("--runner", type=COMMAND, default=(), help="With --on: starts the runner.  [default: the deployed one]")
@click.option(
    "--format",
    "formats",
    type=click.Choice(["coco", "labelme", "polygons", "png"]),
    multiple=True,
    help="Also write what was found for an annotation tool; may be given several times.",
)
@public_key_option
@json_option
@guarded
def predict(
    bundle: Path,
    images: tuple[Path, ...],
    out: Path,
    overlays: str,
    score: float | None,
    threads: int,
    engine: str | None,
    on: str | None,
    runner: tuple[str, ...],
    formats: tuple[str, ...],
    public_key: Path | None,
    as_json: bool,
) -> int:
    """Find the objects in images and draw them.

    Writes into the folder --out an overlay for each image, and predictions.json: COCO results (image_id, category_id,
    bbox, score, segmentation as run-length code) with a file_name in each. Images are numbered from 1 in the order of
    their paths. An image that can't be read is named and left out; the exit code is 1 then.

    --format writes the results into --out once more, to be corrected in an annotation tool and trained on: coco
    (annotations.json), labelme (labelme/, with the images), polygons (polygons.jsonl), png (masks/: 16-bit object
    numbers, and objects.json).

    With --on, bundle and images are copied to a board, its runner does the work, and the overlays are drawn here.
    EDGE_SEG_SSH_OPTIONS holds options for ssh.

    A bundle with a wrong signature is refused. Where this user or machine trusts certain keys (docs/security.md), or
    --public-key names some, so is one that none of them signed.

    \b
    Examples:
      edge-seg predict bundles/cpu-fp32 photo.jpg --out found
      edge-seg predict bundles/x86-fp32 shapes/images --out found --score 0.5
      edge-seg predict bundles/x86-fp32 photos --out found --format labelme
      edge-seg predict bundles/arm-fp32 photo.jpg --out found \\
          --on ssh://pi@raspberrypi
    """
    from edge_seg.bundle import open_bundle
    from edge_seg.files import refuse_overwriting
    from edge_seg.runtime.predict import check_folder, find_pictures
    from edge_seg.runtime.predict import predict as run
    from edge_seg.runtime.segmenter import Segmenter
    from edge_seg.trust import tell_trust

    opened = open_bundle(bundle)
    tell_trust(opened, public_key)
    pictures = find_pictures(images, out, overlays)
    check_folder(out)
    refuse_overwriting(out, [bundle])

    def progress(line: str) -> None:
        click.echo(line, err=True)

    if runner and on is None:
        raise UsageError("--runner: only with --on", remedy="name the board with --on, or leave --runner out")
    if on is not None:
        from edge_seg.runtime.predict_remote import Settings, predict_on
        from edge_seg.targets import open_target

        with open_target(on, runner=runner) as target:
            settings = Settings(score, threads, engine)
            report = predict_on(target, opened, pictures, out, settings, progress)
        return tell(report, out, formats, opened.manifest.category_ids, as_json)
    with Segmenter(opened, engine=engine, threads=threads, score=score) as segmenter:
        report = run(segmenter, pictures, out, opened.manifest.category_ids, progress)
        phase("closing the engine")
    return tell(report, out, formats, opened.manifest.category_ids, as_json)


def tell(report: Report, out: Path, formats: tuple[str, ...], category_ids: tuple[int, ...], as_json: bool) -> int:
    """Writes the results in ``formats`` into ``out``, prints the report, and returns the exit code."""
    from edge_seg.runtime.formats import write_formats

    written = write_formats(formats, report.done, out, report.classes, category_ids)
    if as_json:
        echo_json({**report.as_json(), **({"written": [str(path) for path in written]} if formats else {})})
    else:
        click.echo("\n".join([str(report), *map(str, written)]))
    return report.exit_code
