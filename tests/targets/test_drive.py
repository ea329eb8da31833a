"""Every way a runner can fail becomes one clear error; a runner that works is heard to the end."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edge_seg.errors import EngineError
from edge_seg.process.running import Running
from edge_seg.targets.drive import Message, drive
from edge_seg.targets.local import Local

OPTIONS = ["--bundle", "b", "--images", "x.png", "--warmup", "0", "--repeat", "3", "--threads", "1", "--json"]


def test_messages_arrive_in_order_and_are_sorted(fake_target: Any) -> None:
    seen: list[Message] = []
    outcome = drive(fake_target(), OPTIONS, silence=10, on_message=seen.append)
    assert [message["type"] for message in seen] == ["hello", "load", "first_run", *["sample"] * 3, "memory", "done"]
    assert outcome.single["load"]["ns"] == 5_000_000
    assert len(outcome.samples) == 3
    assert outcome.cpu_seconds is not None
    assert outcome.cpu_seconds > 0


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("error", "wrong-target", ["an Arm bundle on an x86 host", "convert with x86-fp32"]),
        ("killed", "runner-died", ["SIGABRT", "'load'", "libfake: assertion failed"]),
        ("shell-code", "runner-died", ["SIGSEGV"]),
        ("late-death", "runner-died", ["SIGSEGV"]),
        ("exit-3", "runner-died", ["exit code 3", "'sample'"]),
        ("no-done", "runner-died", ["without saying `done`"]),
        ("garbage", "runner-protocol", ["a library's chatter", "same version"]),
    ],
)
def test_faults_become_clear_errors(fake_target: Any, fault: str, code: str, words: list[str]) -> None:
    with pytest.raises(EngineError) as caught:
        drive(fake_target(fault), OPTIONS, silence=10)
    assert caught.value.code == code
    for word in words:
        assert word in str(caught.value)


def test_a_silent_runner_is_ended(fake_target: Any) -> None:
    begin = time.monotonic()
    with pytest.raises(EngineError, match=r"wrote nothing for 0\.5 s after its 'first_run' line"):
        drive(fake_target("hang"), OPTIONS, silence=0.5)
    assert time.monotonic() - begin < 10


def test_a_missing_runner_is_named() -> None:
    target = Local()
    target.runner = ("no-such-runner",)
    with pytest.raises(EngineError, match="no-such-runner: can't be started"):
        drive(target, OPTIONS, silence=1)


def test_stop_ends_the_children_too(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with Running(["sh", "-c", f"sleep 60 & echo $! > '{pid_file}'; echo ready; wait"]) as running:
        assert next(running.lines(10)) == "ready"
    child = int(pid_file.read_text())
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or "State:\tZ" in Path(f"/proc/{child}/status").read_text():
            return
        time.sleep(0.05)
    os.kill(child, 9)
    pytest.fail("the runner's child outlived it")


def test_a_left_behind_child_that_holds_the_pipe_does_not_block() -> None:
    begin = time.monotonic()
    with Running(
        [sys.executable, "-c", "import os, time; print('x', flush=True); os.fork() or time.sleep(8)"]
    ) as running:
        assert list(running.lines(30)) == ["x"]
    assert time.monotonic() - begin < 7
