"""The ladder's last rung on a board behind a real sshd."""

from __future__ import annotations

import sys
from pathlib import Path

from convert.ladder_device import run_device
from edge_seg.runtime.segmenter import Segmenter
from edge_seg.targets import open_target
from tests.boards.conftest import ROOT, make_x86
from tests.targets.sshd import Sshd, board, sshd

__all__ = ["board", "sshd"]


def test_the_results_of_a_board(board: Sshd, tmp_path: Path) -> None:
    bundle = make_x86(tmp_path / "bundle")
    picture = bundle / "golden" / "image.png"
    runner = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "edge_seg.runtime.runner", "--engine", "null"]
    with open_target(board.name, runner=runner) as target:
        found, repeats = run_device(target, bundle, [picture, picture], 3)
    with Segmenter(bundle, engine="null", instances=3) as segmenter:
        expected = segmenter(picture).as_json()
    assert ([item.as_json() for item in found], repeats) == ([expected, expected], True)
    assert list((board.home / "edge-seg").iterdir()) == []
