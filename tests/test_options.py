"""The argument types that commands share."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import pytest

from edge_seg.options import ABOVE_0, SCORE, SIZE, Finite, echo_json


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "x"])
def test_numbers_that_cannot_be_computed_with(text: str) -> None:
    with pytest.raises(click.BadParameter):
        ABOVE_0.convert(text, None, None)
    assert Finite(0, 10).convert("1e1", None, None) == 10.0


@pytest.mark.parametrize(("text", "size"), [("320", (320, 320)), ("320x480", (320, 480)), ("64X32", (64, 32))])
def test_sizes(text: str, size: tuple[int, int]) -> None:
    assert SIZE.convert(text, None, None) == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("330", "height 330 is not a multiple of 32; 320 or 352 is"),
        ("320x330", "width 330 is not a multiple of 32"),
        ("0", "height 0 is not a multiple of 32; 32 is"),
        ("16", "32 is"),
        ("", "not a size"),
        ("x320", "not a size"),
        ("320x320x3", "not a size"),
        ("-320", "not a size"),
        ("3.2", "not a size"),
        ("٣٢٠", "not a size"),
        ("320000", "not a size"),
    ],
)
def test_other_sizes_are_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        SIZE.convert(text, None, None)
    assert message in caught.value.message


def test_scores() -> None:
    assert [SCORE.convert(text, None, None) for text in ("0", "0.5", "1")] == [0.0, 0.5, 1.0]
    for text in ("nan", "-0.1", "1.1", "inf", "half"):
        with pytest.raises(click.BadParameter):
            SCORE.convert(text, None, None)


def test_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    echo_json({"a": np.float32(0.5), "b": np.arange(2), "c": Path("x"), "d": "ä"})
    assert json.loads(capsys.readouterr().out) == {"a": 0.5, "b": [0, 1], "c": "x", "d": "ä"}


def test_json_has_no_nan() -> None:
    with pytest.raises(ValueError):
        echo_json({"a": float("nan")})
