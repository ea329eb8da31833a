"""Boards with names of their own: ``--on pi5`` in place of ``--on ssh://pi@192.168.1.20``.

They stand in one file, ``$XDG_CONFIG_HOME/edge-seg/boards.json`` (``~/.config`` where that isn't set)::

    {"schema": 1, "boards": {"pi5": {"target": "ssh://pi@192.168.1.20", "dir": "edge-seg", "runner": ["./run"]}}}

``dir`` and ``runner`` may be missing.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.cache import home_folder
from edge_seg.errors import UsageError
from edge_seg.files import locked, read_json, write_json
from edge_seg.targets import FORMS, Target, open_target, scheme_of

SCHEMA = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}")
_TAKEN = ("local", "adb", "ssh", "emulated")


@dataclass(frozen=True)
class NamedBoard:
    """A board of the file: where it is, and the folder and runner there, where they aren't the usual ones."""

    name: str
    target: str
    folder: str | None = None
    runner: tuple[str, ...] = ()


def boards_file() -> Path:
    """Where the names stand."""
    config = os.environ.get("XDG_CONFIG_HOME") or home_folder() / ".config"
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
    if scheme_of(name) is not None:
        return NamedBoard(name, name)
    boards = read_boards()
    if name in boards:
        return boards[name]
    known = f"named boards are {', '.join(sorted(boards))}" if boards else "no board has a name yet"
    address = re.fullmatch(r"[^@/:]+@[^@/:]+|\d+(\.\d+){3}", name)
    hint = f"; did you mean ssh://{name}?" if address else ""
    raise UsageError(
        f"no board or target named {name!r}",
        remedy=f"{known} (`edge-seg board add` gives one); targets are {FORMS}{hint}",
        code="unknown-target",
    )


def open_board(board: NamedBoard, runner: Sequence[str] = (), folder: str | None = None) -> Target:
    """Its target, not connected yet; ``runner`` and ``folder`` take the place of the file's."""
    return open_target(board.target, runner=tuple(runner) or board.runner, folder=folder or board.folder)


def add_board(board: NamedBoard) -> None:
    """Writes a board into the file. Raises UsageError when its name can't be one, or is taken."""
    if not NAME.fullmatch(board.name) or board.name in _TAKEN:
        raise UsageError(
            f"board name {board.name!r}: expected letters, digits, '.', '_' and '-', and none of {', '.join(_TAKEN)}",
            remedy="choose another name, such as kitchen or line-3",
        )
    with _held():
        boards = read_boards()
        if board.name in boards:
            raise UsageError(
                f"board {board.name!r}: is {boards[board.name].target} already",
                remedy=f"`edge-seg board remove {board.name}` first, or choose another name",
                code="exists",
            )
        _write({**boards, board.name: board})


def remove_boards(names: Sequence[str]) -> None:
    """Removes boards from the file. Raises UsageError, and changes nothing, when one isn't in it."""
    with _held():
        boards = read_boards()
        for name in names:
            if name not in boards:
                raise UsageError(
                    f"no board named {name!r}", remedy="`edge-seg board list` shows them", code="unknown-board"
                )
        _write({name: board for name, board in boards.items() if name not in names})


@contextlib.contextmanager
def _held() -> Iterator[None]:
    """The file is another process's only before or after: of two that add a board at once, neither is lost."""
    folder = boards_file().parent
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, None):
        yield


def _write(boards: dict[str, NamedBoard]) -> None:
    plain: dict[str, dict[str, Any]] = {}
    for name, board in boards.items():
        plain[name] = {"target": board.target}
        if board.folder is not None:
            plain[name]["dir"] = board.folder
        if board.runner:
            plain[name]["runner"] = list(board.runner)
    write_json(boards_file(), {"schema": SCHEMA, "boards": plain})
