"""A bundle, and the command that looks at it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_seg import cli
from tests.bundles.made import make_bundle


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """The bundle, in a folder of its own."""
    return make_bundle(tmp_path / "sound")


@pytest.fixture
def bundle(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """``bundle("show", folder)`` gives the command's exit code, stdout and stderr."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main(["bundle", *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, err

    return run
