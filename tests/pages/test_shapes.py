"""Outlines and labels on images: where they are, and that labels keep off each other."""

from __future__ import annotations

import numpy as np
import pytest

from edge_seg.pages import shapes as module
from edge_seg.pages.shapes import Shape, draw_shapes, outlines_of

SQUARE = np.array([[100, 100], [200, 100], [200, 200], [100, 200]], np.float32)


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_outline_is_drawn_where_it_is_at_the_page_s_scale() -> None:
    image = grey(1000, 2000)
    drawn = draw_shapes(image, [Shape([SQUARE * 5], "", "#d55e00")], longest=400).pixels

    assert drawn.shape == (200, 400, 3)
    assert (drawn[150, 150] != 128).any()  # inside 500…1000, a fifth of it
    assert (drawn[50, 50] == 128).all()
    assert (image == 128).all()


def test_small_image_is_enlarged() -> None:
    assert draw_shapes(grey(30, 60), []).pixels.shape == (180, 360, 3)


def test_labels_do_not_cover_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[int, int, int, int]] = []
    write = module._write
    monkeypatch.setattr(module, "_write", lambda canvas, shape, outlines, _: write(canvas, shape, outlines, taken))

    drawn = draw_shapes(grey(400, 400), [Shape([SQUARE], f"class {number}", "#0072b2") for number in range(40)])

    assert 5 <= len(taken) < 40
    assert drawn.without == 40 - len(taken)
    assert all(a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3] for a in taken for b in taken if a is not b)


def test_outlines_outside_and_broken_numbers_are_no_crash() -> None:
    wild = np.array([[-1e9, np.nan], [np.inf, 5], [3, 1e30]], np.float32)

    assert draw_shapes(grey(50, 50), [Shape([wild], "wild 図", "#0072b2"), Shape([], "none", "#0072b2")]).without >= 1


def test_outlines_of_a_mask() -> None:
    mask = np.zeros((20, 30), bool)
    mask[5:10, 4:14] = True
    (outline,) = outlines_of(mask)

    assert outline.min(axis=0).tolist() == [4.5, 5.5]
    assert outline.max(axis=0).tolist() == [13.5, 9.5]
