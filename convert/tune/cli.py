"""The command ``edge-seg tune``."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_seg.errors import UsageError
from edge_seg.files import refuse_non_utf8
from edge_seg.options import (
    ABOVE_0,
    MAX_BEFORE_NMS,
    MAX_KEEP,
    MAX_PROPOSALS,
    MAX_THREADS,
    SIZE,
    Numbers,
    echo_json,
    json_option,
)
from edge_seg.process.environment import in_conversion_environment
from edge_seg.process.guard import guarded, phase
from edge_seg.words import counted

if TYPE_CHECKING:
    from convert.tune.log import Log
    from convert.tune.meter import Bundle, Meter, Say
    from convert.tune.run import Plan
    from convert.tune.search import Listed

_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, dir_okay=False)
_PROPOSALS, _BEFORE_NMS, _KEEP = Numbers(1, MAX_PROPOSALS), Numbers(1, MAX_BEFORE_NMS), Numbers(1, MAX_KEEP)
_WIDTHS = Numbers(1, 100_000)
_MAC = re.compile(r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*([kKmMgGtT]?)")
_FACTOR = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}


class Mac(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """``5e9``, ``5G`` or, since nobody has a budget of five operations, ``5``, to 5.0 (billions)."""

    name = "N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Billions of multiply-accumulates."""
        if isinstance(value, float):
            return value
        match = _MAC.fullmatch(str(value).strip())
        number = float(match[1]) * _FACTOR[match[2].lower()] if match else 0.0
        if not 0 < number < 1e18:
            self.fail(f"{value!r}: expected a number of operations such as 5e9 or 5G.", param, ctx)
        return number if match and not match[2] and number < 1e5 else number / 1e9


class Sizes(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """``320,256x320`` to pairs of height and width."""

    name = "HxW,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[tuple[int, int], ...]:
        """The sizes; each side is a multiple of 32."""
        if isinstance(value, tuple):
            return value
        return tuple(SIZE.convert(word.strip(), param, ctx) for word in str(value).split(","))


@click.command()
@click.argument("run", type=_PATH)
@click.option("--data", type=_PATH, required=True, help="Folder with train.json, val.json and images/ (COCO).")
@click.option("--out", type=_PATH, help="Folder of the search.  [default: RUN-tune, beside RUN]")
@click.option("--target-ms", type=ABOVE_0, help="Budget: model time an image, ms.")
@click.option("--record", type=_PATH, multiple=True, help="Take times from these records of bundles of RUN.")
@click.option("--target-gmac", type=ABOVE_0, help="Budget: billions of multiply-accumulates an image.")
@click.option("--flops", type=Mac(), help="The same as --target-gmac, as 5e9 or 5G.")
@click.option("--recipe", metavar="A[,B]", help="Recipes to search.  [default: cpu-fp32; arm-fp32 for operations]")
@click.option("--sizes", type=Sizes(), default=(), help="Input sizes.  [default: the run's, 5/6, 2/3 and 1/2 of it]")
@click.option(
    "--proposals", type=_PROPOSALS, default=(), help="Proposals passed to the box head.  [default: all, 1/2, 1/4]"
)
@click.option("--before-nms", type=_BEFORE_NMS, default=(), help="Boxes before NMS.  [default: 1000,300,100]")
@click.option("--keep", type=_KEEP, default=(), help="Maximum detections per image.  [default: 100,20,10]")
@click.option("--box-widths", type=_WIDTHS, default=(), help="Box head's width.  [default: all, 1/2, 1/4]")
@click.option("--points", type=click.IntRange(1, 10_000), default=24, show_default=True, help="Most points to try.")
@click.option("--images", type=click.IntRange(1), default=100, show_default=True, help="Most validation images.")
@click.option("--threads", type=click.IntRange(1, MAX_THREADS), help="Threads that time counts for.  [default: 1]")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Chooses the images.")
@click.option("--html", type=_FILE, help="Write the report as one HTML page.")
@click.option("--plot", type=_FILE, help="Write accuracy against cost as an SVG file.")
@json_option
@in_conversion_environment
@guarded
def tune(
    run: Path,
    data: Path,
    out: Path | None,
    recipe: str | None,
    threads: int | None,
    html: Path | None,
    plot: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Find the settings of RUN that meet a budget: what accuracy each cost buys, and the command that makes it.

    The search varies input size, proposals before and after NMS, detections per image, the box head's width (by
    pruning) and the recipe. Accuracy is measured on the validation images of --data. Cost is the model time measured on
    this machine, or with --record the time that a device took for the very bundles, or a count of operations. Without a
    budget the result is the whole Pareto front.

    The same command continues a search that was stopped; another budget uses the points that exist.

    \b
    Examples:
      edge-seg tune run --data shapes --target-ms 20
      edge-seg tune run --data shapes --target-ms 500 --record board.jsonl
      edge-seg tune run --data shapes --target-gmac 5 --sizes 320,256 --json
      edge-seg tune run --data shapes --html tune.html --plot tune.svg
    """
    phase("reading the run and the data")
    from convert.tune import report
    from convert.tune.run import open_log, search
    from edge_seg.files import write_json
    from edge_seg.pages import tune as page
    from edge_seg.pages.page import check_output
    from edge_seg.pages.plots import check_plot
    from edge_seg.train.display import Display
    from edge_seg.train.run import finds_nothing

    display = Display()
    if html is not None:
        check_output(html, [run, data])
    if plot is not None:
        check_plot(plot, [run, data])
    out = out or run.with_name(f"{run.resolve().name}-tune")
    counting = _counting(run, out, recipe, threads, options)
    plan = _plan(run, data, out, counting, options)
    if nothing := finds_nothing(run, plan.run.config.metrics):
        counting = replace(counting, warnings=(nothing, *counting.warnings))
    for warning in counting.warnings:
        display.say(f"Warning: {warning}")
    log = open_log(plan)
    phase("searching")
    found, meter = search(
        plan, log, lambda bundle, say: counting.meter(plan, log, bundle, say), display.say, display.status
    )
    display.clear()
    tuning = report.describe(plan, found, meter, counting.warnings)
    for warning in tuning.warnings[len(counting.warnings) :]:
        display.say(f"Warning: {warning}")
    result = tuning.as_json()
    write_json(tuning.result, result)
    if plot is not None:
        page.front_plot(tuning).save(plot)
    if html is not None:
        page.make_page(tuning).write(html)
    problem = report.missed(tuning)
    if as_json and problem is None:
        echo_json(result)
    elif not as_json:
        click.echo(report.text(tuning))
    if problem is not None:
        raise problem


@dataclass(frozen=True)
class _Counting:
    """How cost is counted: what makes the meter, the budget, what is searched for it, and what the user should know."""

    meter: Callable[[Plan, Log, Bundle, Say], Meter]
    target: float | None
    recipes: tuple[str, ...]
    measured: bool = False
    listed: Listed | None = None
    warnings: tuple[str, ...] = ()


def _plan(run: Path, data: Path, out: Path, counting: _Counting, options: dict[str, Any]) -> Plan:
    from convert.tune.run import Plan, choose_images
    from convert.tune.search import Grid
    from convert.tune.space import BEFORE_NMS, Wanted, make_space
    from edge_seg.data.coco import load_split
    from edge_seg.errors import DataError
    from edge_seg.models.build import box_width
    from edge_seg.train.evaluate import category_ids
    from edge_seg.train.run import load_run

    opened = load_run(run)
    dataset = load_split(data, "val")
    if not dataset.images:
        raise DataError(f"{dataset.coco_json}: no images to measure accuracy on")
    records = choose_images(dataset, options["images"], options["seed"])
    if not any(not item.crowd for record in records for item in record.annotations):
        raise DataError(
            f"{dataset.coco_json}: none of the {counted(len(records), 'image')} to measure accuracy on has an "
            "annotation",
            remedy="add annotations to it, or take more images (--images) or others (--seed)",
        )
    config = opened.config
    category_ids(config.classes, dataset)  # before anything is written
    width = config.box_width or box_width(config.model)
    wanted = {name: options[name] for name in ("sizes", "proposals", "before_nms", "keep", "box_widths")}
    if not counting.measured and not wanted["before_nms"]:
        wanted["before_nms"] = BEFORE_NMS[:1]  # boxes in NMS cost time, but no operations that are counted
    refuse_non_utf8(out)
    space = make_space(Wanted(**wanted), counting.recipes, config.size, config.postprocess.keep, width)
    return Plan(
        run=opened,
        data=data,
        dataset=dataset,
        records=records,
        candidates=counting.listed or Grid(space, counting.target),
        box_width=width,
        out=out,
        seed=options["seed"],
        most=options["points"],
        command=shlex.join(["edge-seg", *sys.argv[1:]]),
        target=counting.target,
    )


def _counting(run: Path, out: Path, recipe: str | None, threads: int | None, options: dict[str, Any]) -> _Counting:
    from convert.recipe import parse
    from convert.tune.meter import Operations

    budgets = {name: options[name] for name in ("target_ms", "target_gmac", "flops")}
    given = [name for name, value in budgets.items() if value is not None]
    if len(given) > 1:
        words = " and ".join("--" + name.replace("_", "-") for name in given)
        raise UsageError(f"{words}: two budgets", remedy="give one of them")
    target = budgets[given[0]] if given else None
    if options["record"]:
        if given not in ([], ["target_ms"]):
            raise UsageError("--record is for --target-ms", remedy="leave it out, or give a budget in milliseconds")
        return _recorded(run, out, recipe, threads, target, options)
    if given and given[0] != "target_ms":
        if threads is not None:
            raise UsageError("--threads is for time", remedy="leave it out")
        return _Counting(lambda *_: Operations(), target, tuple(r.name for r in parse(recipe or "arm-fp32")))
    return _measured(recipe, threads or 1, target)


def _recorded(
    run: Path, out: Path, recipe: str | None, threads: int | None, target: float | None, options: dict[str, Any]
) -> _Counting:
    from convert.recipe import parse
    from convert.tune.device import read_device
    from convert.tune.meter import Recorded
    from convert.tune.run import box_widths
    from convert.tune.search import Listed
    from edge_seg.train.run import load_run

    for name in ("sizes", "proposals", "before_nms", "keep", "box_widths"):
        if options[name]:
            raise UsageError(
                f"--{name.replace('_', '-')}: with --record the settings are those of the recorded bundles",
                remedy="leave it out",
            )
    device = read_device(options["record"], threads, box_widths(load_run(run), out))
    recipes = {one.name for one in parse(recipe)} if recipe else {setting.recipe for setting in device.ms}
    settings = [setting for setting in device.ms if setting.recipe in recipes]
    if not settings:
        found = ", ".join(sorted({setting.recipe for setting in device.ms}))
        raise UsageError(f"--recipe {recipe}: the records are of {found}", remedy="choose one of these")
    return _Counting(
        lambda *_: Recorded(device), target, tuple(sorted(recipes)), listed=Listed(settings), warnings=device.warnings
    )


def _measured(recipe: str | None, threads: int, target: float | None) -> _Counting:
    from convert.recipe import parse
    from convert.tune.meter import Measured
    from convert.tune.run import choose_timed
    from convert.tune.timer import Timer

    recipes = parse(recipe or "cpu-fp32")
    for one in recipes:
        if one.host_check != one.name:
            raise UsageError(
                f"--recipe {one.name}: can't be measured on this machine",
                remedy="measure its bundles on the device and give --record, or give a budget in --target-gmac",
            )

    def meter(plan: Plan, log: Log, bundle: Bundle, say: Say) -> Measured:
        clock = Timer([record.path for record in choose_timed(plan.records)], threads)
        return Measured(clock, log, plan.candidates.reference, threads, bundle, say)

    return _Counting(meter, target, tuple(r.name for r in recipes), measured=True)
