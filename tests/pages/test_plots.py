"""Plots: what they state, and that the same values give the same bytes."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from edge_seg.pages.plots import (
    Axis,
    Evidence,
    Line,
    Series,
    chart,
    histogram,
    looks,
    matrix,
    save_chart,
    stacked,
    strips,
)

EVIDENCE = Evidence("3 runs", "record 1")
STEP, LOSS = Axis("step"), Axis("loss")


def text_of(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


def test_plot_is_well_formed_and_repeats() -> None:
    def draw() -> str:
        return chart("Loss", [Series("a <b> & $x_1$", [1, 2], [3, 4])], STEP, LOSS, EVIDENCE).svg

    assert draw() == draw()
    assert ElementTree.fromstring(draw()).get("viewBox")
    assert not re.search(r"<metadata|<style|<!--|<\?xml", draw())


def test_axes_say_units_and_the_caption_n_band_and_source() -> None:
    series = Series("a", [1, 2], [3, 4], low=[2, 3], high=[4, 5])
    figure = chart("T", [series], Axis("threads"), Axis("model time", "ms"), Evidence("64 runs", "r1", "quartiles"))

    assert {"threads", "model time, ms"} <= set(text_of(figure.svg))
    assert figure.caption == "n = 64 runs. Band: quartiles. From r1."


def test_band_without_meaning_is_refused() -> None:
    with pytest.raises(ValueError, match="what it means"):
        chart("T", [Series("a", [1], [2], low=[1], high=[3])], STEP, LOSS, EVIDENCE)


def test_axis_of_times_starts_at_0() -> None:
    figure = chart("T", [Series("a", [1, 2], [900, 901])], STEP, Axis("time", "ms"), EVIDENCE)

    assert "0" in text_of(figure.svg)


def test_values_that_cannot_be_drawn_are_counted() -> None:
    figure = chart(
        "T", [Series("a", [1, 2, 3, 4], [1, float("nan"), float("inf"), -1])], STEP, Axis("d", log=True), EVIDENCE
    )

    assert "3 values left out" in figure.caption


def test_many_points_keep_their_extremes() -> None:
    y = np.ones(100_000)
    y[12_345], y[54_321] = 50, -50
    figure = chart("T", [Series("a", list(range(100_000)), list(y), "points")], STEP, LOSS, EVIDENCE)

    assert len(figure.svg) < 300_000
    assert re.search(r"of 100,000 points drawn", figure.caption)
    labels = [float(text.replace("−", "-")) for text in text_of(figure.svg) if re.fullmatch(r"−?\d+", text)]
    assert min(labels) <= -40
    assert max(labels) >= 40


def test_nothing_to_draw_says_why() -> None:
    nothing = float("nan")
    for figure in (
        chart("T", [Series("a", [1], [nothing])], STEP, LOSS, EVIDENCE, missing="why"),
        stacked("T", {}, STEP, EVIDENCE, missing="why"),
        strips("T", {"a": []}, STEP, EVIDENCE, missing="why"),
        histogram("T", [nothing], STEP, EVIDENCE, missing="why"),
        matrix("T", ["a"], ["b"], np.array([[nothing]]), "x", "y", EVIDENCE, missing="why"),
    ):
        assert (figure.svg, figure.caption) == ("", "why")


def test_looks_are_the_same_for_the_same_names_and_differ_from_each_other() -> None:
    names = [f"class {number}" for number in range(24)]

    assert looks(names) == looks(names)
    assert len({(look.color, look.marker, look.dash) for look in looks(names).values()}) == 24


def test_users_own_matplotlib_settings_change_nothing() -> None:
    import matplotlib

    def draw() -> str:
        return chart("Loss", [Series("a", [1, 2], [3, 4])], STEP, LOSS, EVIDENCE).svg

    plain = draw()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        assert draw() == plain
        assert matplotlib.rcParams["font.size"] == 30


def test_saved_chart_is_a_file_of_its_own(tmp_path: Path) -> None:
    series = [Series("tried", [1, 2], [3, 4], "points"), Series("front", [1, 2], [3, 4], "steps")]
    save_chart(tmp_path / "plot.svg", "Front", series, STEP, LOSS, EVIDENCE, lines=[Line("budget", 1.5, "x")])

    svg = (tmp_path / "plot.svg").read_text()
    assert {"Front", "tried", "front", "budget"} <= set(text_of(svg.encode()))  # type: ignore[arg-type]
    assert "var(" not in svg


def test_chart_without_values_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no values"):
        save_chart(tmp_path / "plot.svg", "Front", [], STEP, LOSS, EVIDENCE)
    assert not any(tmp_path.iterdir())
