"""The stages's last stage on a board behind a real sshd."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from convert.verify.model_stages import run_device
from edge_seg.errors import EngineError
from edge_seg.runtime.segmenter import Segmenter
from edge_seg.targets import open_target
from edge_seg.targets.local import Local
from tests.boards.conftest import ROOT, make_x86
from tests.targets.sshd import Sshd, board, sshd

__all__ = ["board", "sshd"]


@pytest.mark.slow
def test_the_results_of_a_board(board: Sshd, tmp_path: Path) -> None:
    bundle = make_x86(tmp_path / "bundle")
    image = bundle / "golden" / "image.png"
    runner = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "edge_seg.runtime.runner", "--engine", "null"]
    with open_target(board.name, runner=runner) as target:
        found, repeats = run_device(target, bundle, [image, image], 3)
    with Segmenter(bundle, engine="null", instances=3) as segmenter:
        expected = segmenter(image).as_json()
    assert ([item.as_json() for item in found], repeats) == ([expected, expected], True)
    assert list((board.home / "edge-seg").iterdir()) == []


def runner(tmp_path: Path, *lines: Any, code: int = 0) -> Local:
    """A runner that prints ``lines``."""
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    script = tmp_path / "runner.py"
    script.write_text(f"print({text!r})\nraise SystemExit({code})\n")
    return Local([sys.executable, str(script)])


BEGIN = ({"type": "hello", "runner": "fake", "version": "0"}, {"type": "load", "ns": 1})
RESULT = {"type": "result", "image": "x", "width": 8, "height": 8, "instances": []}
DONE = {"type": "done"}


def test_a_runner_that_repeats_and_one_that_does_not(tmp_path: Path) -> None:
    found, repeats = run_device(runner(tmp_path, *BEGIN, RESULT, RESULT, DONE), tmp_path, [tmp_path / "x"], None)
    assert ([len(item) for item in found], repeats) == ([0], True)
    _, repeats = run_device(runner(tmp_path, *BEGIN, RESULT, DONE), tmp_path, [tmp_path / "x"], 3)
    assert repeats is None


@pytest.mark.parametrize(
    ("lines", "code", "said"),
    [
        (["Segmentation fault"], 139, "isn't the protocol's"),
        ([*BEGIN, RESULT, DONE], 0, "1 result for 4 images"),
        ([*BEGIN, RESULT], 0, "without saying `done`"),
        ([*BEGIN, {"type": "error", "code": "x", "message": "no such bundle", "remedy": ""}], 1, "no such bundle"),
        ([*BEGIN, {**RESULT, "instances": [{"box": 3}]}, RESULT, DONE], 0, "can't be read"),
    ],
)
def test_a_runner_that_fails(tmp_path: Path, lines: list[Any], code: int, said: str) -> None:
    with pytest.raises(EngineError, match=re.escape(said)):
        run_device(runner(tmp_path, *lines, code=code), tmp_path, [tmp_path / "x", tmp_path / "y"], None)


def test_a_runner_that_isnt_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="can't be started"):
        run_device(Local([str(tmp_path / "nothing")]), tmp_path, [], None)
