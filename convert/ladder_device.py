"""The device's rung: a runner, wherever its command leads, is handed the bundle and the pictures."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_seg.errors import EngineError, UsageError
from edge_seg.runtime.result import Instances

LIMIT_S = 1800.0


def command_of(runner: str) -> list[str]:
    """The words of ``--runner``: a program, or a command line with arguments."""
    try:
        words = [runner] if Path(runner).is_file() else shlex.split(runner)
    except ValueError as problem:
        raise UsageError(f"--runner {runner!r}: {problem}", remedy="close the quotes") from None
    if not words:
        raise UsageError("--runner: empty", remedy="give a program that speaks the runner protocol")
    return words


def run_device(
    command: Sequence[str], bundle: Path, pictures: Sequence[Path], instances: int | None
) -> tuple[list[Instances], bool | None]:
    """The instances of each picture, and whether the same pictures again gave the same (None: not told).

    Raises :class:`EngineError` when the runner can't be started, reports an error, dies or says something else.
    """
    # Each picture twice: a runner reports one result a picture, whatever --repeat is.
    options = ["--bundle", str(bundle), "--warmup", "0", "--repeat", "1", "--json"]
    options += ["--instances", str(instances)] if instances is not None else []
    options += ["--images", *map(str, [*pictures, *pictures])]
    results = [_instances(line) for line in _say(command, options) if line.get("type") == "result"]
    if len(results) not in (len(pictures), 2 * len(pictures)):
        raise _protocol(command, f"{len(results)} results for {2 * len(pictures)} pictures")
    first, second = results[: len(pictures)], results[len(pictures) :]
    return first, [r.as_json() for r in first] == [r.as_json() for r in second] if second else None


def _say(command: Sequence[str], options: Sequence[str]) -> list[dict[str, Any]]:
    try:
        done = subprocess.run(
            [*command, *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
            check=False,
        )
    except OSError as problem:
        raise UsageError(f"--runner: {command[0]}: can't be started: {problem.strerror}") from None
    except subprocess.TimeoutExpired:
        raise EngineError(f"the runner gave no answer within {LIMIT_S:g} s", code="runner-hang") from None
    try:
        lines = [json.loads(line) for line in done.stdout.splitlines()]
    except ValueError:
        raise _protocol(command, f"not JSON lines: {done.stdout[:200]!r}") from None
    if not all(isinstance(line, dict) for line in lines):
        raise _protocol(command, "lines that are no objects")
    for line in lines:
        if line.get("type") == "error":
            raise EngineError(
                str(line.get("message", "the runner failed")),
                remedy=str(line.get("remedy", "")),
                code=str(line.get("code", "runner-error")),
            )
    if done.returncode != 0 or not lines or lines[-1].get("type") != "done":
        words = " ".join(done.stderr.split()[-40:])
        raise EngineError(
            f"the runner ended with exit code {done.returncode} before `done`: {words}", code="runner-died"
        )
    return lines


def _instances(line: dict[str, Any]) -> Instances:
    try:
        return Instances.from_json(line["instances"], line["height"], line["width"])
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise EngineError(f"the runner's result can't be read: {problem!r}", code="runner-protocol") from None


def _protocol(command: Sequence[str], said: str) -> EngineError:
    return EngineError(
        f"{command[0]} doesn't speak the runner protocol: {said}",
        remedy="use a runner of the same version as this edge-seg",
        code="runner-protocol",
    )
