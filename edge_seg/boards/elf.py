"""What a program or library says of itself in its ELF header: which processor and which system it is for."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from edge_seg.errors import EdgeSegError, UsageError

MACHINES = {3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64"}
_HARD_FLOAT = 0x400
_INTERPRETER = 3
_IDENTITY = re.compile(rb"edge-seg-run version=([\w.+-]+) protocol=(\d+) engines=([\w.,=+-]+)\0")


@dataclass(frozen=True)
class BoardKind:
    """A kind of board: the processor and system that programs for it name; ``bundles`` are targets of manifests."""

    machine: str
    android: bool
    bundles: tuple[str, ...]
    systems: tuple[str, ...]
    """What ``uname -m`` says on boards that may run it; a 64-bit kernel runs 32-bit programs too."""


KINDS = {
    "armv8": BoardKind("aarch64", False, ("arm", "cpu"), ("aarch64", "arm64")),
    "armv7hf": BoardKind("arm", False, ("arm", "cpu"), ("armv7l", "armv8l", "aarch64")),
    "android-armv8": BoardKind("aarch64", True, ("arm",), ("aarch64",)),
    "android-armv7": BoardKind("arm", True, ("arm",), ("armv7l", "armv8l", "aarch64")),
    "x86": BoardKind("x86_64", False, ("x86", "cpu"), ("x86_64",)),
}


@dataclass(frozen=True)
class Elf:
    """``interpreter`` is the program's loader ("" for a library); ``needed`` are names of libraries found in it."""

    machine: str
    hard_float: bool
    interpreter: str
    content: bytes

    @property
    def android(self) -> bool:
        return self.interpreter.startswith("/system/bin/linker")

    @property
    def identity(self) -> tuple[str, dict[str, str]] | None:
        """edge-seg-run's version, and the engines in it with theirs; None when it isn't one."""
        found = _IDENTITY.search(self.content)
        if found is None:
            return None
        engines = (word.partition("=") for word in found[3].decode().split(","))
        return found[1].decode(), {name: version for name, _, version in engines}


def read_elf(file: Path) -> Elf | None:
    """The file's header; None when it isn't ELF (a script). Raises UsageError when it is cut short."""
    content = file.read_bytes()
    if not content.startswith(b"\x7fELF"):
        return None
    try:
        wide = content[4] == 2
        order = "<" if content[5] == 1 else ">"
        (machine,) = struct.unpack_from(f"{order}H", content, 18)
        form, at = ("QQIHHH", 32) if wide else ("IIIHHH", 28)
        first, _, flags, _, size, count = struct.unpack_from(order + form, content, at)
        headers = [content[first + n * size : first + (n + 1) * size] for n in range(count)]
        interpreter = ""
        for header in headers:
            if struct.unpack_from(f"{order}I", header)[0] == _INTERPRETER:
                offset, length = (
                    (struct.unpack_from(f"{order}Q", header, 8)[0], struct.unpack_from(f"{order}Q", header, 32)[0])
                    if wide
                    else (struct.unpack_from(f"{order}I", header, 4)[0], struct.unpack_from(f"{order}I", header, 16)[0])
                )
                interpreter = content[offset : offset + length].rstrip(b"\0").decode(errors="replace")
    except (struct.error, IndexError):
        raise UsageError(f"{file}: a program that is cut short", remedy="build or copy it again") from None
    return Elf(MACHINES.get(machine, f"machine {machine}"), bool(flags & _HARD_FLOAT), interpreter, content)


def check_elf(file: Path, elf: Elf, target: str) -> None:
    """Raises EdgeSegError when the program or library isn't for boards of the kind ``target``."""
    kind = KINDS[target]
    fault = ""
    if elf.machine != kind.machine:
        fault = f"is for {elf.machine}"
    elif target == "armv7hf" and not elf.hard_float and elf.interpreter:
        fault = "is for Arm without hardware floating point"
    elif elf.interpreter and elf.android != kind.android:
        fault = f"is for {'Android' if elf.android else 'Linux'} (its loader is {elf.interpreter})"
    if fault:
        raise EdgeSegError(
            f"{file}: {fault}, but {target} needs {kind.machine} {'Android' if kind.android else 'Linux'}",
            remedy="build it with that target's preset (cmake/README.md), or name the right --target",
            code="wrong-architecture",
        )
