"""The page of a search, looked at in a browser: with a budget that is met, without one, and where nothing was found."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from convert.tune.meter import Operations
from convert.tune.page import front_plot, make_page
from convert.tune.run import Found, Placed, Plan
from convert.tune.space import Setting
from convert.tune.trial import Point
from tests.pages.browser import Browser


def placed(size: int, proposals: int, mask_map: float | None) -> Placed:
    setting = Setting("arm-fp32", (size, size), proposals, 1000, 10, 128)
    point = Point(setting, "cpu-fp32", 0.7, mask_map, 0.9, 0.9, 8, 2.5, 10**6, size**2 * 1000, 10**6, 10**7)
    return Placed(point, point.gmac, (point.gmac - 0.001, point.gmac + 0.002) if size == 160 else None)


def plan(out: Path, target: float | None = None) -> Plan:
    run = SimpleNamespace(path=out / "run <1>", config=SimpleNamespace(model="mask_rcnn_tiny_fpn"))
    return Plan(
        run=cast(Any, run),
        data=out / "data",
        dataset=cast(Any, None),
        records=cast(Any, tuple(range(8))),
        candidates=cast(Any, range(324)),
        box_width=128,
        out=out / "search",
        seed=0,
        most=24,
        command="edge-seg fit run --data data",
        target=target,
    )


FRONT = tuple(placed(size, 12, mask_map) for size, mask_map in ((128, 0.572), (160, 0.723), (192, 0.788)))
OTHERS = (placed(192, 50, 0.787), placed(96, 50, None))
FOUND = Found((*FRONT, *OTHERS), FRONT, {Setting("onnx-fp32", (96, 96), 8, 100, 5, 32): "the <engine> aborted"})


def test_a_budget_that_is_met(browser: Browser, tmp_path: Path) -> None:
    page = make_page(plan(tmp_path, target=0.065), FOUND, Operations(), ["other programs <used> the cores"])
    page.write(tmp_path / "p.html")

    seen = browser.look(tmp_path / "p.html", tmp_path / "screenshots")[0]

    assert "Mask mAP 72.3 %" in seen.answer
    assert "--size 160x160" in seen.answer
    assert "78.8 %" in seen.sections["pareto-front"]
    assert "no object in the images" in seen.sections["other-points"]
    assert "the <engine> aborted" in seen.sections["failed"]
    assert "other programs <used> the cores" in seen.sections["how-it-was-measured"]


def test_a_budget_that_nothing_meets(browser: Browser, tmp_path: Path) -> None:
    make_page(plan(tmp_path, target=0.001), FOUND, Operations(), []).write(tmp_path / "p.html")

    seen = browser.look(tmp_path / "p.html", tmp_path / "screenshots")[0]

    assert "Nothing within 0.001 GMAC" in seen.answer


def test_nothing_found(browser: Browser, tmp_path: Path) -> None:
    nothing = Found((), (), {})
    make_page(plan(tmp_path), nothing, Operations(), []).write(tmp_path / "p.html")

    seen = browser.look(tmp_path / "p.html", tmp_path / "screenshots")[0]

    assert "No point could be measured" in seen.answer
    with pytest.raises(ValueError, match="no values"):
        front_plot(plan(tmp_path), nothing, Operations()).save(tmp_path / "p.svg")
