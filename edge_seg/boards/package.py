"""A packed archive, opened here, and whether it can run on a board: asked before anything is sent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.archive import only_folder, unpack
from edge_seg.boards.elf import KINDS, Elf, read_elf
from edge_seg.boards.pack import LIBRARIES, RUN, RUNNER
from edge_seg.boards.state import State
from edge_seg.errors import EdgeSegError, TargetError, UsageError
from edge_seg.files import sha256

UNCHANGED = "nothing was changed"


@dataclass(frozen=True)
class Package:
    """An archive's content in ``folder``; ``program`` is its runner, None where that is a script."""

    version: str
    folder: Path
    program: Elf | None
    glibc: tuple[int, ...] | None
    fp16: bool
    release: int = 0
    """The version in the bundle's manifest."""

    @property
    def loader(self) -> str:
        return self.program.interpreter if self.program else ""

    @property
    def libraries(self) -> list[str]:
        return [f"{LIBRARIES}/{file.name}" for file in sorted((self.folder / LIBRARIES).glob("*"))]


def open_package(archive: Path, scratch: Path) -> Package:
    """Unpacks the archive into ``scratch``. Raises UsageError when it isn't one that `edge-seg board pack` wrote."""
    remedy = "give the archive that `edge-seg board pack` wrote"
    if not archive.is_file():
        raise UsageError(f"{archive}: no such file", remedy=remedy)
    folder = only_folder(unpack(archive, scratch / "content", EdgeSegError))
    for name in (RUN, RUNNER, "bundle/manifest.json"):
        if not (folder / name).is_file():
            hint = "; a bundle alone is packed by `edge-seg bundle pack`" if name == RUN else ""
            raise UsageError(f"{archive}: holds no {name}{hint}", remedy=remedy)
    program = read_elf(folder / RUNNER)
    files = [program, *(read_elf(file) for file in sorted((folder / LIBRARIES).glob("*")))]
    glibc = max((elf.glibc for elf in files if elf and elf.glibc), default=None)
    manifest = folder / "bundle" / "manifest.json"
    return Package(sha256(archive)[:12], folder, program, glibc, _computes_fp16(manifest), _release(manifest))


def _release(manifest: Path) -> int:
    try:
        return int(json.loads(manifest.read_bytes()).get("version", 0))
    except (ValueError, AttributeError, TypeError):
        return 0  # the runner's own check refuses such a manifest


def _computes_fp16(manifest: Path) -> bool:
    try:
        plain: dict[str, Any] = json.loads(manifest.read_bytes())
        needs = plain.get("optimizer", {}).get("requires", [])
        return "fp16" in needs or (plain.get("precision") == "fp16" and "opencl" not in needs)
    except (ValueError, AttributeError, TypeError):
        return False  # the runner's own check refuses such a manifest


def check_board(name: str, state: State, package: Package) -> None:
    """Raises TargetError when the archive can't run on the board."""
    program = package.program
    if program is None:
        return
    fits = {system for kind in KINDS.values() if kind.machine == program.machine for system in kind.systems}
    if state.machine not in fits:
        raise TargetError(
            f"{name}: the board is {state.machine}, but the archive's runner is for {program.machine}; {UNCHANGED}",
            remedy="pack with a runner for this board (edge-seg board pack --arch)",
            code="wrong-architecture",
        )
    if not state.loader:
        _refuse_word_size(name, state, program)
    if package.glibc and state.glibc and state.glibc < package.glibc:
        needed, found = (".".join(map(str, version)) for version in (package.glibc, state.glibc))
        raise TargetError(
            f"{name}: the archive needs glibc {needed}, the board has {found}; {UNCHANGED}",
            remedy="pack with the runner that `make native-aarch64` or `make native-armhf` builds (glibc 2.31), and"
            " with Paddle Lite's official library",
            code="glibc-too-old",
        )
    if package.fp16 and state.features is not None and "asimdhp" not in state.features:
        raise TargetError(
            f"{name}: the bundle computes in fp16 (Arm v8.2, the feature asimdhp), which not all of the board's cores"
            f" can; {UNCHANGED}",
            remedy="convert with another recipe, such as arm-fp32 or arm-int8",
            code="requirement-missing",
        )


def _refuse_word_size(name: str, state: State, program: Elf) -> None:
    if state.bits is not None and state.bits != program.bits:
        raise TargetError(
            f"{name}: the kernel is {state.machine}, but the board's programs have {state.bits} bits, and the archive's"
            f" runner has {program.bits} (its loader {program.interpreter} isn't there); {UNCHANGED}",
            remedy=f"pack for {'armv7hf' if state.bits == 32 else 'armv8'} (docs/boards)",
            code="wrong-word-size",
        )
    raise TargetError(
        f"{name}: the loader {program.interpreter}, which the archive's runner needs, isn't on the board; {UNCHANGED}",
        remedy="pack with a runner for the board's word size and C library: Alpine's musl, for one, can't run it",
        code="loader-missing",
    )
