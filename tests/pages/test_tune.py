"""The page of a search, looked at in a browser: with a budget that is met, without one, and where nothing was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_seg.pages.tune import front_plot, make_page
from edge_seg.tuning import Placed, Point, Setting, Tuning
from tests.pages.browser import Browser


def placed(size: int, proposals: int, mask_map: float | None) -> Placed:
    setting = Setting("arm-fp32", (size, size), proposals, 1000, 10, 128)
    point = Point(setting, "cpu-fp32", 0.7, mask_map, 0.9, 0.9, 8, 2.5, 10**6, size**2 * 1000, 10**6, 10**7)
    spread = (point.gmac - 0.001, point.gmac + 0.002) if size == 160 else None
    return Placed(point, point.gmac, spread, f"edge-seg convert run --size {size}x{size}")


def tuning(out: Path, target: float | None = None, **other: Any) -> Tuning:
    found: dict[str, Any] = {"front": FRONT, "others": OTHERS, "failures": {"a-key": "the <engine> aborted"}, **other}
    return Tuning(
        run=out / "run <1>",
        model="mask_rcnn_tiny_fpn",
        data=out / "data",
        images=8,
        seed=0,
        possible=324,
        unit="GMAC",
        how="billions of multiply-accumulates an image",
        target=target,
        result=out / "tune.json",
        command="edge-seg tune run --data data",
        **found,
    )


FRONT = tuple(placed(size, 12, mask_map) for size, mask_map in ((128, 0.572), (160, 0.723), (192, 0.788)))
OTHERS = (placed(192, 50, 0.787), placed(96, 50, None))


def test_a_budget_that_is_met(browser: Browser, tmp_path: Path) -> None:
    warnings = ("other programs <used> the cores",)
    make_page(tuning(tmp_path, target=0.065, warnings=warnings)).write(tmp_path / "p.html")

    seen = browser.look(tmp_path / "p.html", tmp_path / "screenshots")[0]

    assert "Mask mAP 72.3 %" in seen.answer
    assert "--size 160x160" in seen.answer
    assert "78.8 %" in seen.sections["pareto-front"]
    assert "no object in the images" in seen.sections["other-points"]
    assert "the <engine> aborted" in seen.sections["failed"]
    assert "other programs <used> the cores" in seen.sections["how-it-was-measured"]


def test_a_budget_that_nothing_meets(browser: Browser, tmp_path: Path) -> None:
    make_page(tuning(tmp_path, target=0.001)).write(tmp_path / "p.html")

    seen = browser.look(tmp_path / "p.html", tmp_path / "screenshots")[0]

    assert "Nothing within 0.001 GMAC" in seen.answer


def test_nothing_found(browser: Browser, tmp_path: Path) -> None:
    nothing = tuning(tmp_path, front=(), others=(), failures={})
    make_page(nothing).write(tmp_path / "p.html")

    seen = browser.look(tmp_path / "p.html", tmp_path / "screenshots")[0]

    assert "No point could be measured" in seen.answer
    with pytest.raises(ValueError, match="no values"):
        front_plot(nothing).save(tmp_path / "p.svg")
