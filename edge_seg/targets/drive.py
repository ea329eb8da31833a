"""Drives a runner: starts it on a target, reads its JSON lines, turns every way it can fail into one clear error."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from edge_seg.errors import EdgeSegError, EngineError
from edge_seg.process.running import Limits, Running, Stopped
from edge_seg.targets import Target
from edge_seg.targets.protocol import SAMPLE_FIELDS, Checker, Message, ProtocolError, clean, parse_line

CANNOT_START = (126, 127)
"""A shell's exit codes for a program that isn't for this machine, or isn't there."""
ENDING_LIMIT = 30.0
"""Seconds that a runner may take to end after its last line."""


@dataclass
class Outcome:
    """What a runner said from ``hello`` to ``done``; ``cpu_seconds`` is what it used, None where nobody knows."""

    single: dict[str, Message] = field(default_factory=dict)
    samples: list[Message] = field(default_factory=list)
    results: list[Message] = field(default_factory=list)
    cpu_seconds: float | None = None


@dataclass(frozen=True)
class Asked:
    """What a runner was asked for, so that its lines can be held against it: each image ``repeats`` times.

    ``instances``: exactly so many objects in each; ``seconds``: the longest that the whole may take.
    """

    images: Sequence[str]
    repeats: int
    instances: int | None = None
    seconds: float = float("inf")

    @property
    def limits(self) -> Limits:
        """Lines: a sample each, a result an image, each other kind once, and some for what comes after ``done``."""
        return Limits(lines=len(self.images) * (self.repeats + 1) + 20, seconds=self.seconds)


def drive(
    target: Target,
    options: Sequence[str],
    *,
    silence: float,
    on_message: Callable[[Message], None] = lambda message: None,
    runner: Sequence[str] | None = None,
    asked: Asked | None = None,
) -> Outcome:
    """Runs the target's runner (or ``runner``) with ``options`` and returns what it said, ``on_message`` line by line.

    Raises :class:`EngineError` when the runner reports an error, dies, writes something else than the protocol's lines
    or other values than it was ``asked`` for, writes more or takes longer than ``asked`` allows, ends without
    ``done``, or writes nothing for ``silence`` seconds.
    """
    outcome = Outcome()
    begin = time.monotonic()

    def elapsed() -> float:
        return time.monotonic() - begin

    checker = Checker(elapsed, asked.images, asked.repeats, asked.instances) if asked else Checker(elapsed)
    with target.run([*(runner or target.runner), *options]) as running:
        for message in _messages(running, silence, checker, asked.limits if asked else None):
            on_message(message)
            _keep(outcome, message)
        if missing := checker.missing():
            raise _protocol(f"the runner ended, but {missing} are missing", running)
        if target.local_cpu_time:
            outcome.cpu_seconds = running.cpu_seconds
    return outcome


class Session:
    """A runner of this machine that is told the images' names one after the other: ``--images -`` is in ``options``.

    Its methods raise what :func:`drive` raises.
    """

    def __init__(self, command: Sequence[str], options: Sequence[str], silence: float) -> None:
        self._running = Running([*command, *options], leashed=True, in_huge_pages=True)
        begin = time.monotonic()
        self._messages = _messages(self._running, silence, Checker(lambda: time.monotonic() - begin), None)

    def say(self, name: str) -> None:
        """Hands it an image."""
        self._running.say(name)

    def until(self, kind: str) -> Message:
        """The next line of that kind; those before it are passed over."""
        for message in self._messages:
            if message["type"] == kind:
                return message
        raise _failure(f"the runner ended before its {kind!r} line", self._running, code="runner-died")

    def close(self) -> None:
        """Ends it."""
        self._running.stop()


def _messages(running: Running, silence: float, checker: Checker, limits: Limits | None) -> Iterator[Message]:
    """The lines as they come, to the end of a run without an error; whatever else happens is raised."""
    last = "the start"
    try:
        for line in running.lines(silence, limits):
            message = _checked(line, running, checker)
            last = message["type"]
            yield message
    except TimeoutError:
        running.stop()
        raise _failure(
            f"the runner wrote nothing for {silence:g} s after {_named(last)} and was ended",
            running,
            remedy="give it longer with --timeout, or try a smaller input size",
            code="runner-hang",
        ) from None
    except Stopped:
        raise
    except EngineError as problem:
        if problem.code != "output-limit":
            raise
        running.stop()
        done = problem.message.removeprefix("it ")
        slow = done.startswith("ran")
        raise _failure(
            f"the runner {done} and was ended, after {_named(last)}",
            running,
            remedy="allow more with --max-time, or ask for fewer runs" if slow else problem.remedy,
            code="runner-hang" if slow else "runner-protocol",
        ) from None
    code = running.wait(ENDING_LIMIT)
    if code is None:
        running.stop()
        late = f"the runner didn't end within {ENDING_LIMIT:g} s after its last line"
        raise _failure(late, running, code="runner-hang")
    if code != 0 or last != "done":
        raise _died(code, last, running)


def _checked(line: str, running: Running, checker: Checker) -> Message:
    try:
        message = parse_line(line)
        if message["type"] == "error":
            running.wait(ENDING_LIMIT)
            raise EngineError(
                clean(message.get("message", "the runner failed and didn't say why"), 2000),
                remedy=clean(message.get("remedy", "")),
                code=clean(message.get("code", "runner-error"), 80) or "runner-error",
            )
        checker.check(message)
    except ProtocolError as problem:
        running.stop()
        text = f"the runner wrote a line that isn't the protocol's, {problem}: {clean(line, 200)!r}"
        raise _protocol(text, running) from None
    return message


def _protocol(message: str, running: Running) -> EngineError:
    remedy = "use a runner of the same version as this edge-seg"
    return _failure(message, running, remedy=remedy, code="runner-protocol")


def _keep(outcome: Outcome, message: Message) -> None:
    kind = message["type"]
    if kind == "sample":  # what else a runner adds is of no use, and there may be many samples
        outcome.samples.append({name: message[name] for name in SAMPLE_FIELDS if name in message})
    elif kind == "result":
        outcome.results.append(message)
    else:
        outcome.single[kind] = message


def _died(code: int, last: str, running: Running) -> EdgeSegError:
    if (fault := running.fault(code)) is not None:
        return fault
    # A shell, here or at the other end of ssh, reports a death by signal as 128 plus its number.
    number = -code if code < 0 else code - 128
    if number > 0:
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        remedy = "the library aborted: try the bundle with `edge-seg predict`, and convert it again if that fails"
        if number == signal.SIGKILL:
            remedy = "memory may have run out: try a smaller input size or fewer threads"
        return _failure(
            f"the runner was killed by {name} after {_named(last)}", running, remedy=remedy, code="runner-died"
        )
    if code in CANNOT_START and last == "the start":
        remedy = "it is built for another processor or a newer system, or isn't whole: build or copy it again"
        return _failure("the runner can't be started there", running, remedy=remedy, code="runner-died")
    if code == 0:
        return _failure(f"the runner ended after {_named(last)} without saying `done`", running, code="runner-died")
    return _failure(f"the runner ended with exit code {code} after {_named(last)}", running, code="runner-died")


def _named(last: str) -> str:
    return last if last == "the start" else f"its {last!r} line"


def _failure(message: str, running: Running, *, remedy: str = "", code: str) -> EngineError:
    tail = running.stderr_tail
    if tail:
        message += "; its last words:\n" + "\n".join(f"    {clean(line, 200)}" for line in tail)
    return EngineError(message, remedy=remedy, code=code)
