"""What the search came to: as data, and in words."""

from __future__ import annotations

import dataclasses
import shlex

from convert.tune.meter import Measured, Meter
from convert.tune.run import RUNS, Found, Plan, choose_timed
from edge_seg.errors import EdgeSegError
from edge_seg.tuning import Placed, Setting, Tuning
from edge_seg.words import counted

RESULT = "tune.json"
DISTURBED = 0.1
"""Share of a measurement that others may take before the user is told."""
_HEADINGS = ("mask mAP", "box mAP", "size", "proposals", "before NMS", "keep", "box head", "recipe")


class BudgetError(EdgeSegError):
    """Nothing that was found meets the budget."""

    code = "budget-missed"


def describe(plan: Plan, found: Found, meter: Meter, warnings: tuple[str, ...]) -> Tuning:
    """The search, with the commands that make and measure each point."""
    measured = meter if isinstance(meter, Measured) else None

    def told(placed: Placed) -> Placed:
        bundle = f"bundle-{placed.point.setting.key}"
        again = _measure_again(plan, measured.threads, bundle) if measured else None
        return dataclasses.replace(placed, command=_command(plan, placed.point.setting, bundle), measure_again=again)

    return Tuning(
        run=plan.run.path,
        model=plan.run.config.model,
        data=plan.data,
        images=len(plan.records),
        seed=plan.seed,
        possible=len(plan.candidates),
        unit=meter.unit,
        how=meter.label,
        target=plan.target,
        front=tuple(map(told, found.front)),
        others=tuple(told(placed) for placed in found.placed if placed not in found.front),
        failures={setting.key: why for setting, why in found.failures.items()},
        result=plan.out / RESULT,
        command=plan.command,
        warnings=(*warnings, *_disturbed(measured)),
        reference_ms=measured.reference_ms if measured else None,
        disturbed=measured.disturbed if measured else None,
    )


def _command(plan: Plan, setting: Setting, bundle: str) -> str:
    pruned = setting.box_width != plan.box_width
    run = plan.out / RUNS / f"box-{setting.box_width}" if pruned else plan.run.path
    height, width = setting.size
    words = ["edge-seg", "convert", str(run), "--recipe", setting.recipe, "--size", f"{height}x{width}"]
    words += ["--proposals", str(setting.proposals), "--before-nms", str(setting.before_nms)]
    return shlex.join([*words, "--keep", str(setting.keep), "--out", bundle])


def _measure_again(plan: Plan, threads: int, bundle: str) -> str:
    words = ["edge-seg", "bench", "run", bundle, "--threads", str(threads)]
    for record in choose_timed(plan.records):
        words += ["--images", str(record.path)]
    return shlex.join(words)


def _disturbed(meter: Measured | None) -> list[str]:
    if meter is None or meter.disturbed is None or meter.disturbed <= DISTURBED:
        return []
    return [
        f"other programs used this machine's cores, up to {meter.disturbed:.0%} of a measurement; how the points "
        "compare holds, but the milliseconds may be too high: end the other programs and search again with another "
        "--out"
    ]


def table(tuning: Tuning) -> str:
    """The front as a Markdown table, cheapest first; the chosen point is marked."""
    lines = ["| | " + " | ".join([tuning.unit, *_HEADINGS]) + " |", "|" + " --- |" * (len(_HEADINGS) + 2)]
    for placed in tuning.front:
        point, setting = placed.point, placed.point.setting
        cells = [
            "→" if placed is tuning.chosen else "",
            _with_spread(placed),
            _percent(point.mask_map),
            _percent(point.box_map),
            "x".join(map(str, setting.size)),
            *map(str, (setting.proposals, setting.before_nms, setting.keep, setting.box_width)),
            setting.recipe,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def text(tuning: Tuning) -> str:
    """All for people: how it was counted, the front, what fell out, the recipe."""
    tried = len(tuning.front) + len(tuning.others) + len(tuning.failures)
    lines = [
        f"{counted(len(tuning.front), 'point')} on the front, of {tried} tried and {tuning.possible} possible; "
        f"accuracy on {counted(tuning.images, 'image')} of {tuning.data}",
        f"cost: {tuning.how}",
        "",
        table(tuning),
        "",
    ]
    lines += [f"failed: {key}: {why.splitlines()[0]}" for key, why in tuning.failures.items()]
    best = tuning.chosen
    if best:
        lines += [f"within {tuning.target:g} {tuning.unit}:", f"  {best.command}"]
    elif tuning.target is None:
        lines += ["make one of them with:", *(f"  {placed.command}" for placed in tuning.front)]
    if tuning.front and (again := (best or tuning.front[-1]).measure_again):
        lines += ["measure it again with:", f"  {again}"]
    lines.append(f"all figures: {tuning.result}")
    return "\n".join(lines)


def missed(tuning: Tuning) -> BudgetError | None:
    """The error when there is a budget and nothing meets it."""
    if not tuning.missed:
        return None
    nearest = tuning.front[0]
    return BudgetError(
        f"nothing within {tuning.target:g} {tuning.unit}: the nearest costs {nearest.cost:.4g} {tuning.unit} "
        f"(mask mAP {_percent(nearest.point.mask_map)} %, {nearest.point.setting.key})",
        remedy=f"give a larger budget, search smaller --sizes, or train a lighter model; the nearest is made with\n"
        f"  {nearest.command}",
    )


def _with_spread(placed: Placed) -> str:
    """``8.2 (8.1 to 8.4)``."""
    if placed.spread is None:
        return f"{placed.cost:.4g}"
    low, high = placed.spread
    return f"{placed.cost:.4g} ({low:.4g} to {high:.4g})"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
