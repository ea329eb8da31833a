"""A board behind a link (ssh, adb): what both do alike, with shell lines that busybox and Android understand."""

from __future__ import annotations

import os
import re
import secrets
import shlex
from collections.abc import Sequence
from pathlib import Path

from edge_seg.errors import EdgeSegError, TargetError
from edge_seg.files import HOST, atomic_file, is_gone
from edge_seg.process.running import LEASH, Limits, Running
from edge_seg.targets.link import Link, broken, failed

ANSWER_LIMIT_S = 60.0
ANSWER = Limits(lines=10_000, bytes=4 << 20, seconds=2 * ANSWER_LIMIT_S)
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,80}")

# A login may print a greeting before its command runs: what counts begins after this line.
BEGIN = "edge-seg: begin"
LEASHED = f'echo "{BEGIN}"\n{LEASH}'

# adb reports success when the link breaks: what is answered has to say that it is whole.
END = "edge-seg: end"
CONFIRM = f'code=$?; if [ "$code" = 0 ]; then echo "{END}"; else exit "$code"; fi'

# $1: folder on the board. Makes it and prints its whole name.
FOLDER = 'mkdir -p -- "$1" && cd -- "$1" && pwd'

# $1: folder; $2: its sub-folder to be made; $3: what the names of such sub-folders begin with. Prints them all.
SCRATCH = 'cd -- "$1" && mkdir -- "$2" && for f in "$3"*; do echo "$f"; done'

# $1: folder of edge-seg on the board. Prints the words that start a runner there, one a line.
FIND_RUNNER = """
if [ -x "$1/run" ]; then echo "$1/run"
elif command -v edge-seg-run > /dev/null 2>&1; then command -v edge-seg-run
elif python3 -c 'import edge_seg.runtime' > /dev/null 2>&1; then echo python3; echo -m; echo edge_seg.runtime.runner
elif python3 -c 'import edge_seg_runner' > /dev/null 2>&1; then
  python3 -c 'import edge_seg_runner; print(edge_seg_runner.PROGRAM)'
fi
"""


class Board:
    """A :class:`edge_seg.targets.Target` behind a link."""

    emulated = False
    local_cpu_time = False
    root = ""
    arch: str | None = None

    def __init__(self, link: Link, runner: Sequence[str] = (), folder: str | None = None) -> None:
        self.name = link.name
        self.link = link
        self._runner = tuple(runner)
        self._folder_asked = folder or link.folder
        self._folder: str | None = None
        self._scratch: str | None = None
        self._pushed: dict[Path, str] = {}
        self._count = 0

    @property
    def folder(self) -> str:
        """The folder of edge-seg's things on the board, absolute; made if it isn't there."""
        if self._folder is None:
            asked = self._folder_asked.removeprefix("~/")  # a command starts in the home folder
            self._folder = self.ask(FOLDER, asked if asked.startswith("/") else f"./{asked}")
        return self._folder

    @property
    def runner(self) -> tuple[str, ...]:
        """The command that starts the board's runner: the one named, the deployed one, or one that is installed."""
        if not self._runner:
            self._runner = tuple(self.ask(FIND_RUNNER, self.folder).splitlines())
        if not self._runner:
            raise TargetError(
                f"{self.name}: no runner there: {self.folder}/run isn't there, edge-seg-run isn't on the PATH, and"
                " python3 has neither edge_seg nor edge_seg_runner",
                remedy="`edge-seg board deploy` brings one, or name it with --runner",
                code="runner-missing",
            )
        return self._runner

    def push(self, source: Path) -> str:
        source = source.resolve()
        if source not in self._pushed:
            # Names of this machine may be more than the board's file system takes.
            name = source.name if PLAIN.fullmatch(source.name) else f"file{_plain_suffix(source)}"
            to = f"{self._scratch_folder()}/{self._count}/{name}"
            self._count += 1
            self.copy(source, to)
            self._pushed[source] = to
        return self._pushed[source]

    def copy(self, source: Path, to: str) -> None:
        """Copies a file or folder to the path ``to``, which isn't there yet. Raises TargetError, as for a full disk."""
        self.ask('mkdir -p -- "$1"', to if source.is_dir() else to.rpartition("/")[0])
        self.link.send(source, to)

    def run(self, command: Sequence[str]) -> Running:
        line = shlex.join(["sh", "-c", LEASHED, "sh", *command])
        return Running(self.link.command(line), leashed=True, fault=self.link.fault, begin=BEGIN)

    def ask(self, script: str, *arguments: str, limit: float = ANSWER_LIMIT_S) -> str:
        """What a short script prints there, without the last line's end. Raises TargetError when it fails."""
        with self.run(["sh", "-c", f"{script}\n{CONFIRM}", "sh", *arguments]) as running:
            try:
                lines = list(running.lines(limit, ANSWER))
            except TimeoutError:
                raise TargetError(
                    f"{self.name}: no answer within {limit:g} s",
                    remedy="see whether the board is overloaded or the connection hangs, and try again",
                    code="target-silent",
                ) from None
            code = running.wait(limit)
            if code != 0:
                raise running.fault(code) or failed(self.name, running.stderr_tail)
        if lines[-1:] != [END]:
            raise broken(self.name, "its answer has no end")
        return "\n".join(lines[:-1])

    def pull(self, path: str, destination: Path) -> None:
        with atomic_file(destination) as partial:
            self.link.fetch(path, partial)

    def drop(self, path: str) -> None:
        self._pushed = {source: there for source, there in self._pushed.items() if there != path}
        self.ask('rm -rf -- "$1"', path)

    def _scratch_folder(self) -> str:
        if self._scratch is None:
            begin = f"scratch-{HOST}-"
            name = f"{begin}{os.getpid()}-{secrets.token_hex(3)}"
            found = self.ask(SCRATCH, self.folder, name, begin).splitlines()
            self._scratch = f"{self.folder}/{name}"
            # What this machine's killed processes left there.
            pids = {old: old.removeprefix(begin).split("-")[0] for old in found}
            left = [old for old, pid in pids.items() if pid.isdigit() and is_gone(int(pid))]
            if left:
                self.ask('cd -- "$1" && shift && rm -rf -- "$@"', self.folder, *left)
        return self._scratch

    def close(self) -> None:
        try:
            if self._scratch is not None:
                self.ask('rm -rf -- "$1"', self._scratch)
        except EdgeSegError:
            pass  # the next session that pushes something removes it
        finally:
            self._scratch, self._pushed = None, {}
            self.link.close()

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _plain_suffix(file: Path) -> str:
    return file.suffix if PLAIN.fullmatch(file.suffix[1:]) else ""
