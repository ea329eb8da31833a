"""Where a runner runs: this machine, a board behind ssh or adb, an emulated processor. One file each.

All of them have three verbs: push a file or folder there, run a command there with its output streaming, pull a file
from there. A board needs nothing but a shell (and `tar`, for ssh).

To add a kind, write a module with ``open_(rest, folder)``, where ``rest`` is what follows the scheme, and enter it in
``KINDS``.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from edge_seg.errors import UsageError
from edge_seg.process.running import Running

KINDS = {
    "local": "edge_seg.targets.local",
    "ssh://": "edge_seg.targets.ssh",
    "adb:": "edge_seg.targets.adb",
    "emulated:": "edge_seg.targets.emulated",
}
FORMS = "local, ssh://[user@]host[:port], adb:SERIAL, emulated:cortex-a72"


class Target(Protocol):
    """A machine that can hold a bundle and run a runner. Use as a context manager, or close it.

    ``name`` goes into records; ``emulated`` marks figures that are no milliseconds of a board; ``runner`` is the
    command that starts its runner; ``local_cpu_time`` says whether a command's CPU time is known here. ``root`` is
    the folder under which the target's own /proc and /sys lie, ``arch`` its processor where asking it isn't possible.
    """

    name: str
    emulated: bool
    local_cpu_time: bool
    root: str
    arch: str | None

    @property
    def runner(self) -> tuple[str, ...]: ...

    def push(self, source: Path) -> str:
        """Makes a file or folder available there until the target is closed, and returns its path there."""

    def run(self, command: Sequence[str]) -> Running:
        """Starts a command there, its output streaming."""

    def pull(self, path: str, destination: Path) -> None:
        """Copies a file from there to here."""

    def drop(self, path: str) -> None:
        """Removes what was pushed there, when its room is needed before the target is closed."""

    def close(self) -> None:
        """Removes what was pushed and ends the connection."""

    def __enter__(self) -> Target: ...

    def __exit__(self, *_: object) -> None: ...


def open_target(name: str, *, runner: Sequence[str] = (), folder: str | None = None) -> Target:
    """The target of that name. Nothing is connected yet.

    ``runner`` is the command that starts its runner there, unless the target knows one; ``folder`` is where edge-seg's
    things lie on a board. Raises :class:`UsageError`, listing the forms, when there is none of that name.
    """
    for scheme, module in KINDS.items():
        if name == scheme if scheme == "local" else name.startswith(scheme):
            target: Target = importlib.import_module(module).open_(name.removeprefix(scheme), tuple(runner), folder)
            return target
    hint = f"; did you mean ssh://{name}?" if re.fullmatch(r"[^@/:]+@[^@/:]+|\d+(\.\d+){3}", name) else ""
    raise UsageError(f"no target named {name!r}", remedy=f"targets are {FORMS}{hint}", code="unknown-target")
