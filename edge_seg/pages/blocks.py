"""What a page is built of. Plain values: all text is escaped where the page is rendered, never before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

State: TypeAlias = Literal["good", "warn", "bad", "off"]
"""How something is. A page shows it by a mark and a colour; the words beside it come from who builds the page."""

PLOT_ID = "edge-seg-plot-id-"
"""How ids inside a figure begin; the page puts a number of its own in the place of it for each."""
MOST_ROWS = 500
"""Rows of a table that a page shows; it says how many there are."""


@dataclass(frozen=True)
class Answer:
    """What a reader sees first: ``ready, with 3 warnings``; ``detail`` says what to do or where to look."""

    state: State
    headline: str
    detail: str = ""


@dataclass(frozen=True)
class Column:
    """A column. ``number`` aligns it to the right, ``bar`` is for cells with a ``share``, ``wide`` for sentences."""

    name: str
    number: bool = False
    bar: bool = False
    wide: bool = False


@dataclass(frozen=True)
class Cell:
    """A table's cell.

    ``title`` is shown when a pointer rests on the cell: the whole of what ``text`` shortens. ``note`` is a smaller
    line below. ``href`` names a section of this page (``#section``). ``share``, 0 to 1, is drawn as a bar.
    """

    text: str
    note: str = ""
    title: str = ""
    state: State | None = None
    href: str = ""
    share: float | None = None


@dataclass(frozen=True)
class Table:
    """Rows of as many cells as there are columns, the first :data:`MOST_ROWS` of them shown.

    ``total`` is how many rows there would be, where ``rows`` is only a part of them already. ``missing`` is shown where
    there are none.
    """

    kind: ClassVar = "table"

    columns: Sequence[Column | str]
    rows: Sequence[Sequence[Cell | str]]
    caption: str = ""
    total: int | None = None
    missing: str = "Nothing to list."

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.caption!r}: a row of {len(row)} cells under {len(self.columns)} columns")

    @property
    def heads(self) -> list[Column]:
        """The columns, those given by name alone too."""
        return [Column(column) if isinstance(column, str) else column for column in self.columns]

    @property
    def shown(self) -> list[list[Cell]]:
        """The rows that the page shows."""
        return [[Cell(cell) if isinstance(cell, str) else cell for cell in row] for row in self.rows[:MOST_ROWS]]

    @property
    def count(self) -> int:
        """How many rows there are, shown or not."""
        return max(len(self.rows), self.total or 0)


@dataclass(frozen=True)
class Prose:
    """A paragraph; with a ``state``, a remark that stands out."""

    kind: ClassVar = "prose"

    text: str
    state: State | None = None


@dataclass(frozen=True)
class Facts:
    """Names and values, such as settings or versions."""

    kind: ClassVar = "facts"

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Card:
    """One figure that matters: ``value`` with its unit, ``note`` on how it came about."""

    label: str
    value: str
    note: str = ""
    state: State | None = None


@dataclass(frozen=True)
class Cards:
    """A row of cards."""

    kind: ClassVar = "cards"

    cards: Sequence[Card]


@dataclass(frozen=True)
class Key:
    """An entry of a plot's legend: its colour in CSS, and the marker by which it is known without colour."""

    name: str
    color: str
    glyph: str


@dataclass(frozen=True)
class Figure:
    """A plot. ``svg`` goes into the page as it is: only :mod:`edge_seg.pages.plots` makes it, from escaped text."""

    kind: ClassVar = "figure"

    title: str
    svg: str
    legend: tuple[Key, ...] = ()
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Image:
    """An image inside the page: ``source`` is a ``data:`` address made by :mod:`edge_seg.pages.images`."""

    kind: ClassVar = "image"

    source: str
    width: int
    height: int
    caption: str
    title: str = ""


@dataclass(frozen=True)
class Gallery:
    """Images in a grid. ``total`` is how many there are of which these are a selection; ``each`` is a group's size.

    ``each=2`` keeps pairs (truth and prediction) side by side. Images that the page has no room for are left out in
    whole groups, and the count says so.
    """

    kind: ClassVar = "gallery"

    images: Sequence[Image]
    total: int | None = None
    what: str = "images"
    each: int = 1
    missing: str = "No images."


@dataclass(frozen=True)
class Code:
    """Text in a fixed pitch, such as a command."""

    kind: ClassVar = "code"

    text: str


@dataclass(frozen=True)
class Fold:
    """Blocks that are shown when they are asked for."""

    kind: ClassVar = "fold"

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Grid:
    """Blocks side by side where there is room."""

    kind: ClassVar = "grid"

    blocks: Sequence[Block]


@dataclass(frozen=True)
class Legend:
    """What the colours of the images or tables around it mean."""

    kind: ClassVar = "legend"

    keys: Sequence[Key]


Block: TypeAlias = Legend | Prose | Facts | Cards | Table | Figure | Image | Gallery | Code | Fold | Grid


@dataclass(frozen=True)
class Section:
    """A part of the page. ``missing`` is shown where there are no blocks: why there is nothing, and how to get it.

    ``id`` is what ``#id`` links to; without it the page makes one of the title.
    """

    title: str
    blocks: Sequence[Block]
    lead: str = ""
    state: State | None = None
    id: str = ""
    missing: str = "Nothing to show."


def number(value: float | None, unit: str = "", *, digits: int = 3, missing: str = "–") -> str:
    """``value`` with ``digits`` significant digits, thousands separated: ``1,312``, ``90.1 ms``, ``2.1e-06``."""
    if value is None:
        return missing
    if math.isnan(value):
        text = "not a number"
    elif math.isinf(value):
        text = "infinite" if value > 0 else "−infinite"
    elif isinstance(value, int) or not value:
        text = f"{value:,.0f}"
    elif not 1e-3 <= abs(value) < 1e15:
        text = f"{value:.{digits - 1}e}"
    else:
        # Rounded first: 999.7 has three digits, and none behind the point.
        rounded = float(f"{value:.{digits - 1}e}")
        before = math.floor(math.log10(abs(rounded))) + 1
        text = f"{rounded:,.{max(0, digits - before)}f}" if before <= digits else f"{value:,.0f}"
    return f"{text} {unit}" if unit else text


def percent(value: float | None, *, digits: int = 1, missing: str = "–") -> str:
    """A share of 1 as a percentage."""
    return missing if value is None or not math.isfinite(value) else f"{100 * value:.{digits}f} %"


def absent(why: str) -> Cell:
    """The cell of a value that isn't there, with its reason."""
    return Cell("–", note=why, state="off")
