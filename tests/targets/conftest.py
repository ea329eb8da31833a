"""A target whose runner is a script that fails as it is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edge_seg.targets.local import Local
from tests.targets.sshd import board, sshd

__all__ = ["board", "sshd"]

FAKE_RUNNER = Path(__file__).parents[1] / "bench" / "fake_runner.py"


class FakeTarget(Local):
    """This machine with the fake runner, which fails in the way asked for."""

    def __init__(self, fault: str = "none") -> None:
        super().__init__((sys.executable, str(FAKE_RUNNER), fault))


@pytest.fixture
def fake_target() -> type[FakeTarget]:
    return FakeTarget
