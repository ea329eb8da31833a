"""What the commands work with and where they write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.world import Command, World, command_of
from tests.targets.sshd import board, sshd

__all__ = ["board", "sshd"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_bundles: Path) -> World:
    return World(tmp_path_factory.mktemp("faults"), tiny_bundles)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the commands write."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


@pytest.fixture
def words(name: str, world: World, place: Path, request: pytest.FixtureRequest) -> Command:
    """The command line of that name, which writes into ``place``, or to a board behind ssh."""
    return command_of(name, world, place, request)
