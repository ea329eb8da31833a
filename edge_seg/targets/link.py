"""The link to a board (ssh, adb) and the errors that are told of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from edge_seg.errors import EdgeSegError, TargetError


class Link(Protocol):
    """How shell lines and files get to a board."""

    name: str
    folder: str

    def command(self, line: str) -> list[str]:
        """The command of this machine that runs a shell line there. Raises TargetError when there is no connection."""

    def send(self, source: Path, to: str) -> None:
        """Copies a file to the path ``to``, or all that is in a folder into the folder ``to``, which exists."""

    def fetch(self, path: str, destination: Path) -> None:
        """Copies a file from there into the new file ``destination``."""

    def fault(self, code: int, said: Sequence[str]) -> EdgeSegError | None:
        """What went wrong with the connection, judged by an exit code and the last lines of stderr; None: nothing."""

    def close(self) -> None:
        """Ends the connection."""


# What the board's own commands say (asked in English), and what to do.
_COMPLAINTS = {
    "No space left on device": ("target-full", "its disk is full", "free some space there, or name another --dir"),
    "Disk quota exceeded": ("target-full", "the disk quota is used up", "free some space, or name another --dir"),
    "Read-only file system": ("target-read-only", "the file system can't be written to", "name another --dir"),
    "Permission denied": ("target-denied", "permission denied", "name another --dir, or log in as another user"),
    "tar: not found": ("target-tar", "it has no `tar`", "install tar or busybox there"),
    "tar: command not found": ("target-tar", "it has no `tar`", "install tar or busybox there"),
}


def failed(name: str, said: Sequence[str]) -> TargetError:
    """The error for a command that failed on the board ``name``, from the last lines of its stderr."""
    words = "\n".join(f"    {line}" for line in said if line.strip())
    tail = f"; its words:\n{words}" if words else ""
    for sign, (code, what, remedy) in _COMPLAINTS.items():
        if sign in words:
            return TargetError(f"{name}: {what}{tail}", remedy=remedy, code=code)
    message = f"{name}: a command failed there{tail}"
    return TargetError(message, remedy="log in and try it by hand", code="target-failed")


def broken(name: str, why: str) -> TargetError:
    """The error for a connection that was lost."""
    return TargetError(
        f"{name}: the connection broke: {why}",
        remedy="see whether the board is still there, then give the same command again",
        code="link-lost",
    )
