"""What a target is: CPU, SoC, cores, memory, system. Read by one shell script, so that a board needs only a shell."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from dataclasses import dataclass

from edge_seg.errors import EngineError
from edge_seg.targets import Target

PROBE_LIMIT_S = 20.0

# $1: root of the tree (empty but in tests). Files are printed between marks; device-tree strings end in NUL bytes.
SCRIPT = r"""
r=$1
echo "@uname"; uname -srm
for f in /proc/cpuinfo /proc/meminfo /etc/os-release /proc/device-tree/model /proc/device-tree/compatible \
         /sys/devices/soc0/soc_id /proc/self/status; do
  if [ -r "$r$f" ]; then echo "@$f"; tr '\000' '\n' < "$r$f"; echo; fi
done
for p in ro.soc.manufacturer ro.soc.model ro.product.model ro.build.version.release; do
  if command -v getprop > /dev/null 2>&1; then echo "@$p"; getprop "$p"; fi
done
"""

ARM_PARTS = {
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD0D: "Cortex-A77",
    0xD40: "Neoverse-V1",
    0xD41: "Cortex-A78",
    0xD44: "Cortex-X1",
    0xD46: "Cortex-A510",
    0xD47: "Cortex-A710",
    0xD48: "Cortex-X2",
    0xD49: "Neoverse-N2",
    0xD4D: "Cortex-A715",
    0xD4E: "Cortex-X3",
    0xD80: "Cortex-A520",
    0xD81: "Cortex-A720",
}
"""Arm's own cores by the part number in /proc/cpuinfo, as arch/arm64/include/asm/cputype.h of Linux lists them."""

ARM_IMPLEMENTER = 0x41


@dataclass(frozen=True)
class Machine:
    """A machine in words. ``cores`` counts what the system shows, ``allowed_cores`` is the list a program may use."""

    arch: str | None = None
    cpu: str | None = None
    soc: str | None = None
    board: str | None = None
    cores: int | None = None
    allowed_cores: str | None = None
    memory_bytes: int | None = None
    os: str | None = None
    kernel: str | None = None

    @property
    def is_arm(self) -> bool:
        return self.arch is not None and self.arch.startswith(("aarch64", "arm"))

    @property
    def is_x86(self) -> bool:
        return self.arch in ("x86_64", "amd64", "i686", "AMD64")

    @property
    def title(self) -> str:
        """A short name for tables: the board or SoC where known, else the CPU."""
        return self.board or self.soc or self.cpu or self.arch or "unknown machine"


def describe(target: Target, root: str = "") -> Machine:
    """The target's description; what it doesn't show is None, all of it where it has no shell."""
    try:
        with target.run(["sh", "-c", SCRIPT, "sh", root or target.root]) as running:
            machine = parse_machine(list(running.lines(PROBE_LIMIT_S)))
    except (EngineError, TimeoutError):
        return Machine(arch=target.arch)
    # An emulated board's shell is this machine's, and so is the system that it names.
    return dataclasses.replace(machine, arch=target.arch, kernel=None) if target.arch else machine


def parse_machine(lines: list[str]) -> Machine:
    """Reads the script's output."""
    parts: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        if line.startswith("@"):
            current = parts.setdefault(line[1:], [])
        elif line.strip():
            current.append(line.strip())
    uname = (_first(parts, "uname") or "").split()
    cpuinfo = [_pair(line, ":") for line in parts.get("/proc/cpuinfo", [])]
    release = dict(_pair(line, "=") for line in parts.get("/etc/os-release", []))
    memory = dict(_pair(line, ":") for line in parts.get("/proc/meminfo", []))
    status = dict(_pair(line, ":") for line in parts.get("/proc/self/status", []))
    kilobytes = re.match(r"(\d+) kB", memory.get("MemTotal", ""))
    android = _first(parts, "ro.build.version.release")
    return Machine(
        arch=uname[2] if len(uname) == 3 else None,
        cpu=_cpu(cpuinfo),
        soc=_soc(parts),
        board=_first(parts, "/proc/device-tree/model") or _first(parts, "ro.product.model"),
        cores=sum(key == "processor" for key, _ in cpuinfo) or None,
        allowed_cores=status.get("Cpus_allowed_list"),
        memory_bytes=int(kilobytes[1]) * 1024 if kilobytes else None,
        os=f"Android {android}" if android else release.get("PRETTY_NAME", "").strip('"') or None,
        kernel=" ".join(uname[:2]) or None,
    )


def _pair(line: str, separator: str) -> tuple[str, str]:
    key, _, value = line.partition(separator)
    return key.strip(), value.strip()


def _first(parts: dict[str, list[str]], name: str) -> str | None:
    return parts[name][0] if parts.get(name) else None


def _soc(parts: dict[str, list[str]]) -> str | None:
    model = _first(parts, "ro.soc.model")
    if model:
        return " ".join(word for word in (_first(parts, "ro.soc.manufacturer"), model) if word)
    # The device tree names the board first and the chip last: "raspberrypi,5-model-b", "brcm,bcm2712".
    compatible = parts.get("/proc/device-tree/compatible")
    return compatible[-1] if compatible else _first(parts, "/sys/devices/soc0/soc_id")


def _cpu(cpuinfo: list[tuple[str, str]]) -> str | None:
    names = [value for key, value in cpuinfo if key == "model name"]
    implementers = [_hexadecimal(value) for key, value in cpuinfo if key == "CPU implementer"]
    numbers = [_hexadecimal(value) for key, value in cpuinfo if key == "CPU part"]
    if numbers:
        # 32-bit kernels also print a "model name", but only of the architecture: the part number says more.
        kinds = Counter(
            ARM_PARTS.get(number, f"Arm part {number:#x}")
            if maker == ARM_IMPLEMENTER
            else f"maker {maker:#x} part {number:#x}"
            for maker, number in zip(implementers, numbers, strict=False)
        )
        return " + ".join(f"{count}x {kind}" for kind, count in kinds.items()) or None
    return names[0] if names else None


def _hexadecimal(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0
