"""Plots for pages, drawn by matplotlib as inline SVG: the same values give the same bytes.

Each plot states its units, how many values it shows and where they come from; where it draws a band, what the band is.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from edge_seg.files import refuse_other_kind, refuse_overwriting, write_text
from edge_seg.pages.blocks import Figure, Key, number
from edge_seg.pages.page import require
from edge_seg.pages.series import (
    Axis,
    Evidence,
    Line,
    Panel,
    Series,
    drawable,
    drawn_part,
    note_left_out,
    thin,
    thin_indices,
)
from edge_seg.pages.svg import INK, OKABE_ITO, PAPER, SOFT, Look, draw, inline, key_of, looks

__all__ = [
    "Axis",
    "Evidence",
    "Line",
    "Look",
    "Panel",
    "Series",
    "chart",
    "check_plot",
    "histogram",
    "looks",
    "matrix",
    "panels",
    "save_chart",
    "stacked",
    "strips",
]

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

_OBJECTS = Axis("objects")
_NARROW, _WIDE = 4.9, 9.2
"""Inches. A narrow plot is read on a telephone as it is; a wide one is scrolled there."""


def chart(
    title: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    evidence: Evidence,
    *,
    lines: Sequence[Line] = (),
    look: Mapping[str, Look] | None = None,
    wide: bool = False,
    missing: str = "No values to draw.",
) -> Figure:
    """Lines, points or steps over numbers. ``missing`` is shown where no series has a value."""
    return panels(title, [Panel(series, y)], x, evidence, lines=lines, look=look, wide=wide, missing=missing)


def panels(
    title: str,
    parts: Sequence[Panel],
    x: Axis,
    evidence: Evidence,
    *,
    lines: Sequence[Line] = (),
    look: Mapping[str, Look] | None = None,
    wide: bool = False,
    missing: str = "No values to draw.",
) -> Figure:
    """Charts above each other with one x axis, such as samples with temperature and frequency under them."""
    drawing = _draw_panels(title, parts, x, evidence, lines, look, wide)
    if drawing is None:
        return _empty(title, missing)
    svg, legend, caption = drawing
    return Figure(title, inline(svg), legend, caption, wide)


def save_chart(
    path: Path,
    title: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    evidence: Evidence,
    *,
    lines: Sequence[Line] = (),
    look: Mapping[str, Look] | None = None,
) -> None:
    """Writes a chart as an SVG file of its own, with title and legend inside. ValueError where there is no value."""
    drawing = _draw_panels(title, [Panel(series, y)], x, evidence, lines, look, wide=False, alone=True)
    if drawing is None:
        raise ValueError(f"{title}: no values to draw")
    write_text(path, drawing[0])


def stacked(
    title: str,
    rows: Mapping[str, Mapping[str, float]],
    x: Axis,
    evidence: Evidence,
    *,
    look: Mapping[str, Look] | None = None,
    wide: bool = False,
    missing: str = "No values to draw.",
) -> Figure:
    """A horizontal bar a row, made of its parts in order: where the time of a run goes."""
    parts = list(dict.fromkeys(part for row in rows.values() for part in row))
    known = look or looks(parts)
    if not any(value > 0 for row in rows.values() for value in row.values()):
        return _empty(title, missing)

    def paint(axes: Axes) -> None:
        from matplotlib.colors import to_rgb

        for place, row in enumerate(rows.values()):
            left, whole = 0.0, sum(row.values())
            for part, value in row.items():
                color = known[part].color
                axes.barh(place, value, left=left, color=color, edgecolor=PAPER, linewidth=0.8, height=0.62)
                if value >= 0.09 * max(sum(other.values()) for other in rows.values()):
                    light = sum(to_rgb(color)) > 1.5
                    axes.text(
                        left + value / 2, place, number(value), ha="center", va="center", size=8.5,
                        color="#000000" if light else "#ffffff",
                    )  # fmt: skip
                left += value
            axes.text(whole, place, f" {number(whole)}", va="center", size=8.5)
        _name_rows(axes, list(rows))
        axes.margins(x=0.12)
        _set_axis(axes, "x", x)

    height = 0.9 + 0.36 * len(rows)
    svg = draw(lambda drawing: paint(drawing.subplots()), (_WIDE if wide else _NARROW, height), title)
    legend = tuple(key_of(part, replace(known[part], glyph="■")) for part in parts)
    return Figure(title, inline(svg), legend, evidence.text, wide)


def strips(
    title: str,
    groups: Mapping[str, Sequence[float]],
    x: Axis,
    evidence: Evidence,
    *,
    look: Mapping[str, Look] | None = None,
    lines: Sequence[Line] = (),
    median: bool = True,
    wide: bool = False,
    missing: str = "No values to draw.",
) -> Figure:
    """A row of points a group, with its median: a distribution shown by its values themselves.

    Without ``median`` where the values of a group aren't of one kind.
    """
    known = look or looks(groups)
    finite = {name: drawable(values) for name, values in groups.items()}
    if x.log:
        finite = {name: values[values > 0] for name, values in finite.items()}
    if not any(len(values) for values in finite.values()):
        return _empty(title, missing)
    left_out = sum(len(values) for values in groups.values()) - sum(len(values) for values in finite.values())

    def paint(axes: Axes) -> None:
        for place, (name, values) in enumerate(finite.items()):
            shown = values[thin_indices(values)]
            # Golden ratio steps spread points evenly, and alike each time.
            offsets = (np.arange(len(shown)) * 0.6180339887 % 1 - 0.5) * 0.5
            style = known[name]
            many = len(shown) > 60
            size, alpha = (3.4, 0.55) if many else (5, 0.9)
            axes.plot(shown, place + offsets, style.marker, color=style.color, alpha=alpha, markersize=size, mew=0)
            if len(values) and median:
                axes.plot([float(np.median(values))] * 2, [place - 0.38, place + 0.38], color=INK, linewidth=2)
        _name_rows(axes, list(finite))
        for line in lines:
            axes.axvline(line.at, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        _set_axis(axes, "x", x)

    size = (_WIDE if wide else _NARROW, 0.9 + 0.46 * len(finite))
    svg = draw(lambda drawing: paint(drawing.subplots()), size, title)
    note = " ".join(filter(None, ["Each point is a value, each bar a median." * median, note_left_out(left_out)]))
    legend = tuple(Key(line.name, INK, "┆") for line in lines)
    return Figure(title, inline(svg), _in_ink(legend), f"{evidence.text} {note}", wide)


def histogram(
    title: str,
    values: Sequence[float] | NDArray[np.floating],
    x: Axis,
    evidence: Evidence,
    *,
    y: Axis = _OBJECTS,
    lines: Sequence[Line] = (),
    most_bins: int = 40,
    missing: str = "No values to count.",
) -> Figure:
    """How many values fall in each interval; intervals are of one width, of one ratio where ``x`` is logarithmic.

    Where ``x`` is of whole numbers, each has an interval of its own as long as these are at most ``most_bins``.
    """
    finite = drawable(values)
    if x.log:
        finite = finite[finite > 0]
    if not len(finite):
        return _empty(title, missing)
    left_out = len(values) - len(finite)
    measured = np.log10(finite) if x.log else finite
    bins: int | NDArray[np.float64] = min(most_bins, max(5, round(2 * len(finite) ** (1 / 3))))
    if x.whole:
        width = math.ceil((finite.max() - finite.min() + 1) / most_bins)
        bins = np.arange(finite.min() - 0.5, finite.max() + width + 0.5, width)
    counts, edges = np.histogram(measured, bins=bins)
    borders = 10**edges if x.log else edges

    def paint(axes: Axes) -> None:
        axes.stairs(counts, borders, fill=True, color=OKABE_ITO[0])
        for line in lines:
            axes.axvline(line.at, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        _set_axis(axes, "x", x)
        _set_axis(axes, "y", y)

    svg = draw(lambda drawing: paint(drawing.subplots()), (_NARROW, 2.9), title)
    caption = " ".join(filter(None, [evidence.text, note_left_out(left_out)]))
    return Figure(title, inline(svg), _in_ink(Key(line.name, INK, "┆") for line in lines), caption)


def matrix(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: NDArray[np.floating],
    x: str,
    y: str,
    evidence: Evidence,
    *,
    missing: str = "No values to draw.",
) -> Figure:
    """A number for each row and column, such as a confusion matrix; ``values`` float[rows, columns], from 0 to 1.

    NaN (a row of which there was nothing) stays empty. Numbers are written in it up to 12 rows and columns.
    """
    if values.shape != (len(rows), len(columns)):
        raise ValueError(f"{title}: values {values.shape} for {len(rows)} rows and {len(columns)} columns")
    if not np.isfinite(values).any():
        return _empty(title, missing)

    def paint(axes: Axes) -> None:
        axes.imshow(np.ma.masked_invalid(values), cmap="cividis", vmin=0, vmax=1, aspect="auto", interpolation="none")
        most = 40
        for places, names in ((axes.set_xticks, columns), (axes.set_yticks, rows)):
            every = -(-len(names) // most)
            places(range(0, len(names), every), [_shortened(name, 16) for name in names[::every]])
        axes.tick_params(axis="x", rotation=90 if max(map(len, columns)) > 3 else 0)
        axes.grid(visible=False)
        if max(values.shape) <= 12:
            for (row, column), value in np.ndenumerate(values):
                if np.isfinite(value):
                    color = "#000000" if value > 0.55 else "#ffffff"
                    axes.text(column, row, f"{value:.2f}", ha="center", va="center", size=8, color=color)
        axes.set_xlabel(x)
        axes.set_ylabel(y)

    side = min(9.0, max(2.6, 1.7 + 0.33 * max(values.shape)))
    wide = side > _NARROW
    svg = draw(lambda drawing: paint(drawing.subplots()), (_WIDE if wide else _NARROW, side), title)
    return Figure(title, inline(svg), (), evidence.text, wide)


def check_plot(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Call it before the work of which :func:`save_chart` draws.

    Raises MissingDependencyError without matplotlib, UsageError where ``path`` is one of ``inputs`` or a file that
    isn't a plot.
    """
    require("matplotlib")
    refuse_overwriting(path, inputs)
    refuse_other_kind(path, b"<?xml", "a plot")


def _draw_panels(
    title: str,
    parts: Sequence[Panel],
    x: Axis,
    evidence: Evidence,
    lines: Sequence[Line],
    look: Mapping[str, Look] | None,
    wide: bool,
    alone: bool = False,
) -> tuple[str, tuple[Key, ...], str] | None:
    """SVG, legend and caption; None where no series has a value."""
    names = [one.name for part in parts for one in part.series]
    known = look or looks(names)
    cleaned = [[drawn_part(one, x, part.y) for one in part.series] for part in parts]
    if not any(len(one.x) for row in cleaned for one in row):
        return None
    if any(one.low for part in parts for one in part.series) and not evidence.band:
        raise ValueError(f"{title}: a band is drawn, and nothing says what it means")
    given = sum(len(one.x) for part in parts for one in part.series)
    left_out = given - sum(len(one.x) for row in cleaned for one in row)
    thinned = [[thin(one) for one in row] for row in cleaned]
    drawn, total = (sum(len(one.x) for row in rows for one in row) for rows in (thinned, cleaned))

    def paint(drawing: Drawing) -> None:
        all_axes = drawing.subplots(len(parts), sharex=True, squeeze=False)[:, 0]
        for axes, part, row in zip(all_axes, parts, thinned, strict=True):
            for one in row:
                _paint_series(axes, one, known[one.name])
            for line in lines:
                across = axes.axhline if line.across == "y" else axes.axvline
                across(line.at, color=INK, linewidth=1, linestyle=(0, (4, 3)), label=line.name)
            _set_axis(axes, "y", part.y)
        _set_axis(all_axes[-1], "x", x)
        if alone:
            all_axes[0].set_title(title, loc="left", size=11, weight="bold")
            all_axes[-1].text(
                0, -0.24, caption, transform=all_axes[-1].transAxes, size=7.5, color=SOFT, va="top", wrap=True
            )
            if len(names) + len(lines) > 1:
                all_axes[0].legend(frameon=False, fontsize=8.5)

    height = 3.0 if len(parts) == 1 else 1.0 + 1.35 * len(parts)
    notes = [evidence.text, note_left_out(left_out)]
    if drawn < total:
        notes.append(f"{drawn:,} of {total:,} points drawn: the extremes of each stretch.")
    caption = " ".join(filter(None, notes))
    svg = draw(paint, (_WIDE if wide else _NARROW, height + 0.5 * alone), title, alone)
    keys = [key_of(name, known[name]) for name in dict.fromkeys(names)]
    # One series needs no legend: the axis names it.
    keys = keys if len(keys) > 1 else []
    return svg, (*keys, *_in_ink(Key(line.name, INK, "┆") for line in lines)), caption


def _in_ink(keys: Iterable[Key]) -> tuple[Key, ...]:
    return tuple(replace(key, color="inherit") for key in keys)


def _paint_series(axes: Axes, one: Series, style: Look) -> None:
    x, y = list(one.x), list(one.y)
    marked = one.form in ("points", "both")
    # Of a long line, a few markers tell it from the others.
    every = None if marked or len(x) <= 30 else len(x) // 6
    axes.plot(
        x, y,
        color=style.color,
        linestyle="none" if one.form == "points" else style.dash,
        marker=style.marker,
        markevery=every,
        drawstyle="steps-post" if one.form == "steps" else "default",
        markeredgewidth=0,
        alpha=0.6 if one.form == "points" and len(x) > 60 else 1,
        label=one.name,
    )  # fmt: skip
    if one.low:
        axes.fill_between(x, list(one.low), list(one.high), color=style.color, alpha=0.18, linewidth=0)
    for at_x, at_y, label in zip(x, y, one.labels, strict=False):
        behind = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
        text, place = _shortened(label, 28), (at_x, at_y)
        axes.annotate(text, place, (5, 4), textcoords="offset points", size=8, color=INK, bbox=behind, zorder=1.5)


def _set_axis(axes: Axes, name: Literal["x", "y"], axis: Axis) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    set_label, set_scale, set_limits, get_limits, ticks = (
        (axes.set_xlabel, axes.set_xscale, axes.set_xlim, axes.get_xlim, axes.xaxis)
        if name == "x"
        else (axes.set_ylabel, axes.set_yscale, axes.set_ylim, axes.get_ylim, axes.yaxis)
    )
    set_label(axis.text)
    if axis.log:
        set_scale("log")
        low, high = axis.limits or get_limits()
        few = low > 0 and math.log10(high / low) < 2.2
        ticks.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=9))
        ticks.set_minor_formatter(NullFormatter())
        ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}" if value >= 1e-3 else f"{value:g}"))
    else:
        ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value, 12):,.10g}".replace("-", "−")))
        ticks.set_major_locator(
            MaxNLocator(7 if name == "x" else 8, steps=[1, 2, 2.5, 5, 10], integer=axis.whole, min_n_ticks=1)
        )
    if axis.limits:
        set_limits(*axis.limits)
    elif axis.starts_at_zero:
        low, high = get_limits()
        # The margin that matplotlib leaves is a part of the values' own range.
        set_limits(low if low < 0 and not _all_above(axes, name) else 0.0, high + 0.04 * abs(high))


def _all_above(axes: Axes, name: Literal["x", "y"]) -> bool:
    """Whether nothing that is drawn lies under 0."""
    bounds = axes.dataLim
    return bool((bounds.x0 if name == "x" else bounds.y0) >= 0)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    wrapped = [
        "\n".join(textwrap.wrap(_drawable_text(name), 27, max_lines=2, placeholder="…")) or " " for name in names
    ]
    axes.set_yticks(range(len(names)), wrapped)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _drawable_text(text: str) -> str:
    """Without lone surrogates, which end the library that draws letters."""
    return text.encode("utf-8", "replace").decode()


def _shortened(text: str, most: int) -> str:
    plain = " ".join(_drawable_text(text).split())
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def _empty(title: str, missing: str) -> Figure:
    return Figure(title, "", (), missing)
