"""How a run ends: Ctrl-C, a reader that goes away, an engine that dies. What was measured is said, and why it ended."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.native.bundles import native
from tests.native.conftest import command_of
from tests.native.running import Running
from tests.native.videos import clip


def test_ctrl_c_while_it_waits_for_a_video(command: list[str], folder: Path) -> None:
    running = Running(command, "--video", "-", stdin=subprocess.PIPE)
    running.until("hello")
    code, lines = running.stop()
    assert (code, lines[-1]["code"]) == (130, "interrupted")


def test_ctrl_c_in_a_video_keeps_what_was_measured(command: list[str], folder: Path) -> None:
    content, _ = clip(6)
    running = Running(command, "--video", "-", stdin=subprocess.PIPE)
    assert running.process.stdin
    running.process.stdin.write(content)
    running.process.stdin.flush()
    for _ in range(6):
        running.until("result")
    code, lines = running.stop()
    running.process.stdin.close()
    assert code == 130
    assert [line["type"] for line in lines] == ["stream", "memory", "error"]
    assert lines[0]["frames"] == 6


def test_ctrl_c_among_images_keeps_what_was_measured(command: list[str], folder: Path) -> None:
    running = Running(command, "--image", "a photo.jpg", "--instances", "2", "--repeat", "100000000")
    running.until("sample")
    code, lines = running.stop()
    assert code == 130
    assert [line["type"] for line in lines if line["type"] != "sample"] == ["result", "memory", "error"]
    assert len(lines[-3]["instances"]) == 2


def test_reader_that_goes_away_ends_it(command: list[str], folder: Path) -> None:
    content, _ = clip(4)
    running = Running(command, "--video", "-", stdin=subprocess.PIPE)
    assert running.process.stdin
    assert running.process.stdout
    running.until("hello")
    running.process.stdout.close()
    running.process.stdin.write(content)  # and the pipe stays open: it must not wait for more
    running.process.stdin.flush()
    assert running.process.wait(20) == 1
    running.process.stdin.close()


@pytest.mark.parametrize(
    "way",
    ["abort", "segfault", "null", "stack", "fpe", "illegal", "bus", "killed", "terminate", "exit", "chatter"],
)
def test_an_engine_that_dies_is_an_error_line(folder: Path, way: str) -> None:
    command = command_of("host", "edge-seg-crash")
    code, lines = native(command, "bundle", way, "--json")
    assert [line["type"] for line in lines] == ["sample", "error"]
    assert (code, lines[-1]["code"]) == (1, "crashed")
    assert "while running the graph detect" in lines[-1]["message"]
    assert lines[-1]["remedy"]


@pytest.mark.parametrize(("way", "error"), [("throws", "bug"), ("throws-other", "bug"), ("memory", "memory")])
def test_what_an_engine_throws_is_an_error_line(folder: Path, way: str, error: str) -> None:
    code, lines = native(command_of("host", "edge-seg-crash"), "bundle", way, "--json")
    assert (code, lines[-1]["type"], lines[-1]["code"]) == (1, "error", error)
