"""A packed archive onto boards, beside what runs there; it takes over only after its self-test has passed.

``run`` (:mod:`edge_seg.boards.state`) is a link to a file, because every system's ``mv`` replaces such a link by one
rename: at each moment there is the old one or the new one. Everything before that rename happens in a folder that
nobody uses.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_seg.boards.pack import RUN, RUNNER
from edge_seg.boards.package import Package, check_board, open_package
from edge_seg.boards.state import SELF_TEST, Running, State, look, running
from edge_seg.errors import EdgeSegError, TargetError
from edge_seg.files import write_json
from edge_seg.targets.drive import drive
from edge_seg.targets.remote import Board
from edge_seg.trust import refuse_older

SELF_TEST_SILENCE_S = 600.0
WRITING_LIMIT_S = 600.0
"""Seconds that a slow card may take to write what was copied."""
RESTART_LIMIT_S = 120.0

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

# $1: folder, $2: version that no longer runs, $3: where processes are listed. Restarts the systemd units that still run
# it, and prints a line for each: "restarted NAME", "failed NAME", "process PID".
RESTART = r"""
cd -- "$1" || exit
old=$(pwd -P)/versions/$2/edge-seg-run
for process in "$3"/[0-9]*; do
  case " $(tr '\000' ' ' < "$process/cmdline" 2>/dev/null)" in *" $old "*) ;; *) continue ;; esac
  unit=$(sed -n 's|.*/\([^/]*\.service\)$|\1|p' "$process/cgroup" 2>/dev/null | head -n 1)
  if grep -q '/user@' "$process/cgroup" 2>/dev/null; then echo "user $unit"; else echo "${unit:-${process##*/}}"; fi
done | sort -u | while read -r words; do
  name=${words#user }
  case $words in
    "user "*.service) set -- systemctl --user restart "$name" ;;
    *.service) set -- systemctl restart "$name" ;;
    *) echo "process $name"; continue ;;
  esac
  if "$@" > /dev/null 2>&1 || sudo -n "$@" > /dev/null 2>&1; then echo "restarted $name"; else echo "failed $name"; fi
done
"""

# $1: folder; the rest: versions. When it is cut off, what is left of one has a name that ROOM removes.
REMOVE = """
cd -- "$1/versions" && shift || exit
for version; do
  rm -rf -- "$version.partial" && mv -f -- "$version" "$version.partial" && rm -rf -- "$version.partial" || exit
done
"""


@dataclass(frozen=True)
class Deployed:
    """What was done to a board; ``self_test`` is the runner's line, None where none was run.

    ``running`` is what the board's files say of the version that runs, where that was asked. ``notes`` name what is
    left for the user to do.
    """

    target: str
    folder: str
    state: State
    happened: str
    removed: tuple[str, ...] = ()
    self_test: dict[str, Any] | None = field(default=None)
    running: Running | None = None
    restarted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

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
            "running": self.running and self.running.as_json(),
            "restarted": list(self.restarted),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = [f"{self.target}: {self.happened}"]
        if self.removed:
            lines.append(f"removed: {', '.join(self.removed)}")
        if self.state.previous:
            again = f"edge-seg board rollback {self.target}"
            lines.append(f"the one before, {self.state.previous}, is kept: {again} brings it back")
        if self.running:
            lines.append(str(self.running))
        if self.restarted:
            lines.append(f"restarted: {', '.join(self.restarted)}")
        lines += [f"note: {note}" for note in self.notes]
        if self.state.current:
            lines.append(f"on the board: {self.folder}/{RUN} --images photo.jpg --json")
        return "\n".join(lines)


def deploy(board: Board, archive: Path, keep: int, progress: Callable[[str], None]) -> Deployed:
    """Brings the archive to the board, tests it there, and lets it take over.

    ``keep`` versions stay, the new one and the one before among them. Raises EdgeSegError, saying what runs on the
    board now, when anything fails before the take-over; nothing has changed for the board's users then.
    """
    with tempfile.TemporaryDirectory(prefix="edge-seg-") as scratch:
        return deploy_package(board, open_package(archive, Path(scratch)), keep, progress)


def deploy_package(
    board: Board, package: Package, keep: int, progress: Callable[[str], None], *, allow_older: bool = False
) -> Deployed:
    """As :func:`deploy`, for an archive that is open.

    A bundle whose manifest has a lower version than that of the one that runs is refused, unless that is allowed.
    """
    version = package.version
    progress(f"{board.name}: looking")
    before = look(board, package.loader)
    check_board(board.name, before, package)
    if before.current is not None and before.current != package.version and not allow_older:
        there = running(board, before.current)
        refuse_older(f"{board.name}: the archive", package.release, there.release if there else None)
    try:
        said = _bring(board, package, before, progress)
    except EdgeSegError as problem:
        raise _told(board, problem, version, before) from None
    _switch(board, version, before)
    again = " (it was there already)" if version in before.versions else ""
    instead = f", instead of {before.current}" if before.current not in (None, version) else ""
    happened = f"version {version} passed its self-test and runs now{instead}{again}"
    return _after_the_switch(board, before, happened, said, keep)


def _after_the_switch(board: Board, before: State, happened: str, said: dict[str, Any], keep: int | None) -> Deployed:
    """Restarts what still runs the old version and removes the oldest; what fails here is a note, the new one runs."""
    surplus: tuple[str, ...] = ()
    restarted, notes = [], []
    try:
        after = look(board)
        if before.current and before.current != after.current:
            for line in board.ask(RESTART, board.folder, before.current, "/proc", limit=RESTART_LIMIT_S).splitlines():
                what, _, name = line.partition(" ")
                if what == "restarted":
                    restarted.append(name)
                elif what == "failed":
                    notes.append(
                        f"the unit {name} still runs the version before: `sudo systemctl restart {name}` there"
                    )
                else:
                    notes.append(f"the process {name} still runs the version before: end it and start it again")
        if keep is not None and (surplus := _surplus(after, keep)):
            board.ask(REMOVE, board.folder, *surplus)
            after = look(board)
    except EdgeSegError as problem:
        current = happened.split()[1]
        after = State(before.machine, current, before.current, (current, *before.versions))
        surplus = ()
        notes.append(f"afterwards: {problem.message}")
    return Deployed(
        board.name, board.folder, after, happened, surplus, said, restarted=tuple(restarted), notes=tuple(notes)
    )


@dataclass(frozen=True)
class Result:
    """What became of one board of several: a report, an error, or neither where its turn never came."""

    name: str
    report: Deployed | None = None
    error: EdgeSegError | None = None

    def as_json(self) -> dict[str, Any]:
        if self.report:
            return {"board": self.name, **self.report.as_json(), "error": None}
        return {"board": self.name, "error": self.error.as_json() if self.error else None, "happened": str(self)}

    def __str__(self) -> str:
        if self.report:
            return str(self.report)
        return f"{self.name}: {f'failed: {self.error}' if self.error else 'not tried'}"


def on_each(names: Sequence[str], work: Callable[[str], Deployed], group: int = 1, go_on: bool = False) -> list[Result]:
    """Does ``work`` on the boards, ``group`` at a time; a group with a failure is the last, unless ``go_on``."""
    results: list[Result] = []
    for begin in range(0, len(names), group):
        if not go_on and any(result.error for result in results):
            results += [Result(name) for name in names[begin:]]
            break
        with ThreadPoolExecutor(group) as pool:
            results += pool.map(lambda name: _attempt(name, work), names[begin : begin + group])
    return results


def _attempt(name: str, work: Callable[[str], Deployed]) -> Result:
    try:
        return Result(name, report=work(name))
    except EdgeSegError as problem:
        return Result(name, error=problem)


def rollback(board: Board, progress: Callable[[str], None]) -> Deployed:
    """Lets the version before take over again, once its self-test has passed."""
    state = look(board)
    if state.previous is None:
        raise TargetError(
            f"{board.name}: there is no earlier version in {board.folder}",
            remedy="deploy an archive",
            code="no-previous",
        )
    try:
        said = _self_test(board, f"{board.folder}/versions/{state.previous}", progress)
    except EdgeSegError as problem:
        raise _told(board, problem, state.previous, state) from None
    _switch(board, state.previous, state)
    happened = f"version {state.previous} passed its self-test and runs again, instead of {state.current}"
    return _after_the_switch(board, state, happened, said, None)


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
    glibc = f", glibc {'.'.join(map(str, state.glibc))}" if state.glibc else ""
    bits = f", {state.bits}-bit programs" if state.bits else ""
    what = running(board, state.current) if state.current else None
    happened += f"; the board is {state.machine}{bits}{glibc}"
    return Deployed(board.name, board.folder, state, happened, running=what)


def _bring(board: Board, package: Package, before: State, progress: Callable[[str], None]) -> dict[str, Any]:
    version = package.version
    place = f"{board.folder}/versions/{version}"
    if version not in before.versions:
        board.ask(ROOM, board.folder)
        progress(f"{board.name}: copying")
        board.copy(package.folder, f"{place}.partial")
        board.ask(PROGRAMS, f"{place}.partial", RUN, RUNNER, *package.libraries, limit=WRITING_LIMIT_S)
        said = _self_test(board, f"{place}.partial", progress)
        board.ask(KEEP, board.folder, version)
        return said
    return _self_test(board, place, progress)


def _self_test(board: Board, place: str, progress: Callable[[str], None]) -> dict[str, Any]:
    """The runner's line of a self-test that passed, which is noted in the version's folder."""
    progress(f"{board.name}: self-test")
    outcome = drive(board, ["--self-test", "--json"], runner=[f"{place}/{RUN}"], silence=SELF_TEST_SILENCE_S)
    said = outcome.single.get("self_test")
    if not said or not said.get("passed"):
        raise TargetError(
            f"the runner said nothing of a self-test that passed: {json.dumps(said)}",
            remedy="use a runner of the same version as this edge-seg",
            code="self-test-failed",
        )
    with tempfile.TemporaryDirectory(prefix="edge-seg-") as scratch:
        note = Path(scratch) / SELF_TEST
        write_json(note, {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "self_test": said})
        board.copy(note, f"{place}/{SELF_TEST}")
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
                remedy=f"`edge-seg board status {board.name}` says which, once the board answers again",
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
