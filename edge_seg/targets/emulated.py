"""``emulated:CPU``: the native runner on an Arm processor in qemu's user mode, as `make native-aarch64` sets it up.

``emulated:cortex-a72`` is a 64-bit board, ``emulated:armhf/cortex-a72`` a 32-bit one. Right results and instruction
counts can be had this way, milliseconds can't: its records are marked, and fill no cell of the speed table.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from edge_seg.errors import MissingDependencyError, UsageError
from edge_seg.process.running import Running
from edge_seg.targets.local import Local, run_leashed

BUILDS_VARIABLE = "EDGE_SEG_NATIVE_BUILDS"
BUILDS = Path(__file__).resolve().parents[2] / "build" / "native"
ARCHITECTURES = {"aarch64": "aarch64", "armhf": "armv7l"}
"""Of each build, what ``uname -m`` says on such a board."""


def open_(rest: str, runner: tuple[str, ...], folder: str | None) -> Emulated:
    """An emulated board; MissingDependencyError when it isn't built."""
    if folder is not None:
        raise UsageError("a folder on the board is named, but the board is emulated here", remedy="leave --dir out")
    build, _, cpu = rest.rpartition("/")
    return Emulated(build or "aarch64", cpu, runner)


class Emulated(Local):
    """This machine's files, an Arm processor. The board's own /proc and /sys lie under ``root``."""

    emulated = True
    local_cpu_time = False

    def __init__(self, build: str, cpu: str, runner: Sequence[str] = ()) -> None:
        if build not in ARCHITECTURES:
            raise UsageError(
                f"target emulated:{build}/{cpu}: unknown kind of processor {build!r}",
                remedy=f"choose one of {', '.join(ARCHITECTURES)}",
                code="unknown-target",
            )
        folder = Path(os.environ.get(BUILDS_VARIABLE, BUILDS)) / build
        program = runner[0] if runner else str(folder / "edge-seg-run")
        for needed in (folder / "emulate", Path(program)):
            if not needed.is_file():
                raise MissingDependencyError(
                    f"{needed}: isn't there",
                    remedy=f"`make native-{build}` in a checkout builds the runner and the emulated boards; elsewhere"
                    f" {BUILDS_VARIABLE} names the folder of the builds",
                )
        known = sorted(board.name for board in (folder / "boards").iterdir())
        if cpu not in known:
            raise UsageError(
                f"target emulated:{cpu}: unknown processor", remedy=f"choose {', '.join(known)}", code="unknown-target"
            )
        self.name = f"emulated:{cpu}" if build == "aarch64" else f"emulated:{build}/{cpu}"
        self.root = str(folder / "boards" / cpu)
        self.arch = ARCHITECTURES[build]
        self._emulator = (str(folder / "emulate"), cpu)
        self.runner = (program, *runner[1:])

    def run(self, command: Sequence[str]) -> Running:
        # A shell of that processor isn't at hand: this machine's reads the files under ``root``.
        here = Path(command[0]).name == "sh"
        return run_leashed(command if here else [*self._emulator, *command])
