"""Measuring behind a real sshd: the runner, the machine and its state are the other side's."""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.journal import unfinished
from edge_seg import cli
from edge_seg.records.record import STAGES, read
from tests.bench.conftest import FAKE_RUNNER
from tests.bench.test_interrupted import processes, samples_kept
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


MOMENTS = int(os.environ.get("EDGE_SEG_TEST_MOMENTS", "3"))
SLOW = shlex.join([sys.executable, str(FAKE_RUNNER), "slow"])
"""A runner on the board whose samples take a while."""


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(MOMENTS))
def test_any_moment(board: Sshd, tmp_path: Path, attempt: int) -> None:
    """Harness, ssh, the login's session or the board's runner is killed: what was measured is kept, and it goes on."""
    draw = random.Random(attempt)
    bundle, out = make_x86(tmp_path / "x86-fp32"), tmp_path / "records.jsonl"
    words = ["bench", "run", str(bundle), "--on", board.name, "--runner", SLOW, "--warmup", "0", "--repeat", "20"]
    command = [sys.executable, "-m", "edge_seg.cli", *words, "--out", str(out), "--json"]
    settings: dict[str, Any] = {"env": {**os.environ, "PYTHONPATH": str(ROOT)}, "text": True}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings)
    time.sleep(draw.uniform(0.5, 9.0))
    kept_before = samples_kept(out)
    victims = {
        "harness": [process.pid],
        "ssh": processes("ssh", board.config),
        "session": board.sessions(),
        "runner": processes("fake_runner", str(bundle.name)),
    }[("harness", "ssh", "session", "runner")[attempt % 4]]
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    process.communicate(timeout=240)
    kept = [*(read(out)[0] if out.exists() else []), *unfinished(out)]
    assert sum(len(record.samples) for record in kept) >= kept_before
    done = subprocess.run(command, capture_output=True, check=False, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    records, bad = read(out)
    assert bad == []
    whole = [len(record.samples) for record in records if record.ended is None]
    assert whole == [20] * (2 if process.returncode == 0 else 1), "what ended well is measured anew"
    for _ in range(600):
        if not processes("fake_runner", "slow"):
            break
        time.sleep(0.05)
    assert processes("fake_runner", "slow") == []
    assert left_on(board) == [], "nothing is left on the board"


def left_on(board: Sshd) -> list[str]:
    folder = board.home / "edge-seg"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
