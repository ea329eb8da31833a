"""Measuring behind a real sshd: the runner, the machine and its state are the other side's."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_seg import cli
from edge_seg.records.record import STAGES, read
from tests.boards.conftest import ROOT, make_x86
from tests.targets.sshd import Sshd, board, sshd

__all__ = ["board", "sshd"]

RUNNER = shlex.join(["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "edge_seg.runtime.runner", "--engine", "null"])


@pytest.mark.slow
def test_a_record_from_there(board: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_seg.records.board_state.INTERVAL_S", 1)
    bundle, out = make_x86(tmp_path / "x86-fp32"), tmp_path / "records.jsonl"
    words = ["--on", board.name, "--runner", RUNNER, "--repeat", "300", "--warmup", "1", "--instances", "2"]
    assert cli.main(["bench", "run", str(bundle), *words, "--out", str(out)]) == 0
    records, bad = read(out)
    assert bad == []
    assert [record.scenario.instances for record in records] == [2]
    for record in records:
        assert record.target == board.name
        assert record.runner["runner"] == "python"
        assert record.self_test is not None
        assert record.self_test["passed"]
        assert len(record.samples) == 300
        assert all(set(STAGES) <= set(sample.ns) for sample in record.samples)
        assert record.machine.arch
        assert record.machine.kernel
        assert len(record.before) == 2
        assert len(record.after) == 1
        assert record.before[0].load_average is not None
        assert record.cpu_seconds is None, "not known of a command on another machine"
        assert record.first_run["image"] == "image.png"
    assert list((board.home / "edge-seg").iterdir()) == [], "nothing is left on the board"


def test_a_board_that_is_lost(board: Sshd, tmp_path: Path, capsys: Any) -> None:
    words = ["--on", "ssh://127.0.0.1:1", "--out", str(tmp_path / "records.jsonl"), "--json"]
    assert cli.main(["bench", "run", str(make_x86(tmp_path / "x86-fp32")), *words]) == 1
    assert '"unreachable"' in capsys.readouterr().out
    assert not (tmp_path / "records.jsonl").exists()
