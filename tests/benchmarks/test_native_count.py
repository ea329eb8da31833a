"""Counting of instructions: what the plugin noted is put to the runner's lines."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.cost import read_samples
from benchmarks.native_count import main

LINES: list[dict[str, Any]] = [
    {"type": "hello"},
    {"type": "load"},
    {"type": "first_run", "image": "a", "instances": 3},
    {"type": "sample", "image": "a", "instances": 3},
    {"type": "result"},
    {"type": "sample", "image": "b", "instances": 5},
]


def events(*words: str) -> str:
    return "\n".join(words)


def image(begin: int, *steps: int) -> list[str]:
    """The child's readings of the clock, `steps` apart."""
    clocks = [begin + sum(steps[:i]) for i in range(len(steps) + 1)]
    return [f"8 clock {clock}" for clock in clocks]


def test_each_sample_gets_its_own_stages() -> None:
    noted = events(
        # hello, loading, a word on stderr, the note of a first start, load
        *("8 write 4 1", "8 clock 2", "8 write 2 3", "8 write 5 3", "8 write 4 4"),
        *(*image(100, 5, 9000, 6, 7000, 7, 0), "8 write 4 30000"),
        *(*image(40000, 10, 2000, 20, 900, 30, 0), "8 write 4 50000"),
        "8 write 4 50001",
        *(*image(60000, 11, 2000, 21, 1500, 31, 0), "8 write 4 70000"),
        "7 write 1 80000",  # the parent
    )
    first, second = read_samples(LINES, noted)
    assert (first.image, first.instances) == ("a", 3)
    assert (first.pre, first.detect, first.nms, first.mask, first.post) == (10, 2000, 20, 900, 30)
    assert first.total == 2960
    assert first.rest == pytest.approx(60 / 2960)
    assert (second.image, second.mask, second.post) == ("b", 1500, 31)


def test_more_borders_than_stages() -> None:
    noted = events("8 write 4 1", "8 write 4 2", *image(10, 1, 2, 3, 2000, 4, 900, 5, 6), "8 write 4 5000")
    (sample,) = read_samples([*LINES[:2], LINES[3]], noted)
    assert (sample.pre, sample.detect, sample.nms, sample.mask, sample.post) == (6, 2000, 4, 900, 11)


def test_says_why_it_is_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGE_SEG_NATIVE_BUILDS", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda _name: "/bin/true")
    outcome = CliRunner().invoke(main, [])
    assert outcome.exit_code == 0
    assert outcome.output.startswith("skipped: the runner and the plugin aren't built")
    for name in ("libedge-seg-count.so", "aarch64/edge-seg-run"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy("/bin/true", tmp_path / name)
    assert "was built without paddle-lite" in CliRunner().invoke(main, []).output
