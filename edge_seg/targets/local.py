"""This machine. Nothing is copied: a path here is a path there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from edge_seg.errors import UsageError
from edge_seg.files import atomic_file
from edge_seg.process.python import module_command
from edge_seg.process.running import LEASH, Running


def open_(rest: str, runner: tuple[str, ...], folder: str | None) -> Local:
    """``local``."""
    if folder is not None:
        raise UsageError("a folder on the board is named, but the target is this machine", remedy="leave --dir out")
    return Local(runner)


class Local:
    """This machine, with the Python runner unless another is named."""

    name = "local"
    emulated = False
    local_cpu_time = True
    root = ""
    arch: str | None = None

    def __init__(self, runner: Sequence[str] = ()) -> None:
        self.runner: tuple[str, ...] = tuple(runner or module_command("edge_seg.runtime.runner"))

    def push(self, source: Path) -> str:
        return str(source.resolve())

    def run(self, command: Sequence[str]) -> Running:
        return run_leashed(command, in_huge_pages=True)

    def pull(self, path: str, destination: Path) -> None:
        if Path(path).resolve() != destination.resolve():
            with atomic_file(destination) as partial:
                partial.write_bytes(Path(path).read_bytes())

    def drop(self, path: str) -> None:
        """Nothing was copied."""

    def close(self) -> None:
        """Nothing to end."""

    def __enter__(self) -> Local:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run_leashed(command: Sequence[str], *, in_huge_pages: bool = False) -> Running:
    """Starts a command of this machine that ends with this process, even when that is killed."""
    if shutil.which(command[0]) is None or shutil.which("sh") is None:
        return Running(command)  # which says that it can't be started
    return Running(["sh", "-c", LEASH, "sh", *command], leashed=True, in_huge_pages=in_huge_pages)
