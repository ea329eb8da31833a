"""``edge-seg predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_seg.errors import UsageError
from edge_seg.options import COMMAND, SCORE, THREADS, echo_json, json_option, public_key_option
from edge_seg.process.guard import guarded, phase

if TYPE_CHECKING:
    from edge_seg.runtime.predict import ImageFile, Report
    from edge_seg.runtime.segmenter import Segmenter


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(), nargs=-1, required=True, metavar="IMAGE|FOLDER|VIDEO...")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the overlays and the results.")
@click.option(
    "--overlays",
    type=click.Choice(["jpg", "png"]),
    default="jpg",
    show_default=True,
    help="Format of the overlay images; png loses nothing, but takes twenty times as long to write.",
)
@click.option(
    "--frames", type=click.IntRange(min=0), default=0, help="Of a video or camera: the first so many; 0: all."
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
    images: tuple[str, ...],
    out: Path,
    overlays: str,
    frames: int,
    score: float | None,
    threads: int,
    engine: str | None,
    on: str | None,
    runner: tuple[str, ...],
    formats: tuple[str, ...],
    public_key: Path | None,
    as_json: bool,
) -> int:
    """Find the objects in images or a video and draw them.

    Writes into the folder --out an overlay for each image, and predictions.json: COCO results (image_id, category_id,
    bbox, score, segmentation as run-length code) with a file_name in each. Images are numbered from 1 in the order of
    their paths. An image that can't be read is named and left out; the exit code is 1 then.

    --format writes the results into --out once more, to be corrected in an annotation tool and trained on: coco
    (annotations.json), labelme (labelme/, with the images), polygons (polygons.jsonl), png (masks/: 16-bit object
    numbers, and objects.json).

    A video file, a camera (camera:0) or an address (rtsp://…) is done alone: NAME.mp4 with everything drawn, and
    NAME.jsonl with a line for each frame. A camera goes on until --frames or Ctrl-C, which keeps what there is.

    With --on, bundle and images are copied to a board, its runner does the work, and the overlays are drawn here.
    EDGE_SEG_SSH_OPTIONS holds options for ssh.

    A bundle with a wrong signature is refused. Where this user or machine trusts certain keys (docs/security.md), or
    --public-key names some, so is one that none of them signed.

    \b
    Examples:
      edge-seg predict bundles/cpu-fp32 photo.jpg --out found
      edge-seg predict bundles/x86-fp32 shapes/images --out found --score 0.5
      edge-seg predict bundles/x86-fp32 photos --out found --format labelme
      edge-seg predict bundles/cpu-fp32 clip.mp4 --out found
      edge-seg predict bundles/cpu-fp32 camera:0 --out found --frames 300
      edge-seg predict bundles/arm-fp32 photo.jpg --out found \\
          --on ssh://pi@raspberrypi
    """
    from edge_seg.bundle import open_bundle
    from edge_seg.files import refuse_overwriting
    from edge_seg.runtime.predict import check_folder
    from edge_seg.runtime.segmenter import Segmenter
    from edge_seg.trust import tell_trust

    opened = open_bundle(bundle)
    tell_trust(opened, public_key)
    planned = plan(images, out, overlays, frames, formats)
    check_folder(out)
    refuse_overwriting(out, [bundle])

    if runner and on is None:
        raise UsageError("--runner: only with --on", remedy="name the board with --on, or leave --runner out")
    if on is not None:
        if isinstance(planned, str):
            raise UsageError(
                f"{planned}: --on takes images only",
                remedy="run edge-seg-run --video or --camera on the board (docs/boards)",
            )
        from edge_seg.runtime.predict_remote import Settings, predict_on
        from edge_seg.targets import open_target

        with open_target(on, runner=runner) as target:
            settings = Settings(score, threads, engine)
            report = predict_on(target, opened, planned, out, settings, _tell_line)
        return tell(report, out, formats, opened.manifest.category_ids, as_json)
    with Segmenter(opened, engine=engine, threads=threads, score=score) as segmenter:
        return run(segmenter, planned, out, formats, frames, opened.manifest.category_ids, as_json)


def plan(
    images: tuple[str, ...], out: Path, overlays: str, frames: int, formats: tuple[str, ...]
) -> list[ImageFile] | str:
    """What is to be done: image files, or one video, camera or address. Raises UsageError and ImageError."""
    from edge_seg.runtime.predict import find_images
    from edge_seg.runtime.predict_video import video_paths
    from edge_seg.runtime.sources import find_files, is_file, is_video

    videos = [text for text in images if is_video(text)]
    if not videos:
        if frames:
            raise UsageError("--frames: only for a video or a camera", remedy="leave it out")
        return find_images([Path(text) for text in images], out, overlays)
    (video, *_) = videos
    if len(images) > 1:
        raise UsageError(f"{video}: a video or camera is done by itself", remedy="name nothing else beside it")
    if formats:
        raise UsageError("--format: only for images", remedy="the results of a video are in its .jsonl file")
    if is_file(video):
        find_files([Path(video)])  # before the engine is loaded
    video_paths(video, out)
    return video


def run(
    segmenter: Segmenter,
    planned: list[ImageFile] | str,
    out: Path,
    formats: tuple[str, ...],
    frames: int,
    category_ids: tuple[int, ...],
    as_json: bool,
) -> int:
    """Does what was planned, prints the report, and returns the exit code."""
    from edge_seg.runtime.predict import predict as predict_images
    from edge_seg.runtime.predict_video import predict_video

    if isinstance(planned, str):
        made = predict_video(segmenter, planned, out, _tell_line, frames=frames)
        _close(segmenter)
        if as_json:
            echo_json(made.as_json())
        else:
            click.echo(str(made))
        return made.exit_code
    report = predict_images(segmenter, planned, out, category_ids, _tell_line)
    _close(segmenter)
    return tell(report, out, formats, category_ids, as_json)


def _close(segmenter: Segmenter) -> None:
    """Before the report, because a library may end the process here."""
    phase("closing the engine")
    segmenter.close()


def _tell_line(line: str) -> None:
    click.echo(line, err=True)


def tell(report: Report, out: Path, formats: tuple[str, ...], category_ids: tuple[int, ...], as_json: bool) -> int:
    """Writes the results in ``formats`` into ``out``, prints the report, and returns the exit code."""
    from edge_seg.runtime.formats import write_formats

    written = write_formats(formats, report.done, out, report.classes, category_ids)
    if as_json:
        echo_json({**report.as_json(), **({"written": [str(path) for path in written]} if formats else {})})
    else:
        click.echo("\n".join([str(report), *map(str, written)]))
    return report.exit_code
