"""The command ``edge-seg convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge_seg.errors import UsageError
from edge_seg.guard import guarded, phase
from edge_seg.options import SCORE, SIZE, echo_json, json_option

RECIPES_HELP = "What to convert to: arm-fp32, x86-fp32, cpu-fp32, onnx-fp32 …; several, separated by commas."


@click.command()
@click.argument("source", metavar="RUN|MODEL")
@click.option("--recipe", required=True, metavar="A[,B]", help=RECIPES_HELP)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The bundle; with several recipes, the folder of bundles.",
)
@click.option("--size", type=SIZE, help="Input height x width, multiples of 32.  [default: the run's, 320 for a MODEL]")
@click.option(
    "--proposals",
    type=click.IntRange(1, 5000),
    help="Boxes that are looked at closely.  [default: grows with the size]",
)
@click.option(
    "--before-nms",
    type=click.IntRange(1, 100_000),
    help="Boxes a pyramid level, best first, that the proposals are chosen from.  [default: the model's, 1000]",
)
@click.option(
    "--keep", type=click.IntRange(1, 1000), help="Most instances in a picture.  [default: the run's, 100 for a MODEL]"
)
@click.option("--score", type=SCORE, help="Least score of an instance.  [default: the run's, 0.05 for a MODEL]")
@click.option(
    "--golden", type=click.Path(path_type=Path), help="The picture to check the bundle with.  [default: the run's]"
)
@click.option("--random-weights", is_flag=True, help="Convert a MODEL of the zoo, untrained: to know size and speed.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Of the random weights.  [default: 0]")
@click.option("--classes", type=click.IntRange(1, 1000), help="Number of classes with random weights.  [default: 80]")
@json_option
@guarded
def convert(source: str, recipe: str, out: Path, random_weights: bool, as_json: bool, **options: Any) -> None:
    """Turn a RUN, or a zoo MODEL with random weights, into bundles that a device can run.

    Each is checked: this machine's engine must find in the golden picture what paddle finds. An Arm bundle is
    checked by its twin for x86. A bundle that stands at --out is replaced, nothing else is. The same run and recipe
    give the same bytes.

    \b
    Examples:
      edge-seg convert run --recipe arm-fp32,x86-fp32 --size 320 --out bundles
      edge-seg convert mask_rcnn_r18_fpn --random-weights --size 320x480 \\
          --recipe cpu-fp32 --out r18
    """
    from convert.recipe import parse

    recipes = parse(recipe)
    phase("converting")
    from convert.bundles import check_destinations, make_bundles

    check_destinations(out, recipes)  # before the work, not after it
    job = _job(source, random_weights, **options)
    seconds: dict[str, float] = {}

    def note(stage: str, elapsed: float) -> None:
        seconds[stage] = round(elapsed, 2)
        click.echo(f"{stage}  {elapsed:.1f} s", err=True)

    made = make_bundles(job, recipes, out, note)
    bundles = [_described(verified.recipe.name, verified.folder, verified.report) for verified in made]
    if as_json:
        echo_json({"bundles": bundles, "seconds": seconds})
        return
    for bundle in bundles:
        click.echo(_line(bundle))


def _job(source: str, random_weights: bool, *, seed: int | None, classes: int | None, **options: Any) -> Any:
    from convert.job import Options, random_job, refuse_unknown, run_job
    from edge_seg.zoo import ZOO

    refuse_unknown(source)
    if random_weights:
        return random_job(source, seed or 0, classes or 80, Options(**options))
    for name, value in (("--seed", seed), ("--classes", classes)):
        if value is not None:
            raise UsageError(f"{name} is for --random-weights", remedy="leave it out, or add --random-weights")
    if source in ZOO and not Path(source).exists():
        raise UsageError(
            f"{source} is a model of the zoo, not a run: it has no weights",
            remedy="add --random-weights to convert it untrained, or give a run's folder",
        )
    return run_job(Path(source), Options(**options))


def _described(recipe: str, folder: Path, report: dict[str, Any]) -> dict[str, Any]:
    from edge_seg.bundle import Bundle, open_bundle

    bundle: Bundle = open_bundle(folder)
    return {
        "recipe": recipe,
        "path": str(folder),
        "id": bundle.id,
        "model_bytes": bundle.model_bytes,
        "verification": report,
    }


def _line(bundle: dict[str, Any]) -> str:
    report = bundle["verification"]
    return (
        f"{bundle['path']}  {bundle['model_bytes'] / 1e6:.1f} MB, checked by {report['witness']}: "
        f"{report['matched']} of {report['instances']} instances, worst box {report['box_px']:g} px, "
        f"score {report['score']:g}, mask IoU {report['mask_iou']:g}"
    )
