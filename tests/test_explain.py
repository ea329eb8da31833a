"""What commands say where this machine lacks what every program takes for granted."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edge_seg import cli
from edge_seg.cache import cache_folder, home_folder
from edge_seg.errors import EdgeSegError
from edge_seg.explain import explain
from tests.conftest import ROOT


def test_a_current_folder_that_is_gone(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "edge_seg.cli", "data", "check", "set"]
    leave = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    done = subprocess.run(
        ["sh", "-c", leave, "sh", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode in (1, 2)
    assert "this is a bug" not in done.stderr
    assert "the current folder is no longer there" in done.stderr or "set: no such" in done.stderr


def test_no_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"])
    monkeypatch.setattr(tempfile, "tempdir", None)
    with pytest.raises(FileNotFoundError) as caught:
        tempfile.gettempdir()
    code, error = explain(caught.value)
    assert code == 1
    assert error.message == "No usable temporary directory found in ['/nowhere']"
    assert error.remedy == "make one of them writable, or set TMPDIR to a folder that is"


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user that the system doesn't know, as `docker run --user 54321` has it."""
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "EDGE_SEG_CACHE", "PYENV_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)


def test_a_user_without_a_home(nobody: None, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(EdgeSegError, match="the user 54321 has no home folder"):
        home_folder()
    assert cli.main(["board", "list"]) == 1
    assert "set HOME to a folder that you may write to" in capsys.readouterr().err


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, nobody: None, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "edge-seg"
    monkeypatch.setenv("EDGE_SEG_CACHE", str(tmp_path / "~there"))
    assert cache_folder() == tmp_path / "~there"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EDGE_SEG_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "home/mine"
