"""Children that end well, badly or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_seg import limits
from edge_seg.process.child import run_module
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules ``kind_<how>``, each of which ends in its own way."""
    endings = {
        "well": "print('done')",
        "failed": "import sys; print('what was wrong', file=sys.stderr); sys.exit(3)",
        "died": "import os, sys; sys.stderr.write('last words\\n'); sys.stderr.flush(); os.abort()",
        "chatty": "import sys; print('x' * 99 + '\\n' * 1, file=sys.stderr); [print('y' * 999) for _ in range(30_000)];"
        " print('answer')",
        "left": "import subprocess; subprocess.Popen(['sleep', '60']); print('done')",
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


def test_a_child_ends_with_the_process_that_is_killed(tmp_path: Path) -> None:
    program = "import sys; from edge_seg.process.child import run_module; run_module('kind_waits', limit_s=60)"
    (tmp_path / "kind_waits.py").write_text(
        f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    parent = subprocess.Popen([sys.executable, "-c", program], env=environment)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().endswith("\n"):
        assert parent.poll() is None
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    child = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    for _ in range(500):
        if not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.01)
    raise AssertionError("the child outlives its parent")


def test_a_child_that_hangs_is_ended() -> None:
    outcome = run_module("kind_hung", limit_s=1.5)
    assert not outcome.ok
    assert (outcome.ending(), outcome.tail()) == ("gave no answer within 1.5 s", "begun")


def test_of_much_output_the_end_is_kept() -> None:
    outcome = run_module("kind_chatty", limit_s=60)
    assert outcome.ok
    assert outcome.stdout.splitlines()[-1] == "answer"
    assert limits.CHILD_BYTES <= len(outcome.stdout) < 1.1 * limits.CHILD_BYTES


def test_a_process_that_a_child_left_behind_is_not_waited_for() -> None:
    begin = time.monotonic()
    outcome = run_module("kind_left", limit_s=60)
    assert (outcome.ok, outcome.stdout) == (True, "done\n")
    assert time.monotonic() - begin < 30
