"""The native runner's benchmark runs, on the smallest scale."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import native


def test_without_the_runner_it_says_how_to_build_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(native, "BUILD", tmp_path)
    result = CliRunner().invoke(native.main)
    assert result.exit_code == 0
    assert "make native" in result.output


def test_every_claim_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (native.BUILD / "edge-seg-run").is_file():
        pytest.skip("the native runner isn't built: `make native` builds it")
    monkeypatch.setattr(native, "REPEATS", 2)
    monkeypatch.setattr(native, "PICTURES", 50)
    result = CliRunner().invoke(native.main, ["--rounds", "1"])
    assert not isinstance(result.exception, Exception), result.exception
    words = [line.split()[0] for line in result.output.splitlines()]
    assert len(words) == 1 + len(native.SIZES)
    assert set(words) <= {"holds", "FAILS"}
