"""Where a runner runs. A target turns a command into one that this machine can start; the rest is the same for all.

A new kind (ssh, adb, an emulator) is one file with a class of four attributes and three methods: its ``command`` wraps
the words in ``ssh HOST``, ``adb shell`` or ``qemu-…``, and :class:`Running` does the reading, the deadline and the end.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from edge_seg.errors import EngineError, UsageError

STDERR_LINES = 20
"""How much of a command's stderr is kept, to be shown when it fails."""


class Running:
    """A command started on this machine (which may be an ``ssh`` that runs it elsewhere), its stdout read as lines.

    Use as a context manager: leaving it ends the command and everything it started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        # The kernel adds a child's CPU time to ours when it is waited for: the difference is the child's.
        self._children_before = _children_seconds()
        self.cpu_seconds: float | None = None
        try:
            # A session of its own, so that the whole process group can be ended, and Ctrl-C reaches us first.
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except OSError as problem:
            raise EngineError(
                f"{command[0]}: can't be started: {problem.strerror}",
                remedy="install it, or correct its path",
                code="command-missing",
            ) from None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._readers = [threading.Thread(target=work, daemon=True) for work in (self._read_stdout, self._read_stderr)]
        for reader in self._readers:
            reader.start()

    def _read_stdout(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\r\n"))
        self._lines.put(None)

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._stderr.append(line.rstrip())

    def lines(self, silence: float) -> Iterator[str]:
        """Lines as they come; :class:`TimeoutError` when none comes for ``silence`` seconds."""
        deadline = time.monotonic() + silence
        while True:
            ended = self._process.poll() is not None
            try:
                line = self._lines.get(timeout=min(1.0, silence))
            except queue.Empty:
                if ended:  # a process that it left behind may hold the pipe open for ever
                    return
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"no output for {silence:g} s") from None
                continue
            if line is None:
                return
            yield line
            deadline = time.monotonic() + silence

    def wait(self, limit: float) -> int | None:
        """The exit code (minus the signal's number for a death by signal), None when it still runs after ``limit`` s.

        Then :attr:`cpu_seconds` is what the command and its children used, provided that no other command ended
        between.
        """
        try:
            code = self._process.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        self.cpu_seconds = _children_seconds() - self._children_before
        return code

    @property
    def stderr_tail(self) -> list[str]:
        """The last lines of stderr; complete once the command has ended."""
        for reader in self._readers:
            reader.join(timeout=1)
        return list(self._stderr)

    def stop(self) -> None:
        """Ends the command and its children at once; does nothing when it is gone."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for reader in self._readers:
            reader.join(timeout=1)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


class Target(Protocol):
    """A machine that can hold a bundle and run a runner.

    ``name`` goes into records; ``emulated`` marks figures that are no milliseconds of a board; ``runner`` is the
    command that starts its runner; ``local_cpu_time`` says whether a command's CPU time is known here.
    """

    name: str
    emulated: bool
    runner: tuple[str, ...]
    local_cpu_time: bool

    def push(self, source: Path) -> str:
        """Makes a file or folder available there and returns its path there."""

    def run(self, command: Sequence[str]) -> Running:
        """Starts a command there, its output streaming."""

    def pull(self, path: str, destination: Path) -> None:
        """Copies a file from there to here."""


class Local:
    """This machine, with the Python runner. Nothing is copied: a path here is a path there."""

    name = "local"
    emulated = False
    local_cpu_time = True

    def __init__(self) -> None:
        self.runner: tuple[str, ...] = (sys.executable, "-m", "edge_seg.runtime.runner")

    def push(self, source: Path) -> str:
        return str(source.resolve())

    def run(self, command: Sequence[str]) -> Running:
        return Running(command)

    def pull(self, path: str, destination: Path) -> None:
        if Path(path).resolve() != destination.resolve():
            destination.write_bytes(Path(path).read_bytes())


def find_target(name: str) -> Target:
    """The target of that name; :class:`UsageError`, listing the choices, when there is none."""
    if name == "local":
        return Local()
    raise UsageError(f"no target named {name!r}", remedy="choose one of: local", code="unknown-target")
