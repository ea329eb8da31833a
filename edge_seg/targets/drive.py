"""Drives a runner: starts it on a target, reads its JSON lines, turns every way it can fail into one clear error."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from edge_seg.errors import EdgeSegError, EngineError
from edge_seg.process.running import Running
from edge_seg.targets import Target

Message = dict[str, Any]

SINGLE = ("hello", "load", "self_test", "first_run", "memory", "done")
REPEATED = ("sample", "result")
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


def drive(
    target: Target,
    options: Sequence[str],
    *,
    silence: float,
    on_message: Callable[[Message], None] = lambda message: None,
    runner: Sequence[str] | None = None,
) -> Outcome:
    """Runs the target's runner (or ``runner``) with ``options`` and returns what it said, ``on_message`` line by line.

    Raises :class:`EngineError` when the runner reports an error, dies, writes something else than the protocol's lines,
    ends without ``done``, or writes nothing for ``silence`` seconds.
    """
    outcome = Outcome()
    with target.run([*(runner or target.runner), *options]) as running:
        for message in _messages(running, silence):
            on_message(message)
            _keep(outcome, message)
        if target.local_cpu_time:
            outcome.cpu_seconds = running.cpu_seconds
    return outcome


class Session:
    """A runner of this machine that is told the pictures' names one after the other: ``--images -`` is in ``options``.

    Its methods raise what :func:`drive` raises.
    """

    def __init__(self, command: Sequence[str], options: Sequence[str], silence: float) -> None:
        self._running = Running([*command, *options], leashed=True)
        self._messages = _messages(self._running, silence)

    def say(self, name: str) -> None:
        """Hands it a picture."""
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


def _messages(running: Running, silence: float) -> Iterator[Message]:
    """The lines as they come, to the end of a run without an error; whatever else happens is raised."""
    last = "the start"
    try:
        for line in running.lines(silence):
            message = _parse(line, running)
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
    code = running.wait(ENDING_LIMIT)
    if code is None:
        running.stop()
        late = f"the runner didn't end within {ENDING_LIMIT:g} s after its last line"
        raise _failure(late, running, code="runner-hang")
    if code != 0 or last != "done":
        raise _died(code, last, running)


def _parse(line: str, running: Running) -> Message:
    try:
        message = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        message = None
    kind = message.get("type") if isinstance(message, dict) else None
    if kind == "error":
        running.wait(ENDING_LIMIT)
        raise EngineError(
            str(message.get("message", "the runner failed and didn't say why")),
            remedy=str(message.get("remedy", "")),
            code=str(message.get("code", "runner-error")),
        )
    if kind not in (*SINGLE, *REPEATED):
        running.stop()
        raise _failure(
            f"the runner wrote a line that isn't the protocol's: {line[:200]!r}",
            running,
            remedy="use a runner of the same version as this edge-seg",
            code="runner-protocol",
        )
    return message


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _keep(outcome: Outcome, message: Message) -> None:
    kind = message["type"]
    if kind == "sample":
        outcome.samples.append(message)
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
        message += "; its last words:\n" + "\n".join(f"    {line}" for line in tail)
    return EngineError(message, remedy=remedy, code=code)
