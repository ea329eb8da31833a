"""Commands that open an inference library run in a child process: the library may abort, the user still gets an error.

Paddle Lite and Paddle Inference end the whole process on input they don't like (SIGABRT, SIGSEGV). :func:`guarded`
runs the same command line again as a child that inherits stdin, stdout and stderr. The child tells the parent through
a pipe what it is doing (:func:`phase`) and which partial files it has begun; when it dies, the parent says during
what, removes the partial files and fails like any other command.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from edge_seg import partial
from edge_seg.errors import EngineError
from edge_seg.process import huge_pages
from edge_seg.process.python import die_with_parent

PIPE_VARIABLE = "EDGE_SEG_GUARD_PIPE"
_PHASE, _PARTIAL = b"phase ", b"partial "
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks a command to stop: Ctrl-C, a supervisor, a terminal or an ssh session that closes."""

REPEATED_S = 2.0
"""A signal that comes again within so many seconds is the same request: shells and supervisors send it twice."""

listener: Callable[[str], None] | None = None
"""Told each phase as well, in a child that isn't a guarded one."""

F = TypeVar("F", bound=Callable[..., Any])


def _adopt() -> int | None:
    """In a guarded child: the pipe to the parent. The variable is removed, or the child's children would see it."""
    text = os.environ.pop(PIPE_VARIABLE, None)
    if text is None:
        return None
    pipe = int(text)
    os.set_inheritable(pipe, False)
    # A parent killed by SIGKILL can't tell its child, which would go on writing into the user's folders.
    die_with_parent()
    partial.announce = lambda path: _tell(_PARTIAL + os.fsencode(path))
    return pipe


def _tell(line: bytes) -> None:
    if _pipe is not None:
        with contextlib.suppress(OSError):
            os.write(_pipe, line.replace(b"\n", b" ") + b"\n")


def phase(text: str) -> None:
    """Notes what is being done ("loading detect.nb"), for the message in case the process dies of it."""
    global _phase
    _phase = text
    if listener is not None:
        listener(text)
    _tell(_PHASE + text.encode(errors="replace"))


@contextlib.contextmanager
def during(text: str) -> Iterator[None]:
    """Notes what is being done in a block, and after it what was being done before.

    In the main thread only: what others do at the same time has no before and after.
    """
    if not is_child() or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = _phase
    phase(text)
    try:
        yield
    finally:
        phase(before)


def is_child() -> bool:
    """Whether this process is the child of a guarded command."""
    return _pipe is not None


def on_stop(handler: Callable[[int, Any], None]) -> dict[signal.Signals, Any]:
    """Lets ``handler`` take the signals that ask to stop, and in a guarded child those that came while it started.

    Returns the handlers of before.
    """
    # Ignored signals (nohup, a shell's background job) stay ignored.
    taken = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in taken}
    if is_child():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    return before


@contextlib.contextmanager
def held_stops() -> Iterator[Callable[[], bool]]:
    """Holds back a signal that asks to stop until the block has ended: what is half done then is done.

    Yields a function that tells whether one has come. Another one :data:`REPEATED_S` seconds later isn't held back.
    Does nothing outside the main thread, and for signals that no Python function takes.
    """
    came: list[tuple[int, float]] = []
    before: dict[signal.Signals, Callable[[int, Any], Any]] = {}

    def hold(number: int, frame: Any) -> None:
        if not came:
            came.append((number, time.monotonic()))
        elif time.monotonic() - came[0][1] > REPEATED_S:
            before[signal.Signals(number)](number, frame)

    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                before[number] = handler
                signal.signal(number, hold)
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        before[signal.Signals(came[0][0])](came[0][0], None)


@contextlib.contextmanager
def kept_handlers() -> Iterator[None]:
    """Puts the signals' handlers back that an import replaced, without a word, by its own or the system's."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                if handler is not None:
                    signal.signal(number, handler)


def open_closed_streams() -> None:
    """A stream that the process was started without (``>&-``) is /dev/null.

    Otherwise the next file opened would get its number, and a library's words on stdout.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null == number:
                os.set_inheritable(null, True)
            else:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", errors="replace"))


def guarded(function: F) -> F:
    """Decorates a click command's function so that it runs in a child process.

    Put it nearest to the function. The parent returns the child's exit code; it raises :class:`EngineError` (code
    ``crashed``) when a signal ended the child. Called from Python rather than from a command line, nothing changes.
    """

    @functools.wraps(function)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        command = _own_command()
        return function(*arguments, **options) if command is None else run_guarded(command)

    return wrapper  # type: ignore[return-value]


def in_huge_pages(function: F) -> F:
    """Decorates a click command's function that computes in this process, which starts itself anew if need be.

    A guarded one is started with :mod:`edge_seg.process.huge_pages` anyway. Called from Python, nothing changes.
    """

    @functools.wraps(function)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        command = _own_command()
        if command is not None and huge_pages.asked_for(os.environ):
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os.execve(command[0], command, huge_pages.environment())
        return function(*arguments, **options)

    return wrapper  # type: ignore[return-value]


def _own_command() -> list[str] | None:
    """The command line of this process, to be run again; None in a guarded child, or when a program calls.

    A child forked by :mod:`edge_seg.process.forks` has its server's command line.
    """
    context = click.get_current_context(silent=True)
    return context.find_root().obj if context and not is_child() else None


def run_guarded(command: list[str]) -> int:
    """Runs ``command`` as a guarded child and returns its exit code; :data:`SIGNALS` are handed on to it.

    Raises :class:`EngineError` when another signal ended it.
    """
    read_end, write_end = os.pipe()
    # Held back until both processes can take them: the child inherits this, until :func:`on_stop`.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        environment = {**huge_pages.environment(), PIPE_VARIABLE: str(write_end)}
        process = subprocess.Popen(command, env=environment, pass_fds=[write_end])
        before = on_stop(lambda number, _frame: process.send_signal(number))
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
    notes = _Notes(os.fdopen(read_end, "rb"))
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    notes.finish()
    if code >= 0:
        return code
    for path in notes.begun:
        partial.clear(path)
    if -code in SIGNALS:
        return 128 - code
    raise _crash(-code, notes.phase)


class _Notes(threading.Thread):
    """Reads what the child tells, so that it never waits for a full pipe."""

    def __init__(self, pipe: BinaryIO) -> None:
        super().__init__(daemon=True)
        self.phase = ""
        self.begun: list[Path] = []
        self._pipe = pipe
        self.start()

    def run(self) -> None:
        for line in self._pipe:
            if line.startswith(_PHASE):
                self.phase = line[len(_PHASE) : -1].decode(errors="replace")
            elif line.startswith(_PARTIAL):
                self.begun.append(Path(os.fsdecode(line[len(_PARTIAL) : -1])))

    def finish(self) -> None:
        # A process that the child forked may hold the pipe open longer than the child lived: don't wait for that.
        self.join(timeout=2)


def _crash(number: int, phase: str) -> EngineError:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    during = f" while {phase}" if phase else ""
    if number == signal.SIGKILL:
        remedy = "the system kills a process like this when memory runs out: use a smaller size, or free some memory"
    else:
        remedy = "the library's own words are above; convert the model again, or try another engine"
    return EngineError(f"the process died of {name}{during}", remedy=remedy, code="crashed")


_phase = ""
_pipe: int | None = None
_pipe = _adopt()
