"""The page of ``edge-seg data check``: whether a training would begin, what was found, what is in each split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.data.check import Report, SplitReport
from edge_seg.data.dataset import Annotation, CocoDataset, ImageRecord
from edge_seg.data.findings import ERROR, KINDS, NOTE, WARNING, Group
from edge_seg.data.left import SMALL
from edge_seg.data.outline import decode
from edge_seg.errors import ImageError
from edge_seg.pages.blocks import (
    Answer,
    Block,
    Card,
    Cards,
    Cell,
    Column,
    Gallery,
    Grid,
    Image,
    Key,
    Legend,
    Prose,
    Section,
    State,
    Table,
    percent,
)
from edge_seg.pages.images import inline
from edge_seg.pages.page import Page
from edge_seg.pages.plots import Axis, Evidence, Line, Look, Series, chart, histogram, looks
from edge_seg.pages.shapes import Shape, draw_shapes, outlines_of
from edge_seg.runtime.image import read_image
from edge_seg.words import counted

_STATES: dict[str, State] = {ERROR: "bad", WARNING: "warn", NOTE: "off"}
_SHOWN_IMAGES, _SHOWN_OF_A_KIND, _SHOWN_FINDINGS = 24, 6, 20
_MOST_OBJECTS = 200
"""Objects drawn in one image."""


@dataclass(frozen=True)
class _Place:
    """An image of the data set, and the classes of the split that it is in."""

    record: ImageRecord
    dataset: CocoDataset


def make_page(report: Report, command: str = "", *, fixed: str = "") -> Page:
    """The report as a page; ``fixed`` says where a clean copy was written."""
    names = list(dict.fromkeys(name for split in report.splits.values() for name in split.dataset.classes))
    look = looks(names)
    places = {
        str(record.path): _Place(record, split.dataset)
        for split in report.splits.values()
        for record in split.dataset.images
    }
    sections = [Section("What was found", _findings(report, places, look), missing="Nothing is wrong with it.")]
    sections += [_split(name, split, report, look) for name, split in report.splits.items()]
    images = sum(len(split.dataset) for split in report.splits.values())
    return Page(
        title=f"Check of {report.folder.name or report.folder}",
        answer=_answer(report, fixed),
        sections=sections,
        facts=[
            str(report.folder),
            counted(images, "image"),
            f"{len(names):,} class{'es' * (len(names) != 1)}",
            f"network input {_size(report)}",
        ],
        command=command,
    )


def _answer(report: Report, fixed: str) -> Answer:
    counts = Counter(group.severity for group in report.findings.groups())
    warnings = f"{counts[WARNING]} kind{'s' * (counts[WARNING] != 1)} of warnings" if counts[WARNING] else ""
    if not report.ok:
        titles = [KINDS[group.kind].title for group in report.findings.groups(ERROR)]
        return Answer("bad", f"Not ready: {titles[0]}", "\n".join(filter(None, [*titles[1:], warnings, fixed])))
    if warnings:
        return Answer("warn", f"Ready to be trained on, with {warnings}", fixed)
    return Answer("good", "Ready to be trained on", fixed)


def _findings(report: Report, places: dict[str, _Place], look: dict[str, Look]) -> list[Block]:
    groups = report.findings.groups()
    if not groups:
        return []
    summary = Table(
        ["severity", Column("what", wide=True), Column("number", number=True), Column("what to do", wide=True)],
        [
            [
                Cell(group.severity, state=_STATES[group.severity]),
                KINDS[group.kind].title,
                f"{len(group.findings):,}",
                KINDS[group.kind].remedy,
            ]
            for group in groups
        ],
    )
    return [summary, *(block for group in groups for block in _group(group, places, look))]


def _group(group: Group, places: dict[str, _Place], look: dict[str, Look]) -> Iterable[Block]:
    rows: list[list[Cell | str]] = [
        [Cell(Path(one.file).name, title=one.file), one.subject, one.text] for one in group.findings[:_SHOWN_FINDINGS]
    ]
    kind = KINDS[group.kind]
    columns = [Column("file"), Column("subject"), Column("what is the case", wide=True)]
    yield Prose(f"{kind.title[:1].upper()}{kind.title[1:]}", _STATES[group.severity])
    yield Table(columns, rows, total=len(group.findings))
    concerned = list(dict.fromkeys(one.image for one in group.findings if one.image in places))
    images = [_draw(places[name], look) for name in concerned[:_SHOWN_OF_A_KIND]]
    if shown := [image for image in images if image is not None]:
        yield Gallery(shown, total=len(concerned), what="images with this finding")


def _split(name: str, split: SplitReport, report: Report, look: dict[str, Look]) -> Section:
    dataset, left = split.dataset, split.left
    objects = sum(split.instances_per_class.values())
    empty = sum(not record.annotations for record in dataset.images)
    cards = [
        Card("images", f"{len(dataset):,}", f"{empty:,} without an object" if empty else ""),
        Card("objects", f"{objects:,}", f"{counted(left.crowds, 'crowd')} beside them" if left.crowds else ""),
        Card("to train on", f"{left.total:,}", f"of {objects:,}", "good" if left.total else "bad"),
        *(Card(f"under {side} px", f"{left.under[side]:,}", f"shorter side, {_size(report)}") for side in SMALL),
    ]
    classes = Table(
        [
            Column("class"),
            Column("objects", number=True),
            Column("share", bar=True),
            Column("to train on", number=True),
        ],
        [_class_row(name, split, objects) for name in dataset.classes],
        caption="Objects by class",
        missing="No class is listed.",
    )
    blocks: list[Block] = [
        Prose(f"{dataset.coco_json}, layout {split.layout}"),
        Cards(cards),
        classes,
        Grid(_plots(split, report)),
        Legend([Key(name, look[name].color, "■") for name in dataset.classes[:60]]),
        Gallery(
            [image for place in _choose(dataset) if (image := _draw(place, look)) is not None],
            total=len(dataset),
            missing="No image could be read.",
        ),
    ]
    return Section(f"Split {name}", blocks)


def _class_row(name: str, split: SplitReport, objects: int) -> list[Cell | str]:
    count, kept = split.instances_per_class[name], split.left.per_class[name]
    share = count / objects if objects else 0.0
    most = max(split.instances_per_class.values(), default=0) or 1
    return [
        Cell(name, title=name),
        f"{count:,}",
        Cell(percent(share), share=count / most),
        Cell(f"{kept:,}", state=None if kept else "warn"),
    ]


def _plots(split: SplitReport, report: Report) -> list[Block]:
    dataset = split.dataset
    source = dataset.coco_json.name
    images = Evidence(counted(len(dataset), "image"), source)
    sides = split.left.sides
    limits = [Line(f"{side} px", side, "x") for side in SMALL]
    ratios = [record.width / record.height for record in dataset.images]
    counts = [float(len(record.annotations)) for record in dataset.images]
    shapes = Counter((record.width, record.height) for record in dataset.images)
    sizes = Series("images", [w for w, _ in shapes], [h for _, h in shapes], "points")
    return [
        histogram(
            f"Shorter side of the objects at {_size(report)}", sides,
            Axis("shorter side of the box", "px of the network's input", log=True),
            Evidence(counted(len(sides), "object"), source), lines=limits, missing="There is no object.",
        ),
        histogram("Objects an image", counts, Axis("objects", whole=True), images, y=_IMAGES),
        histogram("Aspect ratio of the images", ratios, Axis("width / height"), images, y=_IMAGES),
        chart(
            "Sizes of the images", [sizes], Axis("width", "px", zero=True), Axis("height", "px", zero=True),
            Evidence(f"{counted(len(dataset), 'image')} of {counted(len(shapes), 'size')}", source),
            missing="There is no image.",
        ),
    ]  # fmt: skip


_IMAGES = Axis("images", zero=True, whole=True)


def _size(report: Report) -> str:
    return f"{report.size[0]} × {report.size[1]}"


def _choose(dataset: CocoDataset) -> list[_Place]:
    """Some images from the whole of the set: first one of each class, then evenly."""
    chosen: dict[int, ImageRecord] = {}
    seen: set[int] = set()
    for number, record in enumerate(dataset.images):
        new = {a.label for a in record.annotations} - seen
        if new and len(chosen) < _SHOWN_IMAGES // 2:
            chosen[number] = record
            seen |= new
    last = len(dataset.images) - 1
    even = [round(last * step / (_SHOWN_IMAGES - 1)) for step in range(_SHOWN_IMAGES)] if dataset.images else []
    for number in dict.fromkeys(even):
        if len(chosen) < _SHOWN_IMAGES:
            chosen.setdefault(number, dataset.images[number])
    return [_Place(chosen[number], dataset) for number in sorted(chosen)]


def _draw(place: _Place, look: dict[str, Look]) -> Image | None:
    """The image with its objects; None where it can't be read, which is a finding of its own."""
    record, classes = place.record, place.dataset.classes
    try:
        pixels = read_image(record.path)
    except ImageError:
        return None
    shapes = [_shape(a, record, classes, look) for a in record.annotations[:_MOST_OBJECTS]]
    drawn = draw_shapes(pixels, shapes)
    count = len(record.annotations)
    parts = [record.path.name, f"{record.width} × {record.height}", counted(count, "object")]
    parts += [f"the first {_MOST_OBJECTS} are drawn"] if count > _MOST_OBJECTS else []
    parts += [f"{drawn.without} without room for a label"] if drawn.without else []
    return inline(drawn.pixels, ", ".join(parts), title=str(record.path))


def _shape(annotation: Annotation, record: ImageRecord, classes: Sequence[str], look: dict[str, Look]) -> Shape:
    name = classes[annotation.label]
    return Shape(
        outlines_in(annotation.segmentation, record.height, record.width),
        f"{name} (crowd)" if annotation.crowd else name,
        look[name].color,
    )


def outlines_in(segmentation: Any, height: int, width: int) -> list[NDArray[np.float32]]:
    """The outlines of a COCO segmentation, float[N, 2] each, in pixels of its image."""
    if isinstance(segmentation, list):
        return [np.asarray(polygon, np.float32).reshape(-1, 2) for polygon in segmentation]
    return outlines_of(decode(segmentation, height, width))
