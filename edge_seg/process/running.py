"""A command that was started, here or behind ``ssh`` or ``adb``: its lines, its deadline and its end."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import IO

from edge_seg.errors import EdgeSegError, EngineError
from edge_seg.limits import LINE_BYTES, OUTPUT_BYTES
from edge_seg.process import huge_pages

LEASH_S = 2.0
"""Seconds that a leashed command gets to end once its stdin is closed."""
STDERR_LINES = 20
"""How much of a command's stderr is kept, to be shown when it fails."""
STDERR_LINE_BYTES = 4096
WAITING_BYTES = 16 << 20
"""How much of a command's output waits in memory for its reader; then the command waits."""
GREETING_BYTES = 1 << 20
"""How much a login may print before the command's own output begins."""
_POLL_S = 0.25

# A shell's words that run their arguments, and end them when stdin is closed: with the connection, or by whoever waits
# here. A command at the other end of a connection doesn't notice otherwise that nobody listens any more, and one of
# this machine that its harness was killed.
LEASH = """
exec 3<&0
"$@" 3<&- < /dev/null &
command=$!
{ read -r line <&3; kill "$command"; sleep 5; kill -9 "$command"; kill -9 -$$; } > /dev/null 2>&1 &
leash=$!
wait "$command"
code=$?
kill "$leash" 2> /dev/null
exit "$code"
"""

stop_event: ContextVar[threading.Event | None] = ContextVar("stop_event", default=None)
"""Set for a thread that drives commands: once the event is set, waiting for a command raises :class:`Stopped`."""


class Stopped(EngineError):
    """Waiting for a command was given up, because the whole program is to end."""

    code = "interrupted"


@dataclass(frozen=True)
class Limits:
    """How much a command may print in all, and for how many seconds: silence isn't the only way to never end."""

    lines: int = 1_000_000
    bytes: int = OUTPUT_BYTES
    seconds: float = math.inf


def check_stop() -> None:
    """Raises :class:`Stopped` when this thread is to end."""
    event = stop_event.get()
    if event is not None and event.is_set():
        raise Stopped("stopped")


class Running:
    """A command started on this machine (which may be an ``ssh`` that runs it elsewhere), its stdout read as lines.

    Use as a context manager: leaving it ends the command and everything it started. With ``leashed``, the command ends
    by itself when its stdin is closed: that is the only word that reaches the other end of a connection. ``fault``
    tells from an exit code and the last lines of stderr that it was the connection that failed. With ``begin``, output
    up to and with a line that ends so isn't the command's: a login may print a greeting. ``in_huge_pages``
    (:mod:`edge_seg.process.huge_pages`) is for what this machine's own processor runs: all engines
    have the same.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        leashed: bool = False,
        fault: Callable[[int, Sequence[str]], EdgeSegError | None] = lambda code, said: None,
        begin: str = "",
        in_huge_pages: bool = False,
    ) -> None:
        self._fault = fault
        self._begin = begin
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
                start_new_session=True,
                env=huge_pages.environment() if in_huge_pages else None,
            )
        except OSError as problem:
            raise EngineError(
                f"{command[0]}: can't be started: {problem.strerror}",
                remedy="install it, or correct its path",
                code="command-missing",
            ) from None
        self._output = _Output()
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._readers = [threading.Thread(target=work, daemon=True) for work in (self._read_stdout, self._read_stderr)]
        for reader in self._readers:
            reader.start()

    def _read_stdout(self) -> None:
        assert self._process.stdout is not None
        if self._begin:
            self._skip_greeting(self._process.stdout)
        while block := self._process.stdout.readline(LINE_BYTES):
            if len(block) >= LINE_BYTES:
                self._output.end(f"printed a line of more than {LINE_BYTES >> 20} MiB")
                return
            if not self._output.put(_text(block)):
                return
        self._output.end()

    def _skip_greeting(self, stdout: IO[bytes]) -> None:
        skipped = 0
        while skipped < GREETING_BYTES and (block := stdout.readline(STDERR_LINE_BYTES)):
            skipped += len(block)
            line = _text(block)
            if line.endswith(self._begin):
                return
            self._stderr.append(line)  # "This account is not available" comes this way too

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        while block := self._process.stderr.readline(STDERR_LINE_BYTES):
            self._stderr.append(_text(block).rstrip())

    def lines(self, silence: float, limits: Limits | None = None) -> Iterator[str]:
        """Lines as they come.

        Raises :class:`TimeoutError` when none comes for ``silence`` seconds, :class:`EngineError` when the output goes
        beyond ``limits`` or a line beyond :data:`LINE_BYTES`, :class:`Stopped` when this thread is to end.
        """
        limits = limits or Limits()
        begin = last = time.monotonic()
        count = size = 0
        while True:
            check_stop()
            ended = self._process.poll() is not None
            try:
                line = self._output.take(1.0 if ended else min(_POLL_S, silence))
            except TimeoutError:
                if ended:  # a process that it left behind may hold the pipe open for ever
                    return
                now = time.monotonic()
                if now - last >= silence:
                    raise TimeoutError(f"no output for {silence:g} s") from None
                if now - begin > limits.seconds:
                    raise _excess(f"ran for more than {limits.seconds:g} s") from None
                continue
            if line is None:
                return
            last = time.monotonic()
            count += 1
            size += len(line)
            if last - begin > limits.seconds:
                raise _excess(f"ran for more than {limits.seconds:g} s")
            if count > limits.lines:
                raise _excess(f"printed more than {limits.lines} lines")
            if size > limits.bytes:
                raise _excess(f"printed more than {limits.bytes >> 20} MiB")
            yield line

    def say(self, line: str) -> None:
        """Writes a line to a leashed command's stdin; nothing when it has ended, which its lines will tell."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(line.encode(errors="surrogateescape") + b"\n")
            self._process.stdin.flush()

    def wait(self, limit: float) -> int | None:
        """The exit code (minus the signal's number for a death by signal), None when it still runs after ``limit`` s.

        Then :attr:`cpu_seconds` is what the command and its children used, provided that no other command ended
        between.
        """
        deadline = time.monotonic() + limit
        code = None
        while code is None:
            try:
                code = self._process.wait(min(_POLL_S, max(0.0, deadline - time.monotonic())))
            except subprocess.TimeoutExpired:
                check_stop()
                if time.monotonic() >= deadline:
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
        self._output.close()
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


class _Output:
    """Lines between the thread that reads them and the one that uses them, of bounded size."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._size = 0
        self._ended = False
        self._excess = ""
        self._closed = False
        self._changed = threading.Condition()

    def put(self, line: str) -> bool:
        """Waits for room and adds the line; False when nobody will read any more."""
        with self._changed:
            while self._size >= WAITING_BYTES and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._lines.append(line)
            self._size += _cost(line)
            self._changed.notify_all()
        return True

    def end(self, excess: str = "") -> None:
        """No more lines come; ``excess`` says why they aren't read any further."""
        with self._changed:
            self._ended, self._excess = True, excess
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody takes lines any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take(self, limit: float) -> str | None:
        """The next line, None at the end. Raises TimeoutError when none comes within ``limit`` seconds."""
        with self._changed:
            if not self._lines and not self._ended:
                self._changed.wait(limit)
            if self._lines:
                line = self._lines.popleft()
                self._size -= _cost(line)
                self._changed.notify_all()
                return line
            if self._excess:
                raise _excess(self._excess)
            if self._ended:
                return None
            raise TimeoutError


def _cost(line: str) -> int:
    return len(line) + 64


def _text(line: bytes) -> str:
    return line.rstrip(b"\r\n").decode(errors="replace")


def _excess(what: str) -> EngineError:
    return EngineError(f"it {what}", remedy="use a runner of the same version as this edge-seg", code="output-limit")


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system
