"""What a target is: CPU, SoC, cores, memory, system. Read by one shell script, so that a board needs only a shell."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field

from edge_seg.errors import EngineError
from edge_seg.plain import LEFT_OUT_IF_NONE
from edge_seg.process.running import Limits, Stopped
from edge_seg.targets import Target

PROBE_LIMIT_S = 20.0
LIMITS = Limits(lines=200_000, bytes=8 << 20, seconds=2 * PROBE_LIMIT_S)
MOST_CORES = 4096
_SPAN = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_SPEED = re.compile(r"speed /sys/devices/system/cpu/(cpu[0-9]{1,5})/(.+)")
_PLAIN = re.compile(r"[0-9]{1,15}")
_HEXADECIMAL = re.compile(r"(0x)?[0-9a-fA-F]{1,8}")

# $1: root of the tree (empty but in tests). Files are printed between marks; device-tree strings end in NUL bytes.
SCRIPT = r"""
r=$1
echo "@uname"; uname -srm
for f in /proc/cpuinfo /proc/meminfo /etc/os-release /proc/device-tree/model /proc/device-tree/compatible \
         /proc/device-tree/serial-number /sys/devices/soc0/soc_id /etc/machine-id /proc/self/status \
         /sys/class/dmi/id/product_name; do
  if [ -r "$r$f" ]; then
    echo "@$f"
    case $f in
      /proc/device-tree/*) tr '\000' '\n' < "$r$f" ;;
      *) while read -r line; do printf '%s\n' "$line"; done < "$r$f" ;;
    esac
    echo
  fi
done 2> /dev/null
for f in "$r"/sys/devices/system/cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq \
         "$r"/sys/devices/system/cpu/cpu[0-9]*/cpu_capacity; do
  if [ -r "$f" ]; then echo "@speed ${f#"$r"}"; read -r line < "$f"; echo "$line"; fi
done 2> /dev/null
for p in ro.soc.manufacturer ro.soc.model ro.product.model ro.build.version.release; do
  if command -v getprop > /dev/null 2>&1; then echo "@$p"; getprop "$p"; fi
done
"""


@dataclass(frozen=True)
class Machine:
    """A machine in words. ``cores`` counts what the system shows, ``allowed_cores`` is the list a program may use.

    ``identity`` tells devices of one kind apart: a hash of the serial number, or of the system's own machine-id.
    ``virtual`` says that a hypervisor hides the real processor's clock and heat. ``core_speeds`` are the cores' highest
    frequencies in kHz, or their capacities where the system shows these alone; cores of unequal speed differ here.
    """

    arch: str | None = None
    cpu: str | None = None
    soc: str | None = None
    board: str | None = None
    cores: int | None = None
    allowed_cores: str | None = None
    memory_bytes: int | None = None
    os: str | None = None
    kernel: str | None = None
    identity: str | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    virtual: bool | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    core_speeds: dict[str, int] | None = field(default=None, metadata=LEFT_OUT_IF_NONE)

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
    """The target's description; what it doesn't show is None, all of it where it has no shell.

    Raises TargetError when it can't be reached.
    """
    try:
        with target.run(["sh", "-c", SCRIPT, "sh", root or target.root]) as running:
            machine = parse_machine(list(running.lines(PROBE_LIMIT_S, LIMITS)))
            code = running.wait(PROBE_LIMIT_S)
            if (fault := running.fault(code)) is not None:
                raise fault
    except (EngineError, TimeoutError) as problem:
        if isinstance(problem, Stopped):
            raise
        return Machine(arch=target.arch)
    # An emulated board's shell is this machine's, and so is the system that it names.
    return dataclasses.replace(machine, arch=target.arch, kernel=None) if target.arch else machine


def parse_machine(lines: list[str]) -> Machine:
    """Reads the script's output. Whatever stands there becomes words of bounded length, or None."""
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
    kilobytes = re.match(r"([0-9]{1,15}) kB", memory.get("MemTotal", ""))
    android = _first(parts, "ro.build.version.release")
    flags = {flag for key, value in cpuinfo if key == "flags" for flag in value.split()}
    return Machine(
        arch=_words(uname[2]) if len(uname) == 3 else None,
        cpu=_cpu(cpuinfo),
        soc=_soc(parts),
        board=_first(parts, "/proc/device-tree/model") or _first(parts, "ro.product.model"),
        cores=sum(key == "processor" for key, _ in cpuinfo) or None,
        allowed_cores=_words(status["Cpus_allowed_list"]) if "Cpus_allowed_list" in status else None,
        memory_bytes=int(kilobytes[1]) * 1024 if kilobytes else None,
        os=_words(f"Android {android}" if android else release.get("PRETTY_NAME", "").strip('"')) or None,
        kernel=_words(" ".join(uname[:2])) or None,
        identity=_identity(parts),
        virtual="hypervisor" in flags or _is_virtual(_first(parts, "/sys/class/dmi/id/product_name")) or None,
        core_speeds=_core_speeds(parts),
    )


def allowed(machine: Machine) -> tuple[int, ...]:
    """The cores that a program may use there, empty where that isn't known: the list "0-3,6" has five."""
    return parse_cores(machine.allowed_cores or "") or tuple(range(min(machine.cores or 0, MOST_CORES)))


def parse_cores(text: str) -> tuple[int, ...]:
    """``"0-3,6"`` to ``(0, 1, 2, 3, 6)``; empty for anything else."""
    cores: set[int] = set()
    for span in text.split(","):
        match = _SPAN.fullmatch(span.strip())
        if match is None or int(match[2] or match[1]) >= MOST_CORES:
            return ()
        cores.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(cores))


def kinds_of_cores(machine: Machine) -> list[tuple[int, ...]]:
    """The cores in groups of equal speed, the fastest first; empty where the speeds aren't known."""
    speeds = {int(core[3:]): speed for core, speed in (machine.core_speeds or {}).items()}
    return [
        tuple(core for core in sorted(speeds) if speeds[core] == speed)
        for speed in sorted(set(speeds.values()), reverse=True)
    ]


def _core_speeds(parts: dict[str, list[str]]) -> dict[str, int] | None:
    for leaf in ("cpufreq/cpuinfo_max_freq", "cpu_capacity"):
        found = {}
        for name, lines in parts.items():
            match = _SPEED.fullmatch(name)
            if match and match[2] == leaf and lines and _PLAIN.fullmatch(lines[0]):
                found[match[1]] = int(lines[0])
        if found:
            return dict(sorted(found.items(), key=lambda item: int(item[0][3:])))
    return None


def _identity(parts: dict[str, list[str]]) -> str | None:
    own = _first(parts, "/proc/device-tree/serial-number") or _first(parts, "/etc/machine-id")
    return hashlib.sha256(own.encode()).hexdigest()[:8] if own else None


def _is_virtual(product: str | None) -> bool:
    return product is not None and any(word in product for word in ("KVM", "Virtual", "VMware", "Standard PC"))


def _pair(line: str, separator: str) -> tuple[str, str]:
    key, _, value = line.partition(separator)
    return key.strip(), value.strip()


def _first(parts: dict[str, list[str]], name: str) -> str | None:
    return _words(parts[name][0]) or None if parts.get(name) else None


def _words(text: str) -> str:
    """Names go into tables and terminals: no control characters, no end of them."""
    return "".join(c if c.isprintable() else " " for c in text[:200]).strip()


def _soc(parts: dict[str, list[str]]) -> str | None:
    model = _first(parts, "ro.soc.model")
    if model:
        return " ".join(word for word in (_first(parts, "ro.soc.manufacturer"), model) if word)
    # The device tree names the board first and the chip last: "raspberrypi,5-model-b", "brcm,bcm2712".
    compatible = parts.get("/proc/device-tree/compatible")
    return _words(compatible[-1]) or None if compatible else _first(parts, "/sys/devices/soc0/soc_id")


def _cpu(cpuinfo: list[tuple[str, str]]) -> str | None:
    names = [value for key, value in cpuinfo if key == "model name"]
    implementers = [_hexadecimal(value) for key, value in cpuinfo if key == "CPU implementer"]
    numbers = [_hexadecimal(value) for key, value in cpuinfo if key == "CPU part"]
    if numbers:
        # 32-bit kernels also print a "model name", but only of the architecture: the part number says more.
        kinds = Counter(
            CORES.get((maker, number))
            or (f"Arm part {number:#x}" if maker == _ARM else f"maker {maker:#x} part {number:#x}")
            for maker, number in zip(implementers, numbers, strict=False)
        )
        return " + ".join(f"{count}x {kind}" for kind, count in kinds.items())[:200] or None
    return _words(names[0]) or None if names else None


def _hexadecimal(text: str) -> int:
    return int(text, 16) if _HEXADECIMAL.fullmatch(text) else 0


# (implementer, part) of /proc/cpuinfo. Arm's own numbers are in each core's Technical Reference Manual (MIDR_EL1). The
# C++ runner has the same list (cmake/src/engines/arm_cores.h).
_ARM = 0x41


CORES = {
    (_ARM, 0xC05): "Cortex-A5",
    (_ARM, 0xC07): "Cortex-A7",
    (_ARM, 0xC08): "Cortex-A8",
    (_ARM, 0xC09): "Cortex-A9",
    (_ARM, 0xC0D): "Cortex-A17",
    (_ARM, 0xC0E): "Cortex-A17",
    (_ARM, 0xC0F): "Cortex-A15",
    (_ARM, 0xD01): "Cortex-A32",
    (_ARM, 0xD02): "Cortex-A34",
    (_ARM, 0xD03): "Cortex-A53",
    (_ARM, 0xD04): "Cortex-A35",
    (_ARM, 0xD05): "Cortex-A55",
    (_ARM, 0xD06): "Cortex-A65",
    (_ARM, 0xD07): "Cortex-A57",
    (_ARM, 0xD08): "Cortex-A72",
    (_ARM, 0xD09): "Cortex-A73",
    (_ARM, 0xD0A): "Cortex-A75",
    (_ARM, 0xD0B): "Cortex-A76",
    (_ARM, 0xD0C): "Neoverse-N1",
    (_ARM, 0xD0D): "Cortex-A77",
    (_ARM, 0xD0E): "Cortex-A76AE",
    (_ARM, 0xD40): "Neoverse-V1",
    (_ARM, 0xD41): "Cortex-A78",
    (_ARM, 0xD42): "Cortex-A78AE",
    (_ARM, 0xD43): "Cortex-A65AE",
    (_ARM, 0xD44): "Cortex-X1",
    (_ARM, 0xD46): "Cortex-A510",
    (_ARM, 0xD47): "Cortex-A710",
    (_ARM, 0xD48): "Cortex-X2",
    (_ARM, 0xD49): "Neoverse-N2",
    (_ARM, 0xD4A): "Neoverse-E1",
    (_ARM, 0xD4B): "Cortex-A78C",
    (_ARM, 0xD4C): "Cortex-X1C",
    (_ARM, 0xD4D): "Cortex-A715",
    (_ARM, 0xD4E): "Cortex-X3",
    (_ARM, 0xD4F): "Neoverse-V2",
    (_ARM, 0xD80): "Cortex-A520",
    (_ARM, 0xD81): "Cortex-A720",
    (_ARM, 0xD82): "Cortex-X4",
    (_ARM, 0xD83): "Neoverse-V3AE",
    (_ARM, 0xD84): "Neoverse-V3",
    (_ARM, 0xD85): "Cortex-X925",
    (_ARM, 0xD87): "Cortex-A725",
    (_ARM, 0xD88): "Cortex-A520AE",
    (_ARM, 0xD89): "Cortex-A720AE",
    (_ARM, 0xD8A): "C1-Nano",
    (_ARM, 0xD8B): "C1-Pro",
    (_ARM, 0xD8C): "C1-Ultra",
    (_ARM, 0xD8E): "Neoverse-N3",
    (_ARM, 0xD8F): "Cortex-A320",
    (_ARM, 0xD90): "C1-Premium",
}


_A76 = (_ARM, 0xD0B)


# What a flag of /proc/cpuinfo means to a reader, by family of processors.
_X86 = {"avx": "AVX", "avx2": "AVX2", "fma": "FMA", "avx512f": "AVX-512", "avx512_vnni": "AVX-512 VNNI"}


_AARCH64 = {"asimd": "NEON", "asimddp": "dot product", "asimdhp": "fp16", "i8mm": "int8 matrices", "sve": "SVE"}


_ARMV7 = {"neon": "NEON", "vfpv4": "VFPv4"}


@dataclass(frozen=True)
class Processor:
    """``cores`` counts the cores of each kind; ``features`` are the words for those flags that matter here."""

    machine: str
    name: str
    cores: dict[str, int]
    features: tuple[str, ...]
    misread: bool

    @property
    def x86(self) -> bool:
        return self.machine in ("x86_64", "AMD64", "i686")

    @property
    def count(self) -> int:
        return sum(self.cores.values())

    def lacks(self, feature: str) -> bool:
        return feature not in self.features


def read_processor(machine: str, cpuinfo: str) -> Processor:
    """From ``platform.machine()`` and the text of ``/proc/cpuinfo``."""
    blocks = [_fields(block) for block in cpuinfo.split("\n\n")]
    cores = [block for block in blocks if "processor" in block]
    kinds: dict[str, int] = {}
    for block in cores:
        kind = block.get("model name", "") if "CPU part" not in block else _core(block)
        kinds[kind or machine] = kinds.get(kind or machine, 0) + 1
    flags = {flag for block in cores for flag in (block.get("flags") or block.get("Features") or "").split()}
    words = _X86 if machine in ("x86_64", "AMD64", "i686") else _AARCH64 if machine == "aarch64" else _ARMV7
    return Processor(
        machine,
        next((block["Model"] for block in blocks if "Model" in block), ""),
        kinds,
        tuple(word for flag, word in words.items() if flag in flags),
        any(_part(block) == _A76 for block in cores),
    )


def _fields(block: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in block.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _part(block: dict[str, str]) -> tuple[int, int] | None:
    try:
        return int(block["CPU implementer"], 0), int(block["CPU part"], 0)
    except (KeyError, ValueError):
        return None


def _core(block: dict[str, str]) -> str:
    part = _part(block)
    return CORES.get(part, f"part {part[0]:#x}:{part[1]:#x}") if part else ""
