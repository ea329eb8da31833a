"""A command that was started, here or behind ``ssh`` or ``adb``: its lines, its deadline and its end."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from edge_seg.errors import EdgeSegError, EngineError

LEASH_S = 2.0
"""Seconds that a leashed command gets to end once its stdin is closed."""
STDERR_LINES = 20
"""How much of a command's stderr is kept, to be shown when it fails."""


class Running:
    """A command started on this machine (which may be an ``ssh`` that runs it elsewhere), its stdout read as lines.

    Use as a context manager: leaving it ends the command and everything it started. With ``leashed``, the command ends
    by itself when its stdin is closed: that is the only word that reaches the other end of a connection. ``fault``
    tells from an exit code and the last lines of stderr that it was the connection that failed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        leashed: bool = False,
        fault: Callable[[int, Sequence[str]], EdgeSegError | None] = lambda code, said: None,
    ) -> None:
        self._fault = fault
        # The kernel adds a child's CPU time to ours when it is waited for: the difference is the child's.
        self._children_before = _children_seconds()
        self.cpu_seconds: float | None = None
        try:
            # A session of its own, so that the whole process group can be ended, and Ctrl-C reaches us first.
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE if leashed else subprocess.DEVNULL,
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

    def say(self, line: str) -> None:
        """Writes a line to a leashed command's stdin; nothing when it has ended, which its lines will tell."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

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

    def fault(self, code: int | None) -> EdgeSegError | None:
        """The error to raise when it wasn't the command that failed with ``code``, but the way to it."""
        return None if code is None else self._fault(code, self.stderr_tail)

    @property
    def stderr_tail(self) -> list[str]:
        """The last lines of stderr; complete once the command has ended."""
        for reader in self._readers:
            reader.join(timeout=1)
        return list(self._stderr)

    def stop(self) -> None:
        """Ends the command and its children at once; does nothing when it is gone."""
        if self._process.stdin is not None and self._process.poll() is None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(LEASH_S)
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
