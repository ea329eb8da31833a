"""Runs one module of the conversion in a child process: the libraries abort on what they don't like."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edge_seg import limits
from edge_seg.errors import ConversionError, EdgeSegError
from edge_seg.process.python import bound_command

REFUSED = 70
"""Exit code of a child that printed an error with a message, see :func:`refusing`."""
_BLOCK = 1 << 16
_PATIENCE_S = 2.0


@dataclass(frozen=True)
class Outcome:
    """How a child ended. ``code`` is its exit code, negative for a signal, None when it ran out of time."""

    code: int | None
    stdout: str
    stderr: str
    limit_s: float

    @property
    def ok(self) -> bool:
        return self.code == 0

    def ending(self) -> str:
        """``ended with exit code 3``, ``was killed by SIGABRT``, ``gave no answer within 600 s``."""
        if self.code is None:
            return f"gave no answer within {self.limit_s:g} s"
        if self.code < 0:
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"ended with exit code {self.code}"

    def tail(self, lines: int = 8) -> str:
        """The last lines that it wrote on stderr, or on stdout where stderr is empty."""
        text = self.stderr.strip() or self.stdout.strip()
        return "\n".join(line[:400] for line in text.splitlines()[-lines:])


Fork = Callable[[str, list[str], float], Outcome | None]
forks: ContextVar[Mapping[str, Fork]] = ContextVar("forks", default={})  # noqa: B039 - never changed in place
"""Set by :func:`edge_seg.process.forks.warm`: what forks the child of a module instead of starting it."""


def run_module(module: str, *arguments: str | Path, limit_s: float) -> Outcome:
    """``python -m module arguments…`` with its output captured; killed after ``limit_s`` seconds.

    It ends with this process, also when that is killed: nobody else would stop it from writing.
    """
    words = [str(argument) for argument in arguments]
    fork = forks.get().get(module)
    return (fork and fork(module, words, limit_s)) or run_command(bound_command(module, *words), limit_s)


def run_command(command: list[str], limit_s: float) -> Outcome:
    """Runs ``command`` with its output captured; kills it after ``limit_s`` seconds.

    Of each stream the last :data:`edge_seg.limits.CHILD_BYTES` are kept, however much it prints.
    """
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = _Tail(process.stdout), _Tail(process.stderr)
    code: int | None = None
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if code is None:
            process.kill()
            process.wait()
    return Outcome(code, out.text(), err.text(), limit_s)


class _Tail(threading.Thread):
    """Reads a stream to its end and keeps the last part of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._blocks: deque[bytes] = deque()
        self._size = 0
        self._changing = threading.Lock()
        self.start()

    def run(self) -> None:
        with self._stream:
            while block := os.read(self._stream.fileno(), _BLOCK):
                with self._changing:
                    self._blocks.append(block)
                    self._size += len(block)
                    while self._size - len(self._blocks[0]) >= limits.CHILD_BYTES:
                        self._size -= len(self._blocks.popleft())

    def text(self) -> str:
        """What was kept, once the process has ended."""
        # A process that the child left behind may hold the stream open for ever.
        self.join(timeout=_PATIENCE_S)
        with self._changing:
            return b"".join(self._blocks).decode("utf-8", errors="replace")


def refusing(work: Callable[[], object]) -> int:
    """The main part of a child: does ``work`` and returns the exit code.

    An :class:`EdgeSegError` becomes a line of JSON on stdout and the exit code :data:`REFUSED`.
    """
    no_core_file()
    try:
        work()
    except EdgeSegError as problem:
        print(json.dumps(problem.as_json()), flush=True)
        return REFUSED
    return 0


def failure(outcome: Outcome, what: str, *, prefix: str = "", code: str = "engine-died") -> ConversionError:
    """Why a child failed: the error with which it ended by :func:`refusing`, ``prefix`` before its message.

    For any other end: how ``what`` ended, and its last words.
    """
    if outcome.code == REFUSED:
        with contextlib.suppress(ValueError, IndexError, KeyError, TypeError):
            said = json.loads(outcome.stdout.splitlines()[-1])
            return ConversionError(prefix + said["message"], remedy=said["remedy"], code=said["code"])
    tail = outcome.tail()
    return ConversionError(f"{what} {outcome.ending()}{', its last words: ' + tail if tail else ''}", code=code)


def no_core_file() -> None:
    """Called by a child before it loads a library that may abort: leaves no core file in the user's folder."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
