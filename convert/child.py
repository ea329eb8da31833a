"""Runs one module of the conversion in a child process: the libraries abort on what they don't like."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

_PACKAGES = str(Path(__file__).resolve().parent.parent)


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
"""Set by :func:`convert.forks.warm`: for a module, what forks a child instead of starting it; None where it can't."""


def run_module(module: str, *arguments: str | Path, limit_s: float) -> Outcome:
    """``python -m module arguments…`` with its output captured; killed after ``limit_s`` seconds."""
    words = [str(argument) for argument in arguments]
    fork = forks.get().get(module)
    return (fork and fork(module, words, limit_s)) or run_command([sys.executable, "-m", module, *words], limit_s)


def run_command(command: list[str], limit_s: float) -> Outcome:
    """Runs ``command`` with its output captured; kills it after ``limit_s`` seconds."""
    try:
        done = subprocess.run(
            command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired as problem:
        return Outcome(None, _text(problem.stdout), _text(problem.stderr), limit_s)
    return Outcome(done.returncode, _text(done.stdout), _text(done.stderr), limit_s)


def environment() -> dict[str, str]:
    """This process's, with the packages of this checkout to be found by a child."""
    path = os.pathsep.join(filter(None, [_PACKAGES, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def no_core_file() -> None:
    """Called by a child before it loads a library that may abort: leaves no core file in the user's folder."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _text(output: bytes | None) -> str:
    return (output or b"").decode("utf-8", errors="replace")
