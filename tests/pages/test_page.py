"""A page's parts, sizes and errors, and how it looks in a browser."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_seg.errors import EdgeSegError, MissingDependencyError, UsageError
from edge_seg.pages import page as page_module
from edge_seg.pages.blocks import (
    Answer,
    Card,
    Cards,
    Cell,
    Code,
    Column,
    Facts,
    Fold,
    Gallery,
    Grid,
    Image,
    Prose,
    Section,
    Table,
    absent,
    number,
    percent,
)
from edge_seg.pages.images import inline
from edge_seg.pages.page import Page, check_output
from edge_seg.pages.plots import (
    Axis,
    Evidence,
    Line,
    Panel,
    Series,
    chart,
    histogram,
    looks,
    matrix,
    panels,
    stacked,
    strips,
)
from tests.pages.browser import Browser

HOSTILE = "<script>alert(1)</script>\"'&{{ 7*7 }}$x_1^2$\x00\u202egnp\ud83d 図面 " + "very_long_name_" * 30
EVIDENCE = Evidence("64 runs an image", "record 3f2a")


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@functools.cache
def every_block(name: str = "ferrule", *, images: int = 6) -> Page:
    """A page with every kind of block, all names being ``name``."""
    steps = np.arange(0, 4000, 4.0)
    loss = 2 * np.exp(-steps / 900) + 0.25
    generator = np.random.default_rng(3)
    samples = 90 + generator.gamma(2, 1.5, 64)
    names = [name, f"{name} 2", f"{name} 3"]
    look = looks(names)
    curves = [Series(each, list(steps), list(loss * (1 + 0.3 * k))) for k, each in enumerate(names)]
    banded = Series(name, [1, 2, 4], [30.1, 18.4, 12.0], "both", low=[29, 18, 11.6], high=[31, 19.5, 14])
    plots = Grid(
        [
            chart("Loss", curves, Axis("step"), Axis("loss", zero=True), Evidence("1,000 steps", name), look=look),
            chart(
                "Latency against threads", [banded], Axis("threads"), Axis("model time", "ms"),
                Evidence("64 runs", name, "quartiles"), lines=[Line("budget", 15)], look=look,
            ),
            stacked("Stages", {name: {"trunk": 40.0, "box head": 12.5, "mask head": 20.1, "post": 0.8}},
                    Axis("time", "ms"), EVIDENCE),
            strips("Runs", {each: list(samples * (k + 1)) for k, each in enumerate(names)}, Axis("time", "ms"),
                   EVIDENCE, look=look),
            histogram("Sizes", list(generator.lognormal(4, 1, 900)), Axis("side of an object", "px", log=True),
                      Evidence("900 objects", name), lines=[Line("1 px at 320", 5)]),
            matrix("Confusion", names, [*names, "missed"], np.array([[0.9, 0.05, 0, 0.05], [0.1, 0.7, 0.1, 0.1],
                   [np.nan] * 4]), "found", "truth", Evidence("312 objects", name)),
        ]
    )  # fmt: skip
    time_s = list(np.linspace(0, 60, 5000))
    over_time = panels(
        "Samples with temperature",
        [
            Panel([Series("samples", time_s, list(90 + generator.normal(0, 1, 5000)), "points")], Axis("time", "ms")),
            Panel([Series("temperature", [0, 30, 60], [48, 61, 66], "both")], Axis("SoC", "°C")),
        ],
        Axis("since the start", "s"),
        EVIDENCE,
        wide=True,
    )
    table = Table(
        [Column("file"), Column("objects", number=True), Column("share", bar=True), "why"],
        [
            [Cell(name, title=name), "1,312", Cell("41 %", share=0.41), Cell("fine", state="good")],
            [Cell("a", href="#images"), "7", Cell("0 %", share=0.0), absent("this board has no GPU")],
        ],
        caption="Objects a file",
    )
    pictures = [inline(noise(300, 400, seed), f"{name} {seed}", title=name) for seed in range(images)]
    return Page(
        title=f"Look of {name}",
        answer=Answer("warn", "Ready, with 3 warnings", f"The first is about {name}."),
        facts=["mask_rcnn_r18_fpn", "320 × 320", name],
        sections=[
            Section("Figures", [Cards([Card("mask mAP", "0.412", "50 images", "good"), Card("time", "12 ms")]), table]),
            Section("Plots", [plots, over_time], lead="What the numbers look like.", state="bad"),
            Section("Images", [Gallery(pictures, total=1312, what="pairs", each=2), pictures[0]]),
            Section("Settings", [Facts([("size", "320"), (name, name)]), Prose(name, "warn"),
                                 Fold("More", [Code(name), Prose("folded")])]),
            Section("Empty", [], missing=f"No records of {name}: run edge-seg bench run."),
        ],
        command=f"edge-seg bench report '{name}' --html page.html",
        versions={"paddle": "2.6.2"},
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ferrule", HOSTILE], ids=["plain", "hostile"])
def test_page_in_a_browser(name: str, browser: Browser, tmp_path: Path) -> None:
    every_block(name).write(tmp_path / "page.html")

    seen = browser.look(tmp_path / "page.html", tmp_path / "screenshots")

    assert {(one.width, one.scheme) for one in seen} == {(w, s) for w in (400, 1280) for s in ("light", "dark")}
    assert all(one.screenshot.stat().st_size > 20_000 for one in seen)
    assert "Ready, with 3 warnings" in seen[0].answer
    assert list(seen[0].sections) == ["figures", "plots", "images", "settings", "empty"]
    assert "3 of 1,312 pairs shown" in seen[0].sections["images"]
    assert "run edge-seg bench run" in seen[0].sections["empty"]
    if name == HOSTILE:
        assert "<script>alert(1)</script>" in seen[0].title


def test_nothing_at_all_is_a_page_too(browser: Browser, tmp_path: Path) -> None:
    page = Page(
        "Nothing",
        Answer("off", "No records"),
        [
            Section("Plots", [chart("Loss", [], Axis("step"), Axis("loss"), EVIDENCE, missing="No step was logged.")]),
            Section("Table", [Table(["a"], [], missing="No record."), Gallery([], missing="No image was kept.")]),
        ],
    )
    page.write(tmp_path / "page.html")

    seen = browser.look(tmp_path / "page.html", tmp_path)

    assert "No step was logged." in seen[0].sections["plots"]
    assert "No record." in seen[0].sections["table"]
    assert "No image was kept." in seen[0].sections["table"]


def test_one_plot_twice_has_ids_of_its_own_each_time(browser: Browser, tmp_path: Path) -> None:
    figure = chart("Loss", [Series("a", [1, 2], [3, 4])], Axis("step"), Axis("loss"), EVIDENCE)
    Page("Two", Answer("good", "ready"), [Section("All", [figure, figure])]).write(tmp_path / "page.html")

    browser.look(tmp_path / "page.html", tmp_path)  # which finds an id that is there twice
    assert browser.evaluate('document.querySelectorAll("svg [id]").length') > 0


def test_image_is_enlarged_and_closed_by_links(browser: Browser, tmp_path: Path) -> None:
    every_block().write(tmp_path / "page.html")
    browser.open((tmp_path / "page.html").as_uri(), 1280)
    width = 'document.querySelector(".gallery img").getBoundingClientRect().width'
    small = browser.evaluate(width)

    browser.evaluate('document.querySelector(".gallery .enlarge").click()')
    large = browser.evaluate(width)
    browser.evaluate('document.querySelector(".shot:target .close").click()')

    assert large > small
    assert browser.evaluate(width) == small


def test_print_is_light_and_whole(browser: Browser, tmp_path: Path) -> None:
    every_block().write(tmp_path / "page.html")
    browser.open((tmp_path / "page.html").as_uri(), 800, "dark", medium="print")

    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert browser.evaluate('getComputedStyle(document.querySelector("nav")).display') == "none"
    assert browser.evaluate('document.querySelector("details p").getBoundingClientRect().height') > 0


def test_same_page_same_bytes(tmp_path: Path) -> None:
    # Made a second time, not taken from the cache.
    assert every_block.__wrapped__().html() == every_block().html()


def test_text_of_strangers_is_escaped() -> None:
    text = every_block(HOSTILE).html()

    assert "<script" not in text
    assert "\u202e" not in text
    assert "{{ 7*7 }}" in text


def test_large_galleries_are_cut_to_the_page_and_counted() -> None:
    images = [inline(noise(700, 700, seed), f"image {seed}", form="png") for seed in range(8)]  # 1.9 MB each
    page = Page("Large", Answer("good", "ready"), [Section("All", [Gallery(images), Gallery(images, each=2)])])

    text = page.html()

    assert len(text.encode()) < 8_000_000
    assert "1 of 8 images shown" in text
    assert "of 4 images shown" in text


def test_figures_beyond_the_size_are_named() -> None:
    image = inline(noise(720, 720), "an image", form="png")
    page = Page(
        "Large",
        Answer("good", "ready"),
        [Section("All", [image] + [Image("data:," + "a" * 10**6, 1, 1, f"i{n}") for n in range(9)])],
    )

    text = page.html()

    assert len(text.encode()) < 8_000_000
    assert "i8: left out, the page would be too large" in text


def test_text_alone_beyond_the_size_is_an_error() -> None:
    sections = [Section(f"s{n}", [Prose("word " * 200_000)]) for n in range(9)]

    with pytest.raises(EdgeSegError, match="bytes"):
        Page("Large", Answer("good", "ready"), sections).html()


def test_long_table_shows_its_first_rows_and_counts() -> None:
    page = Page("T", Answer("good", "ready"), [Section("t", [Table(["n"], [[str(n)] for n in range(20_000)])])])

    assert "500 of 20,000 shown." in page.html()


def test_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2 cells under 1 columns"):
        Table(["a"], [["1", "2"]])


def test_failed_write_leaves_the_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.html"
    path.write_text("<!DOCTYPE html>old")
    monkeypatch.setattr(page_module, "MOST_BYTES", 10)

    with pytest.raises(EdgeSegError):
        every_block(images=1).write(path)

    assert path.read_text() == "<!DOCTYPE html>old"
    assert list(tmp_path.iterdir()) == [path]


def test_only_a_page_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.html").write_text("my notes")
    every_block(images=1).write(tmp_path / "page.html")

    check_output(tmp_path / "page.html")
    check_output(tmp_path / "new.html")
    with pytest.raises(UsageError, match="not a page"):
        check_output(tmp_path / "notes.html")
    with pytest.raises(UsageError, match="input"):
        check_output(tmp_path / "page.html", [tmp_path / "page.html"])


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_missing_library_is_named_with_its_remedy(library: str, tmp_path: Path) -> None:
    code = f"""
import sys, json, importlib.abc
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {library!r}: raise ModuleNotFoundError(name)
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == {library!r} else real(name, *rest)
sys.meta_path.insert(0, Absent())
from pathlib import Path
from edge_seg.pages.page import check_output
try: check_output(Path("page.html"))
except Exception as problem: print(json.dumps([type(problem).__name__, problem.message, problem.remedy]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])

    kind, message, remedy = json.loads(done.stdout)
    assert kind == MissingDependencyError.__name__
    assert library in message
    assert "[report]" in remedy
    assert "pip install" in remedy


def test_importing_the_room_imports_neither_jinja2_nor_matplotlib() -> None:
    code = """
import sys
import edge_seg.pages.page, edge_seg.pages.blocks, edge_seg.pages.plots, edge_seg.pages.images
print(sorted({"jinja2", "matplotlib", "cv2", "paddle"} & set(sys.modules)))
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1312, "1,312"), (90.123, "90.1"), (999.7, "1,000"), (0.0, "0"), (0.021, "0.0210"), (2.1e-6, "2.10e-06"),
        (1157.3, "1,157"), (-3.14159, "-3.14"), (float("nan"), "not a number"), (float("inf"), "infinite"), (None, "–"),
    ],
)  # fmt: skip
def test_number(value: float | None, text: str) -> None:
    assert number(value) == text


def test_number_with_unit_and_percent() -> None:
    assert number(12.34, "ms") == "12.3 ms"
    assert percent(0.4125) == "41.2 %"
    assert percent(None) == "–"
