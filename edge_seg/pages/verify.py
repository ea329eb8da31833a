"""The page of ``edge-seg verify``: the first stage that differs, then all differences, then where they lie."""

from __future__ import annotations

from edge_seg.pages.blocks import (
    Answer,
    Block,
    Cell,
    Code,
    Column,
    Facts,
    Figure,
    Gallery,
    Image,
    Section,
    State,
    Table,
    number,
)
from edge_seg.pages.images import inline
from edge_seg.pages.page import Page
from edge_seg.pages.plots import Axis, Evidence, Line, strips
from edge_seg.verification import TITLES, Difference, Report, Shown, StageResult
from edge_seg.words import counted

_STATES: dict[str, State] = {"ok": "good", "failed": "bad", "skipped": "off"}
_WORDS = {"ok": "within tolerance", "failed": "out of tolerance", "skipped": "not run"}


def make_page(report: Report, command: str = "") -> Page:
    """The report as a page; ``command`` is the command line that made it."""
    manifest = report.bundle.manifest
    height, width = manifest.preprocess.size
    engine = f"{manifest.engine} {manifest.engine_version}"
    run = [stage for stage in report.stages if stage.status != "skipped"]
    sections = [
        Section("Stages", [_overview(report), _plot(run, report)], lead=_LEAD),
        *(_stage(stage, report) for stage in run),
        Section(
            "Images, by the first and the last stage",
            [_gallery(report)] if report.compared else [],
            missing="No stage that was run found detections.",
        ),
        Section(
            "Bundle",
            [
                Facts([
                    ("engine", engine),
                    ("target", manifest.target),
                    ("precision", manifest.precision),
                    ("input, height × width", f"{height} × {width}"),
                    ("model", manifest.model),
                    ("folder", str(report.bundle.path)),
                ]),
                Code(report.bundle.id),
            ],
        ),
    ]  # fmt: skip
    return Page(
        title=f"Verification of {manifest.name}",
        answer=_answer(report),
        sections=sections,
        facts=[engine, manifest.target, manifest.precision, report.bundle.id[:16]],
        command=command,
    )


_LEAD = (
    "The same images go through every form of the model. Each stage is compared with the one named beside it; the first"
    " that leaves its tolerance is where a fault lies."
)


def _answer(report: Report) -> Answer:
    left = [stage.title for stage in report.stages if stage.status == "skipped"]
    not_run = f"Not run: {'; '.join(left)}." if left else ""
    if report.first is None:
        return Answer("good", "Every stage that was run is within its tolerance", not_run)
    stage, difference = report.first
    image = report.image_name(difference)
    where = f" in {image}" if image else ""
    detail = f"Its first tensor that differs: {difference.tensor}{where}. {difference}"
    return Answer("bad", f"The first stage that differs: {stage.title}", detail)


def _overview(report: Report) -> Table:
    return Table(
        ["stage", "state", "compared with", Column("nearest to its limit"), Column("of the limit", bar=True),
         Column("time", number=True)],
        [_overview_row(stage) for stage in report.stages],
    )  # fmt: skip


def _overview_row(stage: StageResult) -> list[Cell | str]:
    state, title = stage.status, stage.title
    if state == "skipped":
        # A row's cells beyond the reason have nothing to hold.
        return [title, Cell(_WORDS[state], note=stage.skipped, state="off"), "", "", "", ""]
    worst = stage.fault or max(stage.differences, key=lambda item: item.closeness)
    return [
        Cell(title, href=f"#{stage.name}"),
        Cell(_WORDS[state], state=_STATES[state]),
        TITLES.get(stage.against, stage.against),
        worst.tensor if worst.worst is not None or not worst.ok else "",
        _of_limit(worst),
        f"{stage.seconds:.1f} s",
    ]


def _of_limit(item: Difference) -> Cell:
    """The worst difference as a part of its limit."""
    state: State | None = None if item.ok else "bad"
    if item.worst is None:
        return Cell("" if item.ok else "differs", state=state)
    if item.limit is None:
        return Cell("not judged")
    if not item.limit:
        return Cell("none allowed", state=state)
    near = item.closeness
    text = f"{number(100 * near, digits=2)} %" if near <= 1 else f"{number(near, digits=2)} ×"
    return Cell(text, share=min(1.0, near), state=state)


def _plot(stages: list[StageResult], report: Report) -> Figure:
    shares = {
        stage.name: [item.closeness for item in stage.differences if item.worst is not None and item.limit]
        for stage in stages
    }
    shares = {name: values for name, values in shares.items() if values}
    count = sum(map(len, shares.values()))
    equal = sum(share == 0 for values in shares.values() for share in values)
    return strips(
        "How near each tensor comes to its limit",
        {name: [share for share in values if share] for name, values in shares.items()},
        Axis("largest difference as a part of its limit", log=True),
        Evidence(f"{counted(count, 'tensor')}, {equal} of them equal and not drawn", f"bundle {report.bundle.id[:16]}"),
        lines=[Line("limit", 1.0)],
        median=False,
        wide=True,
        missing="No difference was measured." if not count else f"{counted(count, 'tensor')}: equal to the last bit.",
    )


def _stage(stage: StageResult, report: Report) -> Section:
    blocks: list[Block] = []
    measured = [item for item in stage.differences if item.worst is not None]
    told = [item for item in stage.differences if item.worst is None]
    columns: list[Column | str]
    rows: list[list[Cell | str]]
    if measured:
        numbers = [Column(name, number=True) for name in ("largest difference", "mean", "limit")]
        columns = ["tensor", *numbers, "unit", Column("of the limit", bar=True), Column("remarks", wide=True)]
        blocks.append(Table(columns, [_row(item, report) for item in measured]))
    if told:
        columns = ["checked", Column("result", wide=True)]
        rows = [[Cell(item.tensor, state="good" if item.ok else "bad"), _remark(item, report)] for item in told]
        blocks.append(Table(columns, rows))
    if stage.shown:
        blocks.append(_image(stage.shown, 960))
    against = TITLES.get(stage.against, stage.against)
    lead = f"{_WORDS[stage.status].capitalize()}." + (f" Compared with: {against}." if against else "")
    return Section(stage.title, blocks, lead=lead, state=_STATES[stage.status], id=stage.name)


def _row(item: Difference, report: Report) -> list[Cell | str]:
    return [
        Cell(item.tensor, state=None if item.ok else "bad"),
        number(item.worst),
        number(item.mean),
        number(item.limit),
        item.unit,
        _of_limit(item),
        _remark(item, report),
    ]


def _remark(item: Difference, report: Report) -> str:
    image = report.image_name(item) if not item.ok else None
    return "; ".join(filter(None, [item.note, image and f"in {image}"]))


def _gallery(report: Report) -> Gallery:
    """One image a row, as each of the two stages sees it; one stage where no other computed."""
    images = [
        _image(Shown(f"{compared.name}. {shown.caption}", shown.pixels))
        for compared in report.compared
        for shown in compared.shown
    ]
    return Gallery(images, total=len(report.images), each=len(report.compared[0].shown))


def _image(shown: Shown, longest: int = 720) -> Image:
    return inline(shown.pixels, shown.caption, form="png", longest=longest)
