"""A forked child is as good as a started one: output, exit code, crash, limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_seg.process.child import Outcome, forks, run_module
from edge_seg.process.forks import warm

ENDINGS = {
    "well": "import sys; print('done', sys.argv[1:])",
    "failed": "import sys; print('what was wrong', file=sys.stderr); sys.exit(3)",
    "raised": "raise ValueError('no such thing')",
    "died": "import os, sys; sys.stderr.write('last words\\n'); sys.stderr.flush(); os.abort()",
    "hung": "import time; print('begun', flush=True); time.sleep(60)",
    "parricide": "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
    "asked": "import sys; print(repr(sys.stdin.read()), 'warmed' in sys.modules)",
}
ALL = {f"kind_{name}" for name in ENDINGS}


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, program in ENDINGS.items():
        (tmp_path / f"kind_{name}.py").write_text(program)
    (tmp_path / "warmed.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def both(name: str, *arguments: str, limit_s: float = 30) -> tuple[Outcome, Outcome]:
    started = run_module(name, *arguments, limit_s=limit_s)
    with warm(ALL, "warmed", "there.is.no.such.module"):
        run_module("kind_died", limit_s=30)  # which must not harm those after it
        forked = run_module(name, *arguments, limit_s=limit_s)
    return started, forked


def test_output_and_arguments_are_the_same() -> None:
    started, forked = both("kind_well", "a", "b c")
    assert forked == started
    assert forked.stdout == "done ['a', 'b c']\n"


@pytest.mark.parametrize(("name", "code"), [("failed", 3), ("raised", 1), ("died", -6)])
def test_endings_are_the_same(name: str, code: int) -> None:
    started, forked = both(f"kind_{name}")
    assert forked.code == started.code == code
    assert forked.tail(1) == started.tail(1)


def test_a_child_that_hangs_is_ended() -> None:
    with warm(ALL):
        outcome = run_module("kind_hung", limit_s=0.5)
        assert (outcome.ending(), outcome.tail()) == ("gave no answer within 0.5 s", "begun")
        assert run_module("kind_well", limit_s=30).ok


def test_modules_are_there_already_and_stdin_is_empty() -> None:
    with warm(ALL, "warmed"):
        assert run_module("kind_asked", limit_s=30).stdout == "'' True\n"


def test_afterwards_children_are_started_again() -> None:
    with warm(ALL, "warmed"):
        assert forks.get().keys() == ALL
        with warm(["kind_well"]):
            assert run_module("kind_asked", limit_s=30).stdout == "'' True\n"
    assert not forks.get()
    assert run_module("kind_asked", limit_s=30).stdout == "'' False\n"


def test_a_server_that_is_gone_is_done_without() -> None:
    with warm(ALL):
        fork = forks.get()["kind_parricide"]
        assert fork("kind_parricide", [], 30) is None
        assert run_module("kind_well", limit_s=30).ok
