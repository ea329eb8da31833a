"""What the search came to, in words and as JSON."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from convert.tune.meter import Measured, Meter
from convert.tune.run import RUNS, Found, Placed, Plan, choose_timed
from edge_seg.errors import EdgeSegError
from edge_seg.words import counted

RESULT = "tune.json"
DISTURBED = 0.1
"""Share of a measurement that others may take before the user is told."""
_HEADINGS = ("mask mAP", "box mAP", "size", "proposals", "before NMS", "keep", "box head", "recipe")


class BudgetError(EdgeSegError):
    """Nothing that was found meets the budget."""

    code = "budget-missed"


def command(plan: Plan, placed: Placed) -> str:
    """The command that makes the point's bundle."""
    setting = placed.point.setting
    pruned = setting.box_width != plan.box_width
    run = plan.out / RUNS / f"box-{setting.box_width}" if pruned else plan.run.path
    height, width = setting.size
    words = ["edge-seg", "convert", str(run), "--recipe", setting.recipe, "--size", f"{height}x{width}"]
    words += ["--proposals", str(setting.proposals), "--before-nms", str(setting.before_nms)]
    words += ["--keep", str(setting.keep), "--out", _bundle(placed)]
    return shlex.join(words)


def _bundle(placed: Placed) -> str:
    return f"bundle-{placed.point.setting.key}"


def measure_again(plan: Plan, meter: Meter, bundle: str) -> str | None:
    """The command that measures a bundle as the search did; None where nothing was measured."""
    if not isinstance(meter, Measured):
        return None
    words = ["edge-seg", "bench", "run", bundle, "--threads", str(meter.threads)]
    for record in choose_timed(plan.records):
        words += ["--images", str(record.path)]
    return shlex.join(words)


def table(plan: Plan, found: Found, meter: Meter) -> str:
    """The front as a Markdown table, cheapest first; the chosen point is marked."""
    best = chosen(plan, found)
    lines = ["| | " + " | ".join([meter.unit, *_HEADINGS]) + " |", "|" + " --- |" * (len(_HEADINGS) + 2)]
    for placed in found.front:
        point, setting = placed.point, placed.point.setting
        cells = [
            "→" if placed is best else "",
            _with_spread(placed),
            _percent(point.mask_map),
            _percent(point.box_map),
            "x".join(map(str, setting.size)),
            str(setting.proposals),
            str(setting.before_nms),
            str(setting.keep),
            str(setting.box_width),
            setting.recipe,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def text(plan: Plan, found: Found, meter: Meter) -> str:
    """All for people: how it was counted, the front, what fell out, the recipe."""
    tried, front = len(found.placed) + len(found.failures), len(found.front)
    lines = [
        f"{counted(front, 'point')} on the front, of {tried} tried and {len(plan.candidates)} possible; accuracy on "
        f"{counted(len(plan.records), 'image')} of {plan.data}",
        f"cost: {meter.label}",
        "",
        table(plan, found, meter),
        "",
    ]
    for setting, why in found.failures.items():
        lines.append(f"failed: {setting.key}: {why.splitlines()[0]}")
    best = chosen(plan, found)
    if best:
        lines += [f"within {plan.target:g} {meter.unit}:", f"  {command(plan, best)}"]
    elif plan.target is None:
        lines += ["make one of them with:", *(f"  {command(plan, placed)}" for placed in found.front)]
    if found.front and (again := measure_again(plan, meter, _bundle(best or found.front[-1]))):
        lines += ["measure it again with:", f"  {again}"]
    lines.append(f"all figures: {plan.out / RESULT}")
    return "\n".join(lines)


def as_json(plan: Plan, found: Found, meter: Meter, warnings: list[str]) -> dict[str, Any]:
    """All for programs. mAP from 0 to 1."""
    best = chosen(plan, found)
    return {
        "run": str(plan.run.path),
        "data": str(plan.data),
        "images": len(plan.records),
        "seed": plan.seed,
        "cost": {
            "unit": meter.unit,
            "how": meter.label,
            "reference_ms": getattr(meter, "reference_ms", None),
            "disturbed": getattr(meter, "disturbed", None),
        },
        "target": plan.target,
        "front": [_placed(plan, found, placed, meter) for placed in found.front],
        "chosen": _placed(plan, found, best, meter) if best else None,
        "points": [_placed(plan, found, placed, meter) for placed in found.placed],
        "failed": {setting.key: why for setting, why in found.failures.items()},
        "warnings": warnings,
        "result": str(plan.out / RESULT),
    }


def late_warnings(meter: Meter) -> list[str]:
    """What the user should know of the measurements."""
    warnings = []
    disturbed = getattr(meter, "disturbed", None)
    if disturbed is not None and disturbed > DISTURBED:
        warnings.append(
            f"other programs used this machine's cores, up to {disturbed:.0%} of a measurement; how the points compare "
            "holds, but the milliseconds may be too high: end the other programs and search again with another --out"
        )
    return warnings


def missed(plan: Plan, found: Found, meter: Meter) -> BudgetError | None:
    """The error when there is a budget and nothing meets it."""
    if plan.target is None or chosen(plan, found):
        return None
    nearest = found.front[0]
    return BudgetError(
        f"nothing within {plan.target:g} {meter.unit}: the nearest costs {nearest.cost:.4g} {meter.unit} "
        f"(mask mAP {_percent(nearest.point.mask_map)} %, {nearest.point.setting.key})",
        remedy=f"give a larger budget, search smaller --sizes, or train a lighter model; the nearest is made with\n"
        f"  {command(plan, nearest)}",
    )


def chosen(plan: Plan, found: Found) -> Placed | None:
    """The point that the budget buys; None without a budget, or where nothing meets it."""
    return None if plan.target is None else found.best_within(plan.target)


def _placed(plan: Plan, found: Found, placed: Placed, meter: Meter) -> dict[str, Any]:
    return {
        **dataclasses.asdict(placed.point),
        "gmac": placed.point.gmac,
        "cost": placed.cost,
        "cost_quartiles": placed.spread,
        "command": command(plan, placed),
        "measure_again": measure_again(plan, meter, _bundle(placed)),
    }


def _with_spread(placed: Placed) -> str:
    """``8.2 (8.1 to 8.4)``."""
    if placed.spread is None:
        return f"{placed.cost:.4g}"
    low, high = placed.spread
    return f"{placed.cost:.4g} ({low:.4g} to {high:.4g})"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
