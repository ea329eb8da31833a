"""A packed archive onto a board, beside what runs there; it takes over only after its self-test has passed.

On the board::

    versions/3f2a…/     run, edge-seg-run, lib/, bundle/: one folder for each version
    run                 → versions/3f2a…/run, what runs
    previous            → versions/90cd…/run, what ran before

``run`` is a link to a file, because every system's ``mv`` replaces such a link by one rename: at each moment there is
the old one or the new one. Everything before that rename happens in a folder that nobody uses.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_seg.archive import unpack
from edge_seg.boards.elf import KINDS, read_elf
from edge_seg.boards.pack import LIBRARIES, RUN, RUNNER
from edge_seg.errors import EdgeSegError, TargetError, UsageError
from edge_seg.files import sha256
from edge_seg.targets.drive import drive
from edge_seg.targets.remote import Board

SELF_TEST_SILENCE_S = 600.0
WRITING_LIMIT_S = 600.0
"""Seconds that a slow card may take to write what was copied."""

# $1: folder. Prints the processor, the versions that run and previous lead to, and all that are there, newest first.
STATE = """
cd -- "$1" || exit
uname -m
for link in run previous; do
  to=
  if [ -h "$link" ]; then to=$(readlink "$link"); fi
  to=${to#versions/}
  echo "$link=${to%/run}"
done
if [ -d versions ]; then ls -t versions; fi
"""

# $1: folder. What earlier attempts left goes first.
ROOM = 'cd -- "$1" && mkdir -p versions && rm -rf -- versions/*.partial'

# $1: folder of the version; the rest: programs in it.
PROGRAMS = 'cd -- "$1" && shift && chmod 755 "$@" && sync'

# $1: folder, $2: version. A link that is to be replaced is made beside and renamed.
KEEP = 'cd -- "$1" && mv -f "versions/$2.partial" "versions/$2"'
SWITCH = """
cd -- "$1" || exit
if [ -h run ] && [ "$(readlink run)" != "versions/$2/run" ]; then
  rm -f previous.new && ln -s "$(readlink run)" previous.new && mv -f previous.new previous || exit
fi
rm -f run.new && ln -s "versions/$2/run" run.new && mv -f run.new run && sync
"""

# $1: folder; the rest: versions.
REMOVE = 'cd -- "$1/versions" && shift && rm -rf -- "$@"'


@dataclass(frozen=True)
class State:
    """What is on a board. ``current`` and ``previous`` are among ``versions``, or None."""

    machine: str
    current: str | None
    previous: str | None
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Deployed:
    """What `edge-seg deploy` did; ``self_test`` is the runner's line, None where none was run."""

    target: str
    folder: str
    state: State
    happened: str
    removed: tuple[str, ...] = ()
    self_test: dict[str, Any] | None = field(default=None)

    def as_json(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "folder": self.folder,
            "current": self.state.current,
            "previous": self.state.previous,
            "versions": list(self.state.versions),
            "removed": list(self.removed),
            "happened": self.happened,
            "self_test": self.self_test,
        }

    def __str__(self) -> str:
        lines = [f"{self.target}: {self.happened}"]
        if self.removed:
            lines.append(f"removed: {', '.join(self.removed)}")
        if self.state.previous:
            lines.append(f"the one before, {self.state.previous}, is kept: edge-seg deploy --rollback brings it back")
        if self.state.current:
            lines.append(f"on the board: {self.folder}/{RUN} --images photo.jpg --json")
        return "\n".join(lines)


def look(board: Board) -> State:
    """What is on the board now."""
    machine, run, previous, *versions = board.ask(STATE, board.folder).splitlines()
    whole = tuple(name for name in versions if not name.endswith(".partial"))
    named = [link.partition("=")[2] for link in (run, previous)]
    current, before = (name if name in whole else None for name in named)
    return State(machine, current, before, whole)


def deploy(board: Board, archive: Path, keep: int, progress: Callable[[str], None]) -> Deployed:
    """Brings the archive to the board, tests it there, and lets it take over.

    ``keep`` versions stay, the new one and the one before among them. Raises EdgeSegError, saying what runs on the
    board now, when anything fails before the take-over; nothing has changed for the board's users then.
    """
    with tempfile.TemporaryDirectory(prefix="edge-seg-") as scratch:
        folder = _unpacked(archive, Path(scratch))
        version = sha256(archive)[:12]
        progress(f"{board.name}: looking")
        before = look(board)
        _check_machine(board.name, before.machine, folder)
        try:
            said = _bring(board, folder, version, before, progress)
        except EdgeSegError as problem:
            raise _told(board, problem, version, before) from None
    _switch(board, version, before)
    after = look(board)
    surplus = _surplus(after, keep)
    if surplus:
        board.ask(REMOVE, board.folder, *surplus)
    again = " (it was there already)" if version in before.versions else ""
    instead = f", instead of {before.current}" if before.current not in (None, version) else ""
    happened = f"version {version} passed its self-test and runs now{instead}{again}"
    return Deployed(board.name, board.folder, look(board), happened, surplus, said)


def rollback(board: Board, progress: Callable[[str], None]) -> Deployed:
    """Lets the version before take over again, once its self-test has passed."""
    state = look(board)
    if state.previous is None:
        raise TargetError(
            f"{board.name}: there is no earlier version in {board.folder}",
            remedy="deploy an archive",
            code="no-previous",
        )
    progress(f"{board.name}: self-test of {state.previous}")
    try:
        said = _self_test(board, f"{board.folder}/versions/{state.previous}/{RUN}")
    except EdgeSegError as problem:
        raise _told(board, problem, state.previous, state) from None
    _switch(board, state.previous, state)
    happened = f"version {state.previous} passed its self-test and runs again, instead of {state.current}"
    return Deployed(board.name, board.folder, look(board), happened, (), said)


def clean(board: Board) -> Deployed:
    """Removes all versions but the one that runs."""
    state = look(board)
    surplus = tuple(name for name in state.versions if name != state.current)
    board.ask('cd -- "$1" && rm -rf -- previous versions/*.partial', board.folder)
    if surplus:
        board.ask(REMOVE, board.folder, *surplus)
    happened = f"version {state.current} runs" if state.current else "nothing runs there"
    return Deployed(board.name, board.folder, look(board), happened, surplus)


def status(board: Board) -> Deployed:
    """What is on the board, as a report."""
    state = look(board)
    happened = f"version {state.current} runs" if state.current else "nothing is deployed"
    return Deployed(board.name, board.folder, state, f"{happened}; the board is {state.machine}")


def _unpacked(archive: Path, scratch: Path) -> Path:
    """The archive's content: one folder with a start script and a runner in it."""
    if not archive.is_file():
        raise UsageError(f"{archive}: no such file", remedy="give the archive that `edge-seg pack` wrote")
    inner = list(unpack(archive, scratch / "content", EdgeSegError).iterdir())
    folder = inner[0] if len(inner) == 1 and inner[0].is_dir() else scratch / "content"
    for name in (RUN, RUNNER, "bundle/manifest.json"):
        if not (folder / name).is_file():
            hint = "; a bundle alone is packed by `edge-seg bundle pack`" if name == RUN else ""
            raise UsageError(f"{archive}: holds no {name}{hint}", remedy="give the archive that `edge-seg pack` wrote")
    return folder


def _check_machine(name: str, machine: str, folder: Path) -> None:
    program = read_elf(folder / RUNNER)
    if program is None:
        return
    fits = {system for kind in KINDS.values() if kind.machine == program.machine for system in kind.systems}
    if machine not in fits:
        raise TargetError(
            f"{name}: the board is {machine}, but the archive's runner is for {program.machine}; nothing was changed",
            remedy="pack with a runner for this board (edge-seg pack --target)",
            code="wrong-architecture",
        )


def _bring(board: Board, folder: Path, version: str, before: State, progress: Callable[[str], None]) -> dict[str, Any]:
    place = f"{board.folder}/versions/{version}"
    if version not in before.versions:
        board.ask(ROOM, board.folder)
        progress(f"{board.name}: copying")
        board.copy(folder, f"{place}.partial")
        libraries = [f"{LIBRARIES}/{file.name}" for file in sorted((folder / LIBRARIES).glob("*"))]
        board.ask(PROGRAMS, f"{place}.partial", RUN, RUNNER, *libraries, limit=WRITING_LIMIT_S)
        progress(f"{board.name}: self-test")
        said = _self_test(board, f"{place}.partial/{RUN}")
        board.ask(KEEP, board.folder, version)
        return said
    progress(f"{board.name}: self-test")
    return _self_test(board, f"{place}/{RUN}")


def _self_test(board: Board, program: str) -> dict[str, Any]:
    outcome = drive(board, ["--self-test", "--json"], runner=[program], silence=SELF_TEST_SILENCE_S)
    said = outcome.single.get("self_test")
    if not said or not said.get("passed"):
        raise TargetError(
            f"the runner said nothing of a self-test that passed: {json.dumps(said)}",
            remedy="use a runner of the same version as this edge-seg",
            code="self-test-failed",
        )
    return said


def _surplus(state: State, keep: int) -> tuple[str, ...]:
    """The oldest versions beyond ``keep``, neither in use nor the one before."""
    used = [name for name in state.versions if name in (state.current, state.previous)]
    others = [name for name in state.versions if name not in used]
    return tuple(others[max(0, keep - len(used)) :])


def _switch(board: Board, version: str, before: State) -> None:
    try:
        board.ask(SWITCH, board.folder, version)
    except EdgeSegError as problem:
        try:
            now = look(board)
        except EdgeSegError:
            raise TargetError(
                f"{problem.message}\n  this happened while version {version}, whose self-test had passed, took over on"
                f" {board.name}: either it runs now, or the one before",
                remedy=f"`edge-seg deploy {board.name} --status` says which, once the board answers again",
                code=problem.code,
            ) from None
        if now.current != version:  # else only the answer was lost
            raise _failure(board.name, problem, version, before, "the new one lies beside it") from None


def _told(board: Board, problem: EdgeSegError, version: str, before: State) -> TargetError:
    """The failure with what it means for the board; the unfinished version is removed if the board still answers."""
    left = "what was copied is removed"
    try:
        board.ask('cd -- "$1" && rm -rf -- "versions/$2.partial"', board.folder, version)
    except EdgeSegError:
        left = "what was copied is removed by the next deployment"
    return _failure(board.name, problem, version, before, left)


def _failure(name: str, problem: EdgeSegError, version: str, before: State, left: str) -> TargetError:
    runs = f"version {before.current} goes on running there" if before.current else "nothing ran there before"
    return TargetError(
        f"version {version} was not deployed to {name}: {problem.message}\n  {runs}; {left}",
        remedy=problem.remedy,
        code=problem.code,
    )
