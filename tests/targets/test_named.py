"""Boards by name: a file of the user's own, and every target by its name."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edge_seg import cli
from edge_seg.errors import UsageError
from edge_seg.targets import open_target
from edge_seg.targets.named import NamedBoard, add_board, boards_file, read_boards
from edge_seg.targets.remote import Board
from tests.boards.conftest import run

__all__ = ["run"]
Run = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "edge-seg" / "boards.json"


def test_boards_are_added_listed_and_removed(run: Run, config: Path) -> None:
    assert run("board", "list")[:2] == (0, {"file": str(config), "boards": {}})
    assert run("board", "add", "kitchen", "ssh://pi@10.0.0.3")[0] == 0
    assert run("board", "add", "phone", "adb:0123", "--dir", "/data/x")[0] == 0
    assert run("board", "list")[1]["boards"] == {
        "kitchen": {"target": "ssh://pi@10.0.0.3", "dir": None},
        "phone": {"target": "adb:0123", "dir": "/data/x"},
    }
    code, said, _ = run("board", "add", "kitchen", "ssh://other")
    assert (code, said["error"]["code"]) == (2, "exists")
    assert run("board", "remove", "kitchen", "none")[0] == 2
    assert run("board", "remove", "kitchen")[0] == 0
    assert set(read_boards()) == {"phone"}


def test_boards_that_are_added_at_once_are_all_there() -> None:
    names = [f"line-{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: add_board(NamedBoard(name, "ssh://pi@10.0.0.3")), names))
    assert sorted(read_boards()) == sorted(names)


def test_a_name_is_a_target(run: Run) -> None:
    add_board(NamedBoard("kitchen", "ssh://pi@10.0.0.3", "/data/x"))
    for folder, expected in ((None, "/data/x"), ("/other", "/other")):
        with open_target("kitchen", folder=folder) as board:
            assert isinstance(board, Board)
            assert (board.name, board._folder_asked) == ("ssh://pi@10.0.0.3", expected)
    with pytest.raises(UsageError, match="no board or target named 'hall'"):
        open_target("hall")


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("local", "ssh://x"),
        ("a b", "ssh://x"),
        ("", "ssh://x"),
        ("-x", "ssh://x"),
        ("x" * 64, "ssh://x"),
        ("good", "local"),
        ("good", "ftp://x"),
        ("good", "kitchen"),
    ],
)
def test_what_can_not_be_a_name(run: Run, name: str, target: str) -> None:
    add_board(NamedBoard("kitchen", "ssh://x"))
    code, said, _ = run("board", "add", "--", name, target)
    assert (code, bool(said["error"]["remedy"])) == (2, True)
    assert set(read_boards()) == {"kitchen"}


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 1, "boards": {"a": 1}}', "\xff"])
def test_a_damaged_file(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    boards_file().parent.mkdir(parents=True)
    boards_file().write_bytes(text.encode("latin-1"))
    assert cli.main(["board", "list"]) == 2
    assert str(boards_file()) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new"), [("pack", "board pack"), ("deploy", "board deploy"), ("runtime", "board fetch-library")]
)
def test_old_names_of_commands(capsys: pytest.CaptureFixture[str], old: str, new: str) -> None:
    assert cli.main([old, "x", "--help"]) == 2
    assert f"{old} is now called {new}" in capsys.readouterr().err
