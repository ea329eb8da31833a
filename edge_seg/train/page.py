"""The page of a training and of ``edge-seg eval``: mAP first, then curves, classes, errors and the worst images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edge_seg.data.coco import CocoDataset, ImageRecord
from edge_seg.data.page import outlines_in
from edge_seg.errors import ImageError, RunError
from edge_seg.pages.blocks import (
    Answer,
    Block,
    Card,
    Cards,
    Cell,
    Column,
    Facts,
    Figure,
    Gallery,
    Grid,
    Image,
    Key,
    Legend,
    Prose,
    Section,
    Table,
    absent,
    percent,
)
from edge_seg.pages.images import inline
from edge_seg.pages.page import Page, require, this_command
from edge_seg.pages.plots import Axis, Evidence, Look, Series, chart, looks, matrix
from edge_seg.pages.shapes import Shape, draw_shapes
from edge_seg.runtime.image import read_image
from edge_seg.train.breakdown import ERRORS, SURE, Breakdown, ImageErrors, Scores, break_down
from edge_seg.train.run import METRICS, REPORT, RunConfig
from edge_seg.words import counted

Metrics = Sequence[Mapping[str, Any]]
"""The lines of a run's ``metrics.jsonl``."""
_WORST, _EXAMPLES = 8, 8
_MOST_CURVES = 6
_UNDO = "undo the edit, or delete the line"
_LONGEST_SIDE = 480
_LOSSES = {
    "loss": "sum",
    "rpn_cls": "proposals, class",
    "rpn_reg": "proposals, box",
    "box_cls": "box head, class",
    "box_reg": "box head, box",
    "mask": "mask head",
}


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl``, none where there is no such file; a last line that was cut short is left out.

    Raises RunError naming a line that isn't a JSON object.
    """
    file = run / METRICS
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    found: list[dict[str, Any]] = []
    for place, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as problem:
            if place == len(lines):
                break
            raise RunError(f"{file}, line {place}: not JSON: {problem}", remedy=_UNDO) from None
        if not isinstance(value, dict) or not isinstance(value.get("step"), int):
            raise RunError(
                f"{file}, line {place}: expected an object with a step", remedy="undo the edit, or delete it"
            )
        found.append(value)
    return found


def write_report(run: Path, config: RunConfig, dataset: CocoDataset, results: Sequence[dict[str, Any]]) -> None:
    """Writes ``report.html`` into a run's folder; ``results`` are of the newest evaluation, on all of ``dataset``.

    Raises MissingDependencyError without the extra "report".
    """
    require("jinja2", "matplotlib")
    page = make_page(
        f"Training of {run.resolve().name}",
        break_down(dataset, dataset.images, results),
        dataset,
        dataset.images,
        results,
        metrics=read_metrics(run),
        config=config,
        command=this_command(),
    )
    page.write(run / REPORT)


def make_page(
    title: str,
    breakdown: Breakdown | None,
    dataset: CocoDataset | None,
    records: Sequence[ImageRecord] = (),
    results: Sequence[Mapping[str, Any]] = (),
    *,
    metrics: Metrics = (),
    config: RunConfig | None = None,
    command: str = "",
    versions: Mapping[str, str] | None = None,
) -> Page:
    """The page of an evaluation of ``records``, images of ``dataset``; with ``metrics``, of a training.

    ``breakdown`` (None before the first evaluation) is of ``results``, COCO results as they were given to it.
    """
    sections: list[Section] = []
    if config is not None or metrics:
        sections.append(Section("Training", _curves(metrics), missing="No step was logged yet."))
    if breakdown is not None and dataset is not None:
        look = looks(dataset.classes)
        worst = sorted(breakdown.images, key=lambda one: (-one.errors, one.image_id))
        sections += [
            Section("Accuracy", _accuracy(breakdown)),
            Section("Classes", _classes(breakdown, look), missing="The data has no class."),
            Section("Errors", _errors(breakdown, dataset, len(records)), lead=_ERRORS_LEAD),
            Section(
                "The worst images",
                _images([one for one in worst if one.errors][:_WORST], dataset, records, results, look),
                lead=f"Truth on the left, detections from score {SURE:g} on on the right; most errors first.",
                missing="No image has an error.",
            ),
            Section(
                "Examples",
                _images(_evenly(breakdown.images, _EXAMPLES), dataset, records, results, look),
                lead=f"From the whole of the data, truth on the left, detections from score {SURE:g} on on the right.",
                missing="There is no image.",
            ),
        ]
    if config is not None:
        sections.append(Section("Settings", [_settings(config)]))
    return Page(
        title=title,
        answer=_answer(breakdown, metrics, len(records)),
        sections=sections,
        facts=_facts(config, dataset, records),
        command=command,
        versions=versions or {},
    )


_ERRORS_LEAD = (
    "What mask AP50 would gain if all errors of one kind were mended and nothing else, as TIDE counts it"
    " (Bolya et al., 2020)."
)


def _facts(config: RunConfig | None, dataset: CocoDataset | None, records: Sequence[ImageRecord]) -> list[str]:
    facts = [config.model, f"input {config.size[0]} × {config.size[1]}"] if config else []
    if dataset is not None:
        facts += [str(dataset.coco_json), counted(len(records), "image")]
    return facts


def _answer(breakdown: Breakdown | None, metrics: Metrics, images: int) -> Answer:
    evaluated = [line for line in metrics if line.get("kind") == "eval"]
    where = f"after step {evaluated[-1]['step']:,}. " if evaluated else ""
    if breakdown is None:
        return Answer("off", "Not evaluated yet", "The page has the mAP after the first evaluation.")
    if breakdown.mask.ap is None:
        return Answer("warn", "No mAP: there is no object to find", f"In {counted(images, 'image')}.")
    costly = max(breakdown.costs, key=lambda kind: breakdown.costs[kind])
    detail = f"{where.capitalize()}Box mAP {_show(breakdown.box.ap)}, mask AP50 {_show(breakdown.mask.ap50)}."
    if breakdown.costs[costly] > 0:
        gain = 100 * breakdown.costs[costly]
        detail += f" The costliest kind of error: {costly} ({ERRORS[costly]}), {gain:.1f} points of AP50."
    return Answer("good", f"Mask mAP {_show(breakdown.mask.ap)} on {counted(images, 'image')}", detail)


def _show(value: float | None) -> str:
    return percent(value)


def _curves(metrics: Metrics) -> list[Block]:
    steps = [line for line in metrics if line.get("kind") == "train"]
    evaluated = [line for line in metrics if line.get("kind") == "eval"]
    if not metrics:
        return []
    step = Axis("step", whole=True, zero=True)
    names = [name for name in _LOSSES if any(name in line for line in steps)]
    losses = [_series(_LOSSES[name], steps, name) for name in names]
    accuracy = [
        _series(name, evaluated, key, 100.0)
        for name, key in (("mask mAP", "mask_map"), ("box mAP", "box_map"), ("mask AP50", "mask_ap50"))
    ]
    rate = [_series("learning rate", steps, "lr")]
    logged = Evidence(counted(len(steps), "logged step"), f"{METRICS}, means since the line before")
    often = Evidence(counted(len(evaluated), "evaluation"), METRICS)
    none, never = "No step was logged yet.", "There was no evaluation yet."
    return [
        Grid([
            chart("mAP", accuracy, step, Axis("mAP", "%", zero=True), often, missing=never),
            chart("Losses", losses, step, Axis("loss", zero=True), logged, missing=none),
            chart("Learning rate", rate, step, Axis("learning rate", zero=True), logged, missing=none),
        ])
    ]  # fmt: skip


def _series(name: str, lines: Metrics, key: str, factor: float = 1.0) -> Series:
    points = [(line["step"], line[key]) for line in lines if isinstance(line.get(key), int | float)]
    return Series(name, [x for x, _ in points], [factor * y for _, y in points])


def _accuracy(breakdown: Breakdown) -> list[Block]:
    cards = [
        Card("mask mAP", _show(breakdown.mask.ap), "IoU 0.50 to 0.95"),
        Card("mask AP50", _show(breakdown.mask.ap50), "IoU 0.50"),
        Card("mask AP75", _show(breakdown.mask.ap75), "IoU 0.75"),
        Card("box mAP", _show(breakdown.box.ap), "IoU 0.50 to 0.95"),
        Card("recall", _show(breakdown.mask.ar100), "masks, 100 detections an image"),
    ]
    rows: list[list[Cell | str]] = [
        [_NAMES[name], *(_score(getattr(scores, name)) for scores in (breakdown.mask, breakdown.box))]
        for name in asdict(breakdown.mask)
    ]
    columns = [Column("COCO's numbers"), Column("masks", number=True), Column("boxes", number=True)]
    return [Cards(cards), Table(columns, rows)]


_NAMES = {
    "ap": "AP, IoU 0.50 to 0.95 (mAP)",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP, small objects (under 32² px)",
    "ap_medium": "AP, medium objects",
    "ap_large": "AP, large objects (from 96² px)",
    "ar1": "AR, 1 detection an image",
    "ar10": "AR, 10 detections an image",
    "ar100": "AR, 100 detections an image",
    "ar_small": "AR, small objects",
    "ar_medium": "AR, medium objects",
    "ar_large": "AR, large objects",
}


def _score(value: float | None) -> Cell:
    return absent("no such object") if value is None else Cell(percent(value))


def _classes(breakdown: Breakdown, look: dict[str, Look]) -> list[Block]:
    if not breakdown.classes:
        return []
    numbers = ("mask AP50", "mask AP75", "small", "medium", "large", "AR", "box mAP", "objects", "detections")
    columns = [Column("class"), Column("mask mAP", bar=True), *(Column(name, number=True) for name in numbers)]
    rows = [_class_row(one.name, one.mask, one.box, one.objects, one.detections) for one in breakdown.classes]
    return [Table(columns, rows), Grid([_precision(breakdown, look), _confused(breakdown)])]


def _class_row(name: str, mask: Scores, box: Scores, objects: int, detections: int) -> list[Cell | str]:
    first = absent("no object") if mask.ap is None else Cell(percent(mask.ap), share=mask.ap)
    values = (mask.ap50, mask.ap75, mask.ap_small, mask.ap_medium, mask.ap_large, mask.ar100, box.ap)
    return [Cell(name, title=name), first, *(percent(value) for value in values), f"{objects:,}", f"{detections:,}"]


def _precision(breakdown: Breakdown, look: dict[str, Look]) -> Figure:
    known = [one for one in breakdown.classes if len(one.precision)]
    # Of many classes the best and the worst are told apart; all are in the table.
    ranked = sorted(known, key=lambda one: one.mask.ap50 or 0.0)
    chosen = known if len(known) <= _MOST_CURVES else [*ranked[: _MOST_CURVES // 2], *ranked[-_MOST_CURVES // 2 :]]
    recalls = np.linspace(0, 100, 101).tolist()
    series = [Series(one.name, recalls, (100 * one.precision).tolist()) for one in chosen]
    which = "" if len(chosen) == len(known) else f", the {len(chosen)} best and worst of {counted(len(known), 'class')}"
    objects = sum(one.objects for one in known)
    return chart(
        "Precision against recall, masks at IoU 0.50",
        series,
        Axis("recall", "%", limits=(0, 100)),
        Axis("precision", "%", limits=(0, 104)),
        Evidence(f"{counted(objects, 'object')}{which}", "this evaluation"),
        look=look,
        missing="No class has an object.",
    )


def _confused(breakdown: Breakdown) -> Figure:
    counts = breakdown.confusion.astype(np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    names = [one.name for one in breakdown.classes]
    objects = counted(int(breakdown.confusion[:-1].sum()), "object")
    return matrix(
        "What each class is taken for",
        [*names, "(nothing)"],
        [*names, "(missed)"],
        shares,
        f"found from score {SURE:g} on",
        "truth",
        Evidence(f"{objects}, shares of a row; masks paired from IoU 0.50 on", "this evaluation"),
        missing="There is neither an object nor a detection.",
    )


def _errors(breakdown: Breakdown, dataset: CocoDataset, images: int) -> list[Block]:
    most = max(breakdown.costs.values(), default=0.0) or 1.0
    rows: list[list[Cell | str]] = [
        [
            kind,
            Cell(f"{100 * cost:.1f}", share=cost / most),
            f"{breakdown.counts[kind]:,}",
            ERRORS[kind],
        ]
        for kind, cost in sorted(breakdown.costs.items(), key=lambda item: -item[1])
    ]
    columns = [Column("kind"), Column("points of AP50", bar=True), Column("number", number=True)]
    errors = sum(breakdown.counts.values())
    caption = f"{counted(errors, 'error')} in {counted(images, 'image')}, detections of every score"
    table = Table([*columns, Column("what it is", wide=True)], rows, caption=caption)
    if not breakdown.unlisted:
        return [table]
    return [
        table,
        Prose(f"{counted(breakdown.unlisted, 'detection')} of classes that the data doesn't list: not judged."),
    ]


def _evenly(images: Sequence[ImageErrors], most: int) -> list[ImageErrors]:
    count = min(most, len(images))
    return [images[round(place * (len(images) - 1) / max(1, count - 1))] for place in range(count)]


def _images(
    chosen: Sequence[ImageErrors],
    dataset: CocoDataset,
    records: Sequence[ImageRecord],
    results: Sequence[Mapping[str, Any]],
    look: dict[str, Look],
) -> list[Block]:
    known = {record.id: record for record in records}
    pairs: list[Image] = []
    unread = []
    for one in chosen:
        record = known[one.image_id]
        try:
            pixels = read_image(record.path)
        except ImageError as problem:
            unread.append(Prose(problem.message, "warn"))
            continue
        own = [found for found in results if found["image_id"] == record.id and found["score"] >= SURE]
        found_text = f"{one.right} right, {one.wrong} wrong, {one.missed} missed"
        for shapes, caption in (
            (_truth(record, dataset, look), f"{record.path.name}: {counted(len(record.annotations), 'object')}"),
            (_found(own, record, dataset, look), f"found: {found_text}"),
        ):
            drawn = draw_shapes(pixels, shapes, longest=_LONGEST_SIDE)
            more = f"; {drawn.without} without room for a label" if drawn.without else ""
            pairs.append(inline(drawn.pixels, f"{caption}{more}", title=str(record.path)))
    if not pairs:
        return [*unread]
    legend = Legend([Key(name, look[name].color, "■") for name in dataset.classes[:60]])
    return [legend, *unread, Gallery(pairs, total=len(records), each=2)]


def _truth(record: ImageRecord, dataset: CocoDataset, look: dict[str, Look]) -> list[Shape]:
    return [
        Shape(
            outlines_in(a.segmentation, record.height, record.width),
            f"{dataset.classes[a.label]}{' (crowd)' if a.crowd else ''}",
            look[dataset.classes[a.label]].color,
        )
        for a in record.annotations
    ]


def _found(
    results: Sequence[Mapping[str, Any]], record: ImageRecord, dataset: CocoDataset, look: dict[str, Look]
) -> list[Shape]:
    names = dict(zip(dataset.category_ids, dataset.classes, strict=True))
    return [
        Shape(
            outlines_in(one["segmentation"], record.height, record.width),
            f"{names[one['category_id']]} {one['score']:.2f}",
            look[names[one["category_id"]]].color,
        )
        for one in sorted(results, key=lambda one: -one["score"])
        if one["category_id"] in names
    ]


def _settings(config: RunConfig) -> Facts:
    items = [("model", config.model), ("input, height × width", f"{config.size[0]} × {config.size[1]}")]
    items += [("data", config.data), ("classes", ", ".join(config.classes[:20]))]
    for name, value in asdict(config.settings).items():
        values = value if isinstance(value, list | tuple) else [value]
        items.append((name.replace("_", " "), ", ".join(map(_setting, values)) or "none"))
    return Facts(items)


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
