"""A page: one file that needs no network, no script and no other file, of at most 8 MB."""

from __future__ import annotations

import functools
import importlib.util
import platform
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge_seg import __version__
from edge_seg.errors import EdgeSegError, MissingDependencyError
from edge_seg.files import refuse_other_kind, refuse_overwriting, write_text
from edge_seg.install import pip_install
from edge_seg.pages.blocks import PLOT_ID, Answer, Block, Figure, Fold, Gallery, Grid, Image, Section, number

if TYPE_CHECKING:
    import jinja2

MOST_BYTES = 8_000_000
"""A page's size; mail servers and chat programs take a file of it."""
_FOR_FIGURES, _FOR_ALL = 5_000_000, 7_000_000
_HERE = Path(__file__).parent
# Halves of characters (Python's form of a file name that isn't UTF-8) can't be written; control characters have no
# meaning in HTML, and those of direction could show a name in another order than it is.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")


@dataclass(frozen=True)
class Page:
    """What a page holds, from the answer down to the versions.

    ``facts`` are a few short pieces under the title (engine, size, id). ``command`` makes the page again, ``versions``
    are of what took part; edge-seg's and Python's own are added.
    """

    title: str
    answer: Answer
    sections: Sequence[Section]
    facts: Sequence[str] = ()
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    def html(self) -> str:
        """The page's text; the same page gives the same text.

        Raises MissingDependencyError without jinja2, EdgeSegError where tables and text alone exceed 8 MB.
        """
        room = _Room(self.sections)
        text = _template().render(
            page=self,
            sections=list(zip(self.sections, _anchors(self.sections), strict=True)),
            style=(_HERE / "style.css").read_text(encoding="utf-8"),
            versions={"edge-seg": __version__, "Python": platform.python_version(), **self.versions},
            room=room,
            anchor_of=_Anchors(),
            own_ids=_OwnIds(),
        )
        text = _UNPRINTABLE.sub("\ufffd", text.lstrip())
        size = len(text.encode())
        if size > MOST_BYTES:
            message = f"the page {self.title!r} would have {size:,} bytes, and {MOST_BYTES:,} are the most"
            raise EdgeSegError(message, remedy="make it of fewer inputs")
        return text

    def write(self, path: Path) -> None:
        """Writes the page to ``path``, whole or not at all."""
        write_text(path, self.html())


def check_output(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Call it before the work of which the page is made: an hour's work mustn't end in a missing library.

    Raises MissingDependencyError without jinja2 or matplotlib, UsageError where ``path`` is one of ``inputs`` or a
    file that isn't a page.
    """
    require("jinja2", "matplotlib")
    refuse_overwriting(path, inputs)
    refuse_other_kind(path, b"<!doctype html>", "a page")


def require(*libraries: str) -> None:
    """Raises MissingDependencyError, with what to install, unless all ``libraries`` are there; imports none."""
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            raise MissingDependencyError(
                f"{library} isn't installed, and HTML pages are made with it",
                remedy=f"install it with: {pip_install('report')}",
            )


def this_command() -> str:
    """The command line of this process, as one would type it."""
    return shlex.join(["edge-seg", *sys.argv[1:]])


@functools.cache
def _template() -> jinja2.Template:
    require("jinja2")
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = number
    environment.filters["short"] = _short
    return environment.get_template("base.html.jinja")


def _short(text: str, most: int = 600) -> str:
    """Text that a stranger's file made endless, cut."""
    return text if len(text) <= most else f"{text[:most]}…"


def _anchors(sections: Sequence[Section]) -> list[str]:
    """Each section's id: its own, or its title's words; unlike all others."""
    found: list[str] = []
    for section in sections:
        plain = re.sub(r"[^a-z0-9]+", "-", (section.id or section.title).lower()).strip("-")[:60] or "section"
        number_of, anchor = 2, plain
        while anchor in found:
            anchor, number_of = f"{plain}-{number_of}", number_of + 1
        found.append(anchor)
    return found


class _Anchors:
    """Numbers for the page's images, so that a link can enlarge each."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self) -> str:
        self._count += 1
        return f"image-{self._count}"


class _OwnIds:
    """A figure's SVG with ids that no other figure of the page has."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, svg: str) -> str:
        self._count += 1
        return svg.replace(PLOT_ID, f"plot-{self._count}-")


class _Room:
    """Which figures and images a page has room for: figures first, in order; galleries share what is left."""

    def __init__(self, sections: Sequence[Section]) -> None:
        blocks = [block for section in sections for block in _walk(section.blocks)]
        self._left_out: set[int] = set()
        used = 0
        for block in blocks:
            if isinstance(block, Figure | Image):
                size = len(block.svg if isinstance(block, Figure) else block.source)
                if used + size > _FOR_FIGURES:
                    self._left_out.add(id(block))
                else:
                    used += size
        galleries = [block for block in blocks if isinstance(block, Gallery)]
        self._shown: dict[int, list[Image]] = {}
        # The smallest first: what it doesn't need is left to the others.
        for position, gallery in enumerate(sorted(galleries, key=_weight)):
            share = (_FOR_ALL - used) / (len(galleries) - position)
            shown = _fitting(gallery, share)
            self._shown[id(gallery)] = shown
            used += sum(len(image.source) for image in shown)

    def has(self, block: Block) -> bool:
        """Whether a figure or an image is shown."""
        return id(block) not in self._left_out

    def images(self, gallery: Gallery) -> list[Image]:
        """A gallery's images that are shown."""
        return self._shown[id(gallery)]

    def groups(self, gallery: Gallery) -> list[list[Image]]:
        """The same in groups of ``gallery.each``."""
        shown = self.images(gallery)
        return [shown[start : start + gallery.each] for start in range(0, len(shown), gallery.each)]

    def total(self, gallery: Gallery) -> int:
        """How many groups there are, shown or not."""
        return max(gallery.total or 0, -(-len(gallery.images) // gallery.each))


def _weight(gallery: Gallery) -> int:
    return sum(len(image.source) for image in gallery.images)


def _fitting(gallery: Gallery, room: float) -> list[Image]:
    shown: list[Image] = []
    for start in range(0, len(gallery.images), gallery.each):
        group = list(gallery.images[start : start + gallery.each])
        room -= sum(len(image.source) for image in group)
        if room < 0:
            break
        shown += group
    return shown


def _walk(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Fold | Grid):
            yield from _walk(block.blocks)
