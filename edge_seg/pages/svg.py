"""How plots are drawn: one style, the colours, and matplotlib's SVG made a part of a page.

Colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/), which colour-blind people tell apart; markers differ
with them. A page's text colours follow its light or dark scheme, so text and axes are drawn in stand-ins that become
the style sheet's variables.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_seg.pages.blocks import PLOT_ID, Key
from edge_seg.pages.page import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Blue, vermilion, green, purple, orange, sky blue. Black and yellow aren't seen on one of the two backgrounds."""
_MARKERS = (("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"), ("v", "▼"), ("P", "✚"), ("X", "✖"), ("*", "★"))
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
INK, SOFT, LINE, PAPER = "#1b2028", "#58606a", "#dde1e7", "#fffffe"
# Okabe and Ito's blue is too dark for a dark background: there the style sheet has a lighter one.
_VARIABLES = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    LINE: "var(--line)",
    PAPER: "var(--card)",
    OKABE_ITO[0]: "var(--blue)",
}

_STYLE: dict[str, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "edge-seg",
    # A class may be called "$x_1$".
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class Look:
    """How one class, device or stage is drawn wherever it appears on a page."""

    color: str
    marker: str
    glyph: str
    dash: str | tuple[int, tuple[float, ...]]


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A look for each name, by its place in the list: the same list gives every plot of a page the same looks."""
    return {
        name: Look(
            OKABE_ITO[place % len(OKABE_ITO)],
            *_MARKERS[place % len(_MARKERS)],
            _DASHES[place // len(OKABE_ITO) % len(_DASHES)],
        )
        for place, name in enumerate(dict.fromkeys(names))
    }


def key_of(name: str, look: Look) -> Key:
    """The legend's entry of a look."""
    return Key(name, _VARIABLES.get(look.color, look.color), look.glyph)


def draw(paint: Callable[[Drawing], None], size: tuple[float, float], title: str, alone: bool = False) -> str:
    """The SVG of what ``paint`` draws on a figure of ``size`` inches; ``alone``: on white, with its title inside."""
    with _styled():
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=size)
        if alone:
            drawing.set_facecolor("#ffffff")
        FigureCanvasSVG(drawing)
        paint(drawing)
        buffer = io.StringIO()
        # Without a date, and without the library's version: the same values give the same bytes.
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        drawing.savefig(buffer, format="svg", metadata=nothing | ({"Title": title} if alone else {}))
    return buffer.getvalue()


@contextlib.contextmanager
def _styled() -> Iterator[None]:
    """matplotlib in this room's style, whatever the user's own settings are."""
    require("matplotlib")
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        # Of names in scripts that the layout's font lacks; the browser has them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def inline(svg: str) -> str:
    """An SVG file's text made a part of a page: no declarations, the page's own ids and the variables of its style."""
    body = re.sub(r"^.*?(?=<svg )", "", svg, flags=re.DOTALL)
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", body, count=1)
    body = re.sub(r' (xmlns(:xlink)?|version)="[^"]*"', "", body)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', body))
    body = re.sub(r' id="([^"]*)"', lambda m: f' id="{PLOT_ID}{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{PLOT_ID}", body).replace("xlink:href=", "href=")
    for color, variable in _VARIABLES.items():
        body = body.replace(color, variable)
    return re.sub(r"\n\s*", "\n", body).replace("<svg ", '<svg role="img" ', 1).strip()
