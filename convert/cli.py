"""The command ``edge-seg convert``."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convert.quantize.options import quantization_of, quantization_options
from convert.recipe import RECIPES, Recipe, find_recipe
from edge_seg.errors import UsageError
from edge_seg.files import refuse_non_utf8, scratch_dir
from edge_seg.options import MAX_BEFORE_NMS, MAX_KEEP, MAX_PROPOSALS, SCORE, SIZE, echo_json, json_option
from edge_seg.printable import terminal_of
from edge_seg.process import guard
from edge_seg.process.environment import in_conversion_environment
from edge_seg.process.guard import guarded, phase
from edge_seg.runtime.memory import example_peak

if TYPE_CHECKING:
    from convert.artifacts import Job
    from convert.job import Options

RECIPES_HELP = "What to convert to, as `edge-seg recipes` lists; several, separated by commas."


@click.command()
@click.argument("source", metavar="RUN|MODEL|FILE|FOLDER")
@click.option("--recipe", metavar="A[,B]", help=RECIPES_HELP)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The bundle; with several recipes, the folder of bundles; with --raw, the .nb.",
)
@click.option("--size", type=SIZE, help="Input height x width, multiples of 32.  [default: the run's, 320 for a MODEL]")
@click.option(
    "--proposals",
    type=click.IntRange(1, MAX_PROPOSALS),
    help="Proposals passed to the box head.  [default: grows with the size]",
)
@click.option(
    "--before-nms",
    type=click.IntRange(1, MAX_BEFORE_NMS),
    help="Boxes a pyramid level, best first, that the proposals are chosen from.  [default: the model's, 1000]",
)
@click.option(
    "--keep",
    type=click.IntRange(1, MAX_KEEP),
    help="Maximum detections per image.  [default: the run's, 100 for a MODEL]",
)
@click.option("--score", type=SCORE, help="Score threshold.  [default: the run's, 0.05 for a MODEL]")
@click.option(
    "--golden", type=click.Path(path_type=Path), help="The image to check the bundle with.  [default: the run's]"
)
@click.option("--random-weights", is_flag=True, help="Convert a MODEL of the zoo, untrained: to know size and speed.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Of the random weights.  [default: 0]")
@click.option("--classes", type=click.IntRange(1, 1000), help="Number of classes with random weights.  [default: 80]")
@click.option("--raw", is_flag=True, help="Convert any exported Paddle model to a plain .nb.  [recipe: arm-fp32]")
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=1x3x64x64",
    help="With --raw: shape of an input that the model leaves open, to try it with.",
)
@quantization_options
@json_option
@in_conversion_environment
@guarded
def convert(
    source: str,
    recipe: str | None,
    out: Path,
    random_weights: bool,
    raw: bool,
    shapes: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Turn a RUN, or a zoo MODEL with random weights, into bundles that a device can run.

    Each is checked: this machine's engine must find in the golden image what paddle finds. Arm kernels cannot run on
    this host, so an Arm bundle is checked through an x86 bundle of the same graphs. An existing bundle at --out is
    replaced; any other folder is refused. The same run and recipe give the same bytes.

    A FOLDER is a Mask R-CNN that PaddleDetection or PaddleX exported, with its infer_cfg.yml or model.yml: it becomes
    a bundle of one graph. With --raw, a FILE (.pdmodel, __model__, or their folder) is any exported model.

    \b
    Examples:
      edge-seg convert run --recipe arm-fp32,x86-fp32 --size 320 --out bundles
      edge-seg convert mask_rcnn_r18_fpn --random-weights --size 320x480 \\
          --recipe cpu-fp32 --out r18
      edge-seg convert output_inference/mask_rcnn --recipe arm-fp32 \\
          --golden photo.jpg --out bundle
      edge-seg convert inference/model.pdmodel --raw --out model.nb
      edge-seg convert run --recipe arm-int8 --calibration photos --out board
    """
    from convert.recipe import parse

    refuse_non_utf8(out)
    if raw:
        _raw(source, parse(recipe or "arm-fp32"), out, shapes, as_json, {**options, "random_weights": random_weights})
        return
    if shapes:
        raise UsageError("--shape is for --raw", remedy="use --size")
    if recipe is None:
        raise UsageError("--recipe is missing", remedy="say what to convert to, such as --recipe arm-fp32")
    recipes = parse(recipe)
    phase("converting")
    from convert.pipeline import check_destinations, make_bundles
    from edge_seg.train.run import finds_nothing

    check_destinations(out, recipes)  # before the work, not after it
    seconds: dict[str, float] = {}
    wipe = "\r\x1b[K" if sys.stderr.isatty() else ""  # a file gets the stages that are done only
    terminal = terminal_of(sys.stderr)

    def note(stage: str, elapsed: float) -> None:
        seconds[stage] = round(elapsed, 2)
        click.echo(f"{wipe}{stage}  {elapsed:.1f} s", terminal)

    def show(text: str) -> None:
        click.echo(f"{wipe}{text[: max(20, shutil.get_terminal_size().columns - 3)]} …", terminal, nl=False)

    with ExitStack() as stack:
        if wipe:
            guard.listener = show
            phase("loading the model")
            stack.callback(click.echo, wipe, terminal, nl=False)
            stack.callback(setattr, guard, "listener", None)
        begun = time.monotonic()
        quantization = quantization_of(options, used=any(r.precision == "int8" for r in recipes))
        job = stack.enter_context(_job(source, random_weights, recipes, **quantization))
        if warning := finds_nothing(Path(source), job.source.get("metrics", {})):
            click.echo(wipe, terminal, nl=False)
            click.echo(f"Warning: {warning}", err=True)
        note("model", time.monotonic() - begun)
        made = make_bundles(job, recipes, out, note)
    bundles = [_described(bundle.recipe.name, bundle.folder, bundle.report) for bundle in made]
    if as_json:
        echo_json({"bundles": bundles, "seconds": seconds})
        return
    for bundle in bundles:
        click.echo(_line(bundle))


@contextmanager
def _job(
    source: str,
    random_weights: bool,
    recipes: Sequence[Recipe],
    *,
    seed: int | None,
    classes: int | None,
    **options: Any,
) -> Iterator[Job]:
    """What bundles are made from; its files are there as long as the context is open."""
    from convert.job import Options, random_job, refuse_unknown, run_job
    from edge_seg.zoo import ZOO

    refuse_unknown(source)
    if random_weights:
        yield random_job(source, seed or 0, classes or 80, Options(**options))
        return
    for name, value in (("--seed", seed), ("--classes", classes)):
        if value is not None:
            raise UsageError(f"{name} is for --random-weights", remedy="leave it out, or add --random-weights")
    if source in ZOO and not Path(source).exists():
        raise UsageError(
            f"{source} is a model of the zoo, not a run: it has no weights",
            remedy="add --random-weights to convert it untrained, or give a run's folder",
        )
    from convert.program.files import is_exported

    if is_exported(Path(source)):
        refuse_non_utf8(Path(source))
        with scratch_dir(Path(tempfile.gettempdir()) / "imported") as scratch:
            yield _imported(Path(source), recipes, Options(**options), scratch)
        return
    yield run_job(Path(source), Options(**options))


def _imported(path: Path, recipes: Sequence[Recipe], options: Options, scratch: Path) -> Job:
    from convert.importers import paddle_model
    from convert.program.files import find_model

    find_model(path)  # what isn't a model at all is told first
    if not paddle_model.is_imported(path):
        raise UsageError(
            f"{path}: an exported model without an infer_cfg.yml or model.yml, which say how its images are prepared",
            remedy="copy that file beside the model, or convert it to a plain .nb with --raw",
            code="config-missing",
        )
    paddle_model.check_recipes(recipes)
    return paddle_model.imported_job(paddle_model.load(path, options), scratch)


def _raw(
    source: str, recipes: tuple[Recipe, ...], out: Path, shapes: tuple[str, ...], as_json: bool, others: dict[str, Any]
) -> None:
    from convert import raw
    from convert.doctor.cli import parse_shapes

    given = [name for name, value in others.items() if value not in (None, False)]
    if given:
        option = "--" + given[0].replace("_", "-")
        raise UsageError(f"{option} isn't for --raw", remedy="leave it out; --shape gives an input's shape")
    refuse_non_utf8(Path(source))
    recipe = raw.check(recipes, out)
    phase(f"converting {source}")
    done = raw.convert_raw(Path(source), recipe, out, parse_shapes(shapes))
    if as_json:
        echo_json(done.as_json())
    else:
        click.echo(str(done))


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
    from convert.check.check import said

    return f"{bundle['path']}  {bundle['model_bytes'] / 1e6:.1f} MB, {said(bundle['verification'])}"


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]…")
@json_option
def recipes(names: tuple[str, ...], as_json: bool) -> None:
    """List what `edge-seg convert --recipe` can make: what for, what it costs, what it needs, what checks it.

    \b
    Examples:
      edge-seg recipes
      edge-seg recipes arm-int8 --json
    """
    chosen = [find_recipe(name) for name in names] or list(RECIPES.values())
    if as_json:
        echo_json({"recipes": [_as_json(recipe) for recipe in chosen]})
        return
    for recipe in chosen:
        click.echo(f"{recipe.name}: {recipe.summary}")
        click.echo(f"    costs   {recipe.costs}")
        click.echo(f"    needs   {recipe.needs}")
        if (peak := example_peak(recipe.engine, recipe.target, recipe.precision)) is not None:
            click.echo(f"    memory  about {peak / 1e6:.0f} MB at its peak (ResNet18-FPN, 320x320)")
        click.echo(f"    checked {checked(recipe)}")


def checked(recipe: Recipe) -> str:
    """How this host checks the recipe's bundles, in words."""
    by = find_recipe(recipe.host_check)
    if by is recipe:
        return "by running it here"
    if by.precision != recipe.precision:
        return f"through {by.name}, here; {recipe.precision} itself can't be computed here"
    return f"through {by.name}, here: the same graphs"


def _as_json(recipe: Recipe) -> dict[str, object]:
    plain = dataclasses.asdict(recipe)
    peak = example_peak(recipe.engine, recipe.target, recipe.precision)
    return {**plain, "requires": list(recipe.requires), "checked": checked(recipe), "peak_bytes": peak}
