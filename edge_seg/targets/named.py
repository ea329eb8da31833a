"""Boards with names of their own: ``--on pi5`` in place of ``--on ssh://pi@192.168.1.20``.

They stand in one file, ``$XDG_CONFIG_HOME/edge-seg/boards.json`` (``~/.config`` where that isn't set)::

    {"schema": 1, "boards": {"pi5": {"target": "ssh://pi@192.168.1.20", "dir": "edge-seg", "runner": ["./run"]}}}

``dir`` and ``runner`` may be missing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.errors import UsageError
from edge_seg.files import read_json
from edge_seg.targets import FORMS, KINDS, Target, open_target

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}")


@dataclass(frozen=True)
class NamedBoard:
    """A board of the file: where it is, and the folder and runner there, where they aren't the usual ones."""

    name: str
    target: str
    folder: str | None = None
    runner: tuple[str, ...] = ()


def boards_file() -> Path:
    """Where the names stand."""
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "edge-seg" / "boards.json"


def read_boards() -> dict[str, NamedBoard]:
    """The named boards; none where there is no file. Raises UsageError for a file that can't be understood."""
    file = boards_file()
    if not file.exists():
        return {}
    plain = read_json(file, UsageError)
    boards = plain.get("boards", plain) if isinstance(plain, dict) else None
    if not isinstance(boards, dict):
        raise _damaged(file, "it holds no object of boards")
    return {name: _board(file, name, value) for name, value in boards.items() if name != "schema"}


def _board(file: Path, name: str, value: Any) -> NamedBoard:
    entry = {"target": value} if isinstance(value, str) else value
    if not isinstance(entry, dict) or not isinstance(entry.get("target"), str):
        raise _damaged(file, f"the board {name!r} has no target")
    folder, runner = entry.get("dir"), entry.get("runner") or ()
    runner = (runner,) if isinstance(runner, str) else runner
    if not isinstance(folder, str | None) or not all(isinstance(word, str) for word in runner):
        raise _damaged(file, f"the board {name!r}: its dir is text, its runner a list of words")
    return NamedBoard(name, entry["target"], folder, tuple(runner))


def _damaged(file: Path, why: str) -> UsageError:
    remedy = "correct it, or remove it and name the boards anew with `edge-seg board add`"
    return UsageError(f"{file}: {why}", remedy=remedy, code="boards-file")


def find_board(name: str) -> NamedBoard:
    """The board of that name, or the target that ``name`` says itself.

    Raises UsageError when it is neither, with the names that there are.
    """
    if any(name == scheme if scheme == "local" else name.startswith(scheme) for scheme in KINDS):
        return NamedBoard(name, name)
    boards = read_boards()
    if name in boards:
        return boards[name]
    if not NAME.fullmatch(name):
        open_target(name)  # raises, with what may have been meant
    known = f"named boards are {', '.join(sorted(boards))}" if boards else "no board has a name yet"
    raise UsageError(
        f"no board or target named {name!r}",
        remedy=f"{known} (`edge-seg board add` gives one); targets are {FORMS}",
        code="unknown-target",
    )


def open_board(board: NamedBoard, runner: Sequence[str] = ()) -> Target:
    """Its target, not connected yet; ``runner`` takes the place of the file's."""
    return open_target(board.target, runner=tuple(runner) or board.runner, folder=board.folder)
