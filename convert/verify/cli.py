"""The command ``edge-seg verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge_seg.errors import UsageError
from edge_seg.options import COMMAND, echo_json, json_option, public_key_option
from edge_seg.process.environment import in_conversion_environment
from edge_seg.process.guard import guarded, phase

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("bundle", type=_PATH)
@click.option("--run", type=_PATH, help="The run that the bundle was made from. Random weights are made again.")
@click.option(
    "--images",
    multiple=True,
    metavar="FILE|DIR",
    type=_PATH,
    help="Image, or folder of images; may be repeated. The golden image is always among them.",
)
@click.option("--data", type=_PATH, help="COCO folder: mAP on every stage as well.")
@click.option("--split", type=click.Choice(["train", "val"]), default="val", show_default=True, help="Of --data.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="Images of --data, at most.")
@click.option("--on", metavar="TARGET", help="The device: ssh://[user@]host[:port], adb:SERIAL, emulated:cortex-a72.")
@click.option("--runner", type=COMMAND, help="Its runner: a program, or a command line in quotes.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write the report as one HTML page.")
@click.option(
    "--write",
    is_flag=True,
    help="Write the summary into the manifest: verification.stages. The bundle then has another id.",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first stage that is out of tolerance.")
@public_key_option
@json_option
@in_conversion_environment
@guarded
def verify(
    bundle: Path,
    html: Path | None,
    write: bool,
    public_key: Path | None,
    as_json: bool,
    images: tuple[Path, ...],
    **options: Any,
) -> int:
    """Find out where a BUNDLE differs from the model that it was made from.

    The same images go through every form of the model: preprocessing, paddle itself, the exported graph, the optimised
    graph on this host (for an Arm bundle, one for x86 of the same graphs), a device. The report names the first stage
    out of tolerance and its first such tensor. Without --run, the bundle is compared with its golden result.

    The exit code is 0 when every stage is within its tolerance, 1 when one isn't.

    \b
    Examples:
      edge-seg verify bundles/x86-fp32 --run run --html report.html --write
      edge-seg verify bundles/arm-fp32 --run run --data shapes --images photo.jpg
      edge-seg verify bundles/x86-fp32 --run run --json \\
          --runner "python -m edge_seg.runtime.runner"
      edge-seg verify bundles/arm-fp32 --run run --on ssh://pi@raspberrypi
    """
    phase("verifying")
    from convert.verify import report as reports
    from convert.verify.verify import Options, verify_bundle
    from edge_seg.pages.page import check_output, this_command
    from edge_seg.pages.verify import make_page
    from edge_seg.runtime.predict import check_folder, find_files
    from edge_seg.signature import SIGNATURE
    from edge_seg.trust import tell_trust_of

    tell_trust_of([bundle], public_key)
    files = find_files(images)
    if html is not None:
        check_output(html, [bundle, *files, *filter(Path.is_file, map(Path, options["runner"] or ()))])
        check_folder(html.parent)
    if write and (bundle / SIGNATURE).exists():
        raise UsageError(
            f"--write: {bundle} is signed, and its signature would no longer hold",
            remedy="verify a bundle first and sign it then, or leave --write out",
            code="bundle-signed",
        )
    report = verify_bundle(
        bundle,
        Options(images=tuple(files), **options),
        lambda stage: click.echo(reports.stage_line(stage).strip(), err=True),
    )
    if write and not any(stage.name == "files" and stage.fault for stage in report.stages):
        reports.keep(report)
    shown = {}
    if html is not None:
        shown = reports.save_images(report, html)
        make_page(report, this_command()).write(html)
    if as_json:
        echo_json(reports.as_json(report, shown))
    else:
        click.echo(reports.as_text(report, shown))
    return report.exit_code
