"""The page of a search: what the budget buys, the Pareto front, every point that was tried, how it was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from convert.tune import report
from convert.tune.meter import Meter
from convert.tune.plot import FrontPlot, Mark
from convert.tune.run import Found, Placed, Plan
from edge_seg.pages.blocks import (
    Answer,
    Block,
    Cell,
    Code,
    Column,
    Facts,
    Fold,
    Prose,
    Section,
    Table,
    absent,
    number,
    percent,
)
from edge_seg.pages.page import Page


def front_plot(plan: Plan, found: Found, meter: Meter) -> FrontPlot:
    """The plot of accuracy against cost."""
    chosen = report.chosen(plan, found)
    others = [p for p in found.placed if p not in found.front]
    return FrontPlot(
        title=f"Mask mAP against cost, {Path(plan.run.path).name}",
        unit=meter.unit,
        n=f"{len(others) + len(found.front)} points on {len(plan.records)} images",
        source=str(plan.out / report.RESULT),
        others=[_mark(placed) for placed in others],
        front=[_mark(placed) for placed in found.front],
        budget=plan.target,
        chosen=_mark(chosen) if chosen else None,
    )


def make_page(plan: Plan, found: Found, meter: Meter, warnings: Sequence[str]) -> Page:
    """The page; its numbers are those of ``--json``."""
    front = Section("Pareto front", [front_plot(plan, found, meter).figure(), _table(plan, found.front, found, meter)])
    commands = [
        Fold(f"Make {placed.point.setting.key}", [Code(report.command(plan, placed))]) for placed in found.front
    ]
    rest = [placed for placed in found.placed if placed not in found.front]
    others = [_table(plan, rest, found, meter)] if rest else []
    return Page(
        title=f"Tuning of {Path(plan.run.path).name}",
        answer=_answer(plan, found, meter),
        sections=[
            front,
            Section("Commands", commands, missing="There is no point to make."),
            Section("Other points", others, missing="All are on the front."),
            Section("Failed", _failed(found), missing="No point failed."),
            Section("How it was measured", _how(plan, found, meter, warnings)),
        ],
        facts=[plan.run.config.model, f"{len(found.placed)} of {len(plan.candidates)} points", f"cost in {meter.unit}"],
        command=plan.command,
    )


def _answer(plan: Plan, found: Found, meter: Meter) -> Answer:
    chosen = report.chosen(plan, found)
    if chosen is not None:
        accuracy = percent(chosen.point.mask_map)
        headline = f"Mask mAP {accuracy} for {_cost(chosen, meter)}, within {plan.target:g} {meter.unit}"
        return Answer("good", headline, report.command(plan, chosen))
    if not found.front:
        return Answer("bad", "No point could be measured", "The reasons are below.")
    problem = report.missed(plan, found, meter)
    if problem is not None:
        return Answer("bad", f"Nothing within {plan.target:g} {meter.unit}", str(problem))
    best, least = found.front[-1], found.front[0]
    return Answer(
        "good",
        f"{len(found.front)} points on the Pareto front",
        f"From {_cost(least, meter)} for mask mAP {percent(least.point.mask_map)} "
        f"to {_cost(best, meter)} for {percent(best.point.mask_map)}.",
    )


def _cost(placed: Placed, meter: Meter) -> str:
    return number(placed.cost, meter.unit)


def _table(plan: Plan, shown: Sequence[Placed], found: Found, meter: Meter) -> Table:
    spread = any(placed.spread for placed in shown)
    numbers = ("mask mAP", "box mAP", "size", "proposals", "before NMS", "kept", "box head")
    columns = [
        Column(f"cost, {meter.unit}", number=True),
        *([Column("quartiles", number=True)] if spread else []),
        *(Column(name, number=True) for name in numbers),
        Column("recipe"),
    ]
    chosen = report.chosen(plan, found)
    rows: list[list[Cell | str]] = []
    for placed in sorted(shown, key=lambda one: one.cost):
        point, setting = placed.point, placed.point.setting
        cost: list[Cell | str] = [Cell(number(placed.cost), state="good" if placed is chosen else None)]
        if spread:
            cost.append(" to ".join(map(number, placed.spread)) if placed.spread else "")
        accuracy = [_accuracy(value) for value in (point.mask_map, point.box_map)]
        counts = (setting.proposals, setting.before_nms, setting.keep, setting.box_width)
        size = f"{setting.size[0]} × {setting.size[1]}"
        rows.append([*cost, *accuracy, size, *map(number, counts), setting.recipe])
    return Table(columns, rows, missing="No point.")


def _accuracy(value: float | None) -> Cell:
    return absent("no object in the images") if value is None else Cell(percent(value))


def _failed(found: Found) -> list[Block]:
    rows = [[setting.key, why] for setting, why in found.failures.items()]
    return [Table(["point", Column("why it failed", wide=True)], rows)] if rows else []


def _how(plan: Plan, found: Found, meter: Meter, warnings: Sequence[str]) -> list[Block]:
    disturbed = getattr(meter, "disturbed", None)
    reference = getattr(meter, "reference_ms", None)
    facts = [
        ("cost", meter.label),
        ("accuracy", f"COCO mAP (0.50:0.95) on {len(plan.records):,} images of {plan.data}"),
        ("seed", str(plan.seed)),
        ("run", str(plan.run.path)),
        ("all numbers", str(plan.out / report.RESULT)),
    ]
    if reference is not None:
        facts.append(("everything full", number(reference, "ms")))
    if disturbed is not None:
        facts.append(("share of a measurement that other programs took, at most", percent(disturbed)))
    return [*(Prose(warning, "warn") for warning in warnings), Facts(facts)]


def _mark(placed: Placed) -> Mark:
    setting = placed.point.setting
    height, width = setting.size
    accuracy = placed.point.mask_map
    # Where there is no object to find, there is no accuracy to draw.
    label = f"{height}×{width}, {setting.proposals} proposals"
    return Mark(placed.cost, math.nan if accuracy is None else accuracy, label)
