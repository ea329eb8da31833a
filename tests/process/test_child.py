"""Children that end well, badly or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_seg.process.child import run_module


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules ``kind_<how>``, each of which ends in its own way."""
    endings = {
        "well": "print('done')",
        "failed": "import sys; print('what was wrong', file=sys.stderr); sys.exit(3)",
        "died": "import os, sys; sys.stderr.write('last words\\n'); sys.stderr.flush(); os.abort()",
        "hung": "import time; print('begun', flush=True); time.sleep(60)",
    }
    for name, program in endings.items():
        (tmp_path / f"kind_{name}.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_output_is_captured() -> None:
    outcome = run_module("kind_well", limit_s=30)
    assert outcome.ok
    assert outcome.stdout == "done\n"


@pytest.mark.parametrize(
    ("name", "ending", "tail"),
    [
        ("failed", "ended with exit code 3", "what was wrong"),
        ("died", "was killed by SIGABRT", "last words"),
    ],
)
def test_how_a_child_ended(name: str, ending: str, tail: str) -> None:
    outcome = run_module(f"kind_{name}", limit_s=30)
    assert not outcome.ok
    assert (outcome.ending(), outcome.tail()) == (ending, tail)


def test_a_child_that_hangs_is_ended() -> None:
    outcome = run_module("kind_hung", limit_s=1.5)
    assert not outcome.ok
    assert (outcome.ending(), outcome.tail()) == ("gave no answer within 1.5 s", "begun")
