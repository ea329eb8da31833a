"""The processor as the operating system shows it, and this process's memory."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any


def describe_cpu() -> dict[str, Any]:
    """Name, instruction set flags, number of cores and those that this process may use.

    Arm kernels print no name; there it is the implementer and part number of each kind of core ("0x41:0xd0b").
    """
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        text = ""
    fields: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), []).append(value.strip())
    parts = zip(fields.get("CPU implementer", []), fields.get("CPU part", []), strict=False)
    name = fields.get("model name", [""])[0] or " + ".join(dict.fromkeys(":".join(part) for part in parts))
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return {
        "name": name or platform.processor() or platform.machine(),
        "flags": (fields.get("flags") or fields.get("Features") or [""])[0].split(),
        "cores": os.cpu_count(),
        "allowed_cores": allowed,
    }


def peak_memory() -> int | None:
    """Bytes of physical memory that this process has held at most; None where the system doesn't say."""
    return memory_of_process("VmHWM")


def huge_memory() -> int | None:
    """Bytes that this process holds in huge pages (:mod:`edge_seg.process.huge_pages`); None where unknown."""
    return memory_of_process("AnonHugePages", "smaps_rollup")


def memory_of_process(field: str, file: str = "status") -> int | None:
    """Bytes that a field of a file in /proc/self tells ("VmHWM", "VmData"); None where the system doesn't."""
    try:
        for line in Path("/proc/self", file).read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
