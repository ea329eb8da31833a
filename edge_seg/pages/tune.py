"""The page of a search: what the budget buys, the Pareto front, every point that was tried, how it was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
from edge_seg.pages.pareto import FrontPlot, Mark
from edge_seg.tuning import Placed, Tuning
from edge_seg.words import counted


def front_plot(tuning: Tuning) -> FrontPlot:
    """The plot of accuracy against cost."""
    chosen = tuning.chosen
    return FrontPlot(
        title=f"Mask mAP against cost, {tuning.run.name}",
        unit=tuning.unit,
        n=f"{counted(len(tuning.others) + len(tuning.front), 'point')} on {counted(tuning.images, 'image')}",
        source=str(tuning.result),
        others=[_mark(placed) for placed in tuning.others],
        front=[_mark(placed) for placed in tuning.front],
        budget=tuning.target,
        chosen=_mark(chosen) if chosen else None,
    )


def make_page(tuning: Tuning) -> Page:
    """The page; its numbers are those of ``--json``."""
    commands = [Fold(f"Make {placed.point.setting.key}", [Code(placed.command)]) for placed in tuning.front]
    others = [_table(tuning, tuning.others)] if tuning.others else []
    return Page(
        title=f"Tuning of {tuning.run.name}",
        answer=_answer(tuning),
        sections=[
            Section("Pareto front", [front_plot(tuning).figure(), _table(tuning, tuning.front)]),
            Section("Commands", commands, missing="There is no point to make."),
            Section("Other points", others, missing="All are on the front."),
            Section("Failed", _failed(tuning), missing="No point failed."),
            Section("How it was measured", _how(tuning)),
        ],
        facts=[
            tuning.model,
            f"{len(tuning.front) + len(tuning.others)} of {tuning.possible} points",
            f"cost in {tuning.unit}",
        ],
        command=tuning.command,
    )


def _answer(tuning: Tuning) -> Answer:
    chosen = tuning.chosen
    if chosen is not None:
        accuracy = percent(chosen.point.mask_map)
        headline = f"Mask mAP {accuracy} for {_cost(chosen, tuning)}, within {tuning.target:g} {tuning.unit}"
        return Answer("good", headline, chosen.command)
    if not tuning.front:
        return Answer("bad", "No point could be measured", "The reasons are below.")
    best, least = tuning.front[-1], tuning.front[0]
    if tuning.missed:
        nearest = f"The nearest costs {_cost(least, tuning)}: {least.command}"
        return Answer("bad", f"Nothing within {tuning.target:g} {tuning.unit}", nearest)
    return Answer(
        "good",
        f"{counted(len(tuning.front), 'point')} on the Pareto front",
        f"From {_cost(least, tuning)} for mask mAP {percent(least.point.mask_map)} "
        f"to {_cost(best, tuning)} for {percent(best.point.mask_map)}.",
    )


def _cost(placed: Placed, tuning: Tuning) -> str:
    return number(placed.cost, tuning.unit)


def _table(tuning: Tuning, shown: Sequence[Placed]) -> Table:
    spread = any(placed.spread for placed in shown)
    numbers = ("mask mAP", "box mAP", "size", "proposals", "before NMS", "kept", "box head")
    columns = [
        Column(f"cost, {tuning.unit}", number=True),
        *([Column("quartiles", number=True)] if spread else []),
        *(Column(name, number=True) for name in numbers),
        Column("recipe"),
    ]
    rows: list[list[Cell | str]] = []
    for placed in sorted(shown, key=lambda one: one.cost):
        point, setting = placed.point, placed.point.setting
        cost: list[Cell | str] = [Cell(number(placed.cost), state="good" if placed is tuning.chosen else None)]
        if spread:
            cost.append(" to ".join(map(number, placed.spread)) if placed.spread else "")
        accuracy = [_accuracy(value) for value in (point.mask_map, point.box_map)]
        counts = (setting.proposals, setting.before_nms, setting.keep, setting.box_width)
        size = f"{setting.size[0]} × {setting.size[1]}"
        rows.append([*cost, *accuracy, size, *map(number, counts), setting.recipe])
    return Table(columns, rows, missing="No point.")


def _accuracy(value: float | None) -> Cell:
    return absent("no object in the images") if value is None else Cell(percent(value))


def _failed(tuning: Tuning) -> list[Block]:
    rows = [[key, why] for key, why in tuning.failures.items()]
    return [Table(["point", Column("why it failed", wide=True)], rows)] if rows else []


def _how(tuning: Tuning) -> list[Block]:
    facts = [
        ("cost", tuning.how),
        ("accuracy", f"COCO mAP (0.50:0.95) on {tuning.images:,} images of {tuning.data}"),
        ("seed", str(tuning.seed)),
        ("run", str(tuning.run)),
        ("all numbers", str(tuning.result)),
    ]
    if tuning.reference_ms is not None:
        facts.append(("everything full", number(tuning.reference_ms, "ms")))
    if tuning.disturbed is not None:
        facts.append(("share of a measurement that other programs took, at most", percent(tuning.disturbed)))
    return [*(Prose(warning, "warn") for warning in tuning.warnings), Facts(facts)]


def _mark(placed: Placed) -> Mark:
    setting = placed.point.setting
    height, width = setting.size
    accuracy = placed.point.mask_map
    # Where there is no object to find, there is no accuracy to draw.
    label = f"{height}×{width}, {setting.proposals} proposals"
    return Mark(placed.cost, math.nan if accuracy is None else accuracy, label)
