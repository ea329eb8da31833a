"""``adb:SERIAL``: an Android device through the system's adb, which keeps its own connection."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from edge_seg.errors import TargetError, UsageError
from edge_seg.targets.copying import copy_through, find_program, size_of
from edge_seg.targets.remote import Board

_SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:\[\]%-]*")
_BROKE = ("link-lost", "the connection broke", "plug it in again, then give the same command again")
# What adb says on stderr when it fails, in the order in which it is looked for.
_FAULTS = {
    "unauthorized": ("key-refused", "it doesn't trust this machine yet", "unlock it and answer its question with yes"),
    "device offline": ("unreachable", "it is offline", "plug it in again, or: adb reconnect offline"),
    "no permissions": ("adb-permissions", "its USB port may not be used", "install udev's rules for Android devices"),
    "not found": ("unreachable", "adb knows no such device", "`adb devices` lists them; over a network: adb connect"),
    "no devices": ("unreachable", "adb knows no device", "plug it in and switch on USB debugging, or: adb connect"),
    "cannot connect to daemon": ("adb-server", "adb's server doesn't start", "adb kill-server, then try again"),
    "closed": _BROKE,
    "protocol fault": _BROKE,
    "device disconnected": _BROKE,
    "connection reset": _BROKE,
}


def open_(rest: str, runner: tuple[str, ...], folder: str | None) -> Board:
    """A device behind adb; nothing is asked of it yet."""
    return Board(Adb(rest), runner, folder)


class Adb:
    """The link; see the module."""

    folder = "/data/local/tmp/edge-seg"
    """Where programs may lie and run: the shared storage of a phone is mounted without leave to run anything."""

    def __init__(self, serial: str) -> None:
        if not _SERIAL.fullmatch(serial):
            raise UsageError(
                f"target 'adb:{serial}': no serial number",
                remedy="adb:SERIAL, with the serial that `adb devices` shows",
                code="unknown-target",
            )
        self.name = f"adb:{serial}"
        self._serial = serial

    def command(self, line: str) -> list[str]:
        return [*self._adb(), "shell", "-T", line]

    def send(self, source: Path, to: str) -> None:
        what = [str(source), to] if source.is_file() else [f"{source}/.", f"{to}/"]
        copy_through([*self._adb(), "push", *what], self, size=size_of(source))

    def fetch(self, path: str, destination: Path) -> None:
        copy_through([*self._adb(), "pull", path, str(destination)], self)

    def fault(self, code: int, said: Sequence[str]) -> TargetError | None:
        words = "\n".join(line for line in said if line.startswith(("error:", "adb:", "* ")))
        for sign, (error_code, what, remedy) in _FAULTS.items():
            if code != 0 and sign in words and "failed to copy" not in words:
                return TargetError(f"{self.name}: {what}", remedy=remedy, code=error_code)
        return None

    def close(self) -> None:
        """adb's server keeps the connection, and is the user's."""

    def _adb(self) -> list[str]:
        return [find_program("adb", "adb"), "-s", self._serial]
