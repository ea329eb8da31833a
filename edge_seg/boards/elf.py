"""What a program or library says of itself in its ELF file: which processor, system and libraries it needs."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from edge_seg.errors import EdgeSegError, UsageError

MACHINES = {"EM_386": "x86", "EM_ARM": "arm", "EM_X86_64": "x86_64", "EM_AARCH64": "aarch64"}
_HARD_FLOAT = 0x400
_IDENTITY = re.compile(rb"edge-seg-run version=([\w.+-]+) protocol=(\d+) engines=([\w.,=+-]+)\0")

C_LIBRARY = {
    *("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libresolv.so.2", "libutil.so.1"),
    *("ld-linux-aarch64.so.1", "ld-linux-armhf.so.3", "ld-linux-x86-64.so.2"),
    *("libc.so", "libm.so", "libdl.so", "liblog.so", "libandroid.so", "libEGL.so", "libGLESv2.so"),
}
"""Libraries that every system has: glibc's, and Android's own."""

_OPENCL = b"libOpenCL.so"
_ENOUGH = 100
"""Instructions that prove fp16 kernels, of which there are thousands; data between functions may look like a few."""


@dataclass(frozen=True)
class BoardKind:
    """A kind of board: the processor and system that programs for it name; ``bundles`` are targets of manifests."""

    machine: str
    android: bool
    bundles: tuple[str, ...]
    systems: tuple[str, ...]
    """What ``uname -m`` prints on boards that may run it; a 64-bit kernel runs 32-bit programs too."""


KINDS = {
    "armv8": BoardKind("aarch64", False, ("arm", "cpu"), ("aarch64", "arm64")),
    "armv7hf": BoardKind("arm", False, ("arm", "cpu"), ("armv7l", "armv8l", "aarch64")),
    "android-armv8": BoardKind("aarch64", True, ("arm",), ("aarch64",)),
    "android-armv7": BoardKind("arm", True, ("arm",), ("armv7l", "armv8l", "aarch64")),
    "x86": BoardKind("x86_64", False, ("x86", "cpu"), ("x86_64",)),
}


@dataclass(frozen=True)
class Elf:
    """``interpreter`` is the program's loader ("" for a library), ``needed`` the libraries that the loader must find.

    ``versions`` holds, by library, the symbol versions asked of it (``{"libc.so.6": {"GLIBC_2.29"}}``), ``defined``
    those that this library offers. Both are empty where the file has no section headers.
    """

    machine: str
    bits: int
    hard_float: bool
    interpreter: str
    content: bytes = field(repr=False)
    needed: tuple[str, ...] = ()
    versions: dict[str, frozenset[str]] = field(default_factory=dict)
    defined: frozenset[str] = frozenset()
    code: bytes = field(default=b"", repr=False)

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

    @property
    def glibc(self) -> tuple[int, ...] | None:
        """The version of glibc that it needs, ``(2, 31)``; None where it doesn't say."""
        names = [name for asked in self.versions.values() for name in asked]
        found = [re.fullmatch(r"GLIBC_(\d+)\.(\d+)(?:\.(\d+))?", name) for name in names]
        return max((tuple(int(part) for part in match.groups("0")[:2]) for match in found if match), default=None)

    @cached_property
    def abilities(self) -> frozenset[str]:
        """What Paddle Lite's library was built with, of ``fp16`` and ``opencl``.

        Built with fp16, it holds thousands of instructions that multiply and add eight halves. The runner looks for
        the same (cmake/src/engines/requirements.cc).
        """
        found = {"opencl"} if _OPENCL in self.content else set()
        return frozenset(found | ({"fp16"} if self._computes_fp16() else set()))

    def _computes_fp16(self) -> bool:
        import numpy as np

        if self.machine == "aarch64":
            words = np.frombuffer(self.code[: len(self.code) // 4 * 4], "<u4")
            count = np.count_nonzero((words & 0xFFE0FC00) == 0x4E400C00)
            return bool(count + np.count_nonzero((words & 0xFFC0F400) == 0x4F001000) >= _ENOUGH)
        if self.machine != "arm":
            return False
        halves = np.frombuffer(self.code[: len(self.code) // 2 * 2], "<u2").astype(np.uint32)
        first, second = halves[:-1], halves[1:]
        arm, thumb = second << 16 | first, first << 16 | second  # Thumb's first half stands before the second
        count = np.count_nonzero((arm & 0xFFB00F50) == 0xF2100C50)
        return bool(count + np.count_nonzero((thumb & 0xFFB00F50) == 0xEF100C50) >= _ENOUGH)


def read_elf(file: Path) -> Elf | None:
    """The file's headers; None when it isn't ELF (a script). Raises UsageError when it is cut short or damaged."""
    from elftools.common.exceptions import ELFError

    content = file.read_bytes()
    if not content.startswith(b"\x7fELF"):
        return None
    try:
        return _parse(content)
    except (ELFError, KeyError, IndexError, ValueError, TypeError, AttributeError, AssertionError, OverflowError):
        raise UsageError(f"{file}: a program that is cut short or damaged", remedy="build or copy it again") from None


def _parse(content: bytes) -> Elf:
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.elffile import ELFFile
    from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection
    from elftools.elf.segments import InterpSegment

    elf = ELFFile(io.BytesIO(content))
    interpreter, needed, code = "", [], b""
    for segment in elf.iter_segments():
        if isinstance(segment, InterpSegment):
            interpreter = segment.get_interp_name()
        elif isinstance(segment, DynamicSegment):
            needed = [tag.needed for tag in segment.iter_tags("DT_NEEDED")]  # type: ignore[attr-defined]
        elif segment["p_type"] == "PT_LOAD" and segment["p_flags"] & 1:
            code += segment.data()
    versions: dict[str, frozenset[str]] = {}
    defined: set[str] = set()
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for library, asked in section.iter_versions():
                versions[library.name or ""] = frozenset(version.name for version in asked)
        elif isinstance(section, GNUVerDefSection):
            for _, names in section.iter_versions():
                defined |= {name.name for name in names}
    machine = elf["e_machine"]
    return Elf(
        MACHINES.get(machine, f"machine {machine}"),
        elf.elfclass,
        bool(elf["e_flags"] & _HARD_FLOAT),
        interpreter,
        content,
        tuple(needed),
        versions,
        frozenset(defined),
        code,
    )


def check_elf(file: Path, elf: Elf, arch: str) -> None:
    """Raises EdgeSegError when the program or library isn't for boards of the kind ``arch``."""
    kind = KINDS[arch]
    fault = ""
    if elf.machine != kind.machine:
        fault = f"is for {elf.machine}"
    elif arch == "armv7hf" and not elf.hard_float and elf.interpreter:
        fault = "is for Arm without hardware floating point"
    elif elf.interpreter and elf.android != kind.android:
        fault = f"is for {'Android' if elf.android else 'Linux'} (its loader is {elf.interpreter})"
    if fault:
        raise EdgeSegError(
            f"{file}: {fault}, but {arch} needs {kind.machine} {'Android' if kind.android else 'Linux'}",
            remedy="build it with that kind's preset (cmake/README.md), or name the right --arch",
            code="wrong-architecture",
        )
