"""The one folder in which commands are tried with damaged files, and what must hold when one ends."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_seg.partial import MARK
from edge_seg.process.child import Outcome, run_module
from edge_seg.process.forks import warm
from edge_seg.process.guard import PIPE_VARIABLE
from tests.conftest import ROOT

LIMIT_S = float(os.environ.get("EDGE_SEG_DAMAGED_SECONDS", "60"))  # more on a machine that has other work
MORE_KIB = 1 << 20
"""What a damaged file may take in memory beyond a sound one."""
Contents = dict[str, tuple[int, int]]


@contextlib.contextmanager
def workplace(folder: Path, *loaded: str) -> Iterator[Path]:
    """The folder that commands work in, with a home and a place for temporary files of its own.

    Commands are forked with the modules ``loaded``, and as a guarded command's child: a death is seen as such.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("HOME", "home"), ("TMPDIR", "tmp"), ("XDG_CONFIG_HOME", "work/config")):
            (folder / value).mkdir(parents=True, exist_ok=True)
            patch.setenv(name, str(folder / value))
        patch.setenv("EDGE_SEG_PEAK", str(folder / "peak"))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv(PIPE_VARIABLE, "2")
        patch.chdir(folder / "work")
        with warm(["tests.faults.measured"], "edge_seg.cli", *loaded):
            yield folder / "work"


def edge_seg(*words: str) -> Outcome:
    return run_module("tests.faults.measured", *words, limit_s=LIMIT_S)


def clear(work: Path) -> None:
    for path in work.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def lay_out(sound: Path, work: Path) -> None:
    clear(work)
    shutil.copytree(sound, work, dirs_exist_ok=True)


def peak(work: Path) -> int:
    """The most memory that the last command took, KiB."""
    file = work.parent / "peak"
    taken = int(file.read_text()) if file.exists() else 0
    file.unlink(missing_ok=True)
    return taken


def contents(folder: Path) -> Contents:
    """Every file in and below ``folder``, but for what commands write by intent."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_relative_to(folder / "out")
    }


def fault(done: Outcome, work: Path, before: Contents | None, most: int, reports: str = "") -> str:
    """What is wrong with a command's end; empty when it is as it should be.

    ``reports``: what a command says that goes on after a fault; ``before``: the files, which stay as they are.
    """
    if done.code not in (0, 1, 2):
        return done.ending()
    said = done.stdout + done.stderr
    if "Traceback" in said or "this is a bug" in said:
        return "a traceback"
    if done.code and reports:
        if not re.search(reports, said, re.MULTILINE):
            return "nothing is said of the fault"
    elif done.code:
        errors = len(re.findall(r"^Error: .{10,}", done.stderr, re.MULTILINE))
        if errors != 1:
            return f"{errors} errors"
        if (work / "out").exists():
            return "something was written"
    if any(path.name.startswith((MARK, ".edge-seg")) for path in work.rglob("*")) or any(
        (work.parent / "tmp").iterdir()
    ):
        return "something was left"
    if before is not None and contents(work) != before:
        return "files were changed"
    if peak(work) > most + MORE_KIB:
        return "too much memory"
    return ""
