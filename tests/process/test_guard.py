"""Guarded commands: whatever kills the child, the user gets a message and no partial files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

ROOT = Path(__file__).parents[2]
COMMAND = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
import click
from edge_seg.process import guard
from edge_seg.errors import BundleError
from edge_seg.files import atomic_dir, atomic_file
from edge_seg.options import echo_json, json_option

@click.command()
@click.argument("how")
@json_option
@guard.guarded
def act(how, as_json):
    if how == "pid":
        click.echo(os.getpid())
    elif how == "answer":
        echo_json({"child": guard.is_child(), "stdin": sys.stdin.read()})
    elif how == "error":
        raise BundleError("no good", remedy="another one")
    elif how == "three":
        return 3
    elif how == "environment":
        code = "import os; print('EDGE_SEG_GUARD_PIPE' in os.environ)"
        subprocess.run([sys.executable, "-c", code], check=True)
    elif how == "exit-crash":
        class Predictor:
            def __del__(self, kill=os.kill, pid=os.getpid()):
                kill(pid, 6)
        sys.keep = Predictor()
        echo_json({"done": True})
    elif how == "wait":
        with atomic_dir(Path("out")) as folder:
            (folder / "a").touch()
            print(os.getpid(), flush=True)
            time.sleep(60)
    elif how == "nohup":
        print(os.getpid(), flush=True)
        time.sleep(1)
        print("done")
    elif how == "nested":
        guard.phase("looking on")
        with guard.during("reading a.png"):
            pass
        os.kill(os.getpid(), 6)
    else:
        guard.phase("reading the manifest")
        with atomic_dir(Path("out")) as folder, atomic_file(folder / "a"):
            guard.phase("loading detect.nb")
            os.kill(os.getpid(), int(how))
"""
SCRIPT = """
import os, signal, sys, time
if "EDGE_SEG_GUARD_PIPE" in os.environ and sys.argv[-1] == "early":
    print(os.getppid(), flush=True)
    time.sleep(1)  # as the start of a child takes on a busy machine
from edge_seg import cli
cli.COMMANDS["act"] = cli.Entry("guarded_act:act", "Does what it is told.")
sys.exit(cli.main())
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """A command line of which only the last word, what to do, is missing; it runs in ``tmp_path/work``."""
    (tmp_path / "guarded_act.py").write_text(COMMAND)
    (tmp_path / "tool.py").write_text(SCRIPT)
    (tmp_path / "work").mkdir()
    return [sys.executable, str(tmp_path / "tool.py"), "act"]


def start(command: list[str], *words: str, **options: Any) -> subprocess.Popen[str]:
    folder = Path(command[1]).parent
    return subprocess.Popen(
        [*command, *words],
        cwd=folder / "work",
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def run(command: list[str], *words: str, stdin: str = "") -> tuple[int, str, str]:
    process = start(command, *words)
    out, err = process.communicate(stdin, timeout=60)
    return process.returncode, out, err


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
def test_a_crash_is_told_and_leaves_nothing(command: list[str], tmp_path: Path, number: signal.Signals) -> None:
    code, out, err = run(command, str(int(number)))
    assert code == 1
    assert out == ""
    assert f"Error: the process died of {number.name} while loading detect.nb\n" in err
    assert "Traceback" not in err
    assert list((tmp_path / "work").iterdir()) == []


def test_a_crash_in_json(command: list[str]) -> None:
    code, out, _ = run(command, "6", "--json")
    error = json.loads(out)["error"]
    assert (code, error["code"]) == (1, "crashed")
    assert "detect.nb" in error["message"]
    assert error["remedy"]


def test_a_kill_points_to_memory(command: list[str]) -> None:
    assert "memory" in run(command, "9")[2]


def test_the_child_has_our_streams(command: list[str]) -> None:
    code, out, err = run(command, "answer", "--json", stdin="typed")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"child": True, "stdin": "typed"}


def test_an_error_is_told_once(command: list[str]) -> None:
    code, out, err = run(command, "error", "--json")
    assert code == 1
    assert err.count("no good") == 1
    assert json.loads(out)["error"]["code"] == "bundle"


def test_the_exit_code_is_the_childs(command: list[str]) -> None:
    assert run(command, "three")[0] == 3


def test_commands_that_the_child_starts_are_not_taken_for_guarded(command: list[str]) -> None:
    assert run(command, "environment")[:2] == (0, "False\n")


def test_a_crash_after_the_answer_does_not_count(command: list[str]) -> None:
    code, out, _ = run(command, "exit-crash", "--json")
    assert code == 0
    assert json.loads(out) == {"done": True}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_reaches_the_child(command: list[str], tmp_path: Path, number: signal.Signals, code: int) -> None:
    process = start(command, "wait")
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert len(err.split()) == 1  # one word after the ^C of the terminal
    assert not is_running(child)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_signal_while_the_child_starts(command: list[str]) -> None:
    process = start(command, "early", start_new_session=True)
    assert process.stdout is not None
    assert int(process.stdout.readline()) == process.pid
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "stopped\n")


def test_nohup_reaches_the_child(command: list[str]) -> None:
    process = start(
        command, "nohup", start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    os.killpg(process.pid, signal.SIGHUP)
    assert process.communicate(timeout=60) == ("done\n", "")
    assert process.returncode == 0


def test_what_was_done_in_a_block_is_not_blamed_after_it(command: list[str]) -> None:
    assert "died of SIGABRT while looking on\n" in run(command, "nested")[2]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child can't ask to die with its parent")
def test_the_child_dies_with_a_killed_parent(command: list[str]) -> None:
    process = start(command, "wait")
    assert process.stdout is not None
    child = int(process.stdout.readline())
    assert child != process.pid
    process.kill()
    process.communicate(timeout=60)
    for _ in range(100):
        if not is_running(child):
            return
        time.sleep(0.05)
    pytest.fail("the child goes on")


def test_called_from_python_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "guarded_act.py").write_text(COMMAND)
    monkeypatch.syspath_prepend(tmp_path)
    from guarded_act import act  # type: ignore[import-not-found]

    assert CliRunner().invoke(act, ["pid"]).output == f"{os.getpid()}\n"
