"""Where a runner runs: this machine, a board behind ssh or adb, an emulated processor. One file each.

All of them have three verbs: push a file or folder there, run a command there with its output streaming, pull a file
from there. A board needs nothing but a shell (and `tar`, for ssh).

To add a kind, write a module with ``open_(rest, folder)``, where ``rest`` is what follows the scheme, and enter it in
``KINDS``.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from edge_seg.process.running import Running

KINDS = {
    "local": "edge_seg.targets.local",
    "ssh://": "edge_seg.targets.ssh",
    "adb:": "edge_seg.targets.adb",
    "emulated:": "edge_seg.targets.emulated",
}
FORMS = "local, ssh://[user@]host[:port], adb:SERIAL, emulated:cortex-a72, or a board's name (edge-seg board add)"


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


def scheme_of(name: str) -> str | None:
    """The scheme of :data:`KINDS` that a target's name begins with; None for others, such as a board's own name."""
    return next((scheme for scheme in KINDS if name == scheme or (scheme != "local" and name.startswith(scheme))), None)


def open_target(name: str, *, runner: Sequence[str] = (), folder: str | None = None) -> Target:
    """The target of that name (see :data:`FORMS`), not yet connected.

    ``runner`` is the command that starts its runner there, unless the target knows one; ``folder`` is where edge-seg's
    things lie on a board. Raises :class:`UsageError`, listing the forms, when there is none of that name.
    """
    scheme = scheme_of(name)
    if scheme is None:
        named = importlib.import_module("edge_seg.targets.named")  # which itself needs this module
        board: Target = named.open_board(named.find_board(name), runner, folder)
        return board
    target: Target = importlib.import_module(KINDS[scheme]).open_(name.removeprefix(scheme), tuple(runner), folder)
    return target
