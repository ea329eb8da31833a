"""What the operating system says of the processor, and what that means for inference."""

from __future__ import annotations

from dataclasses import dataclass

from convert.doctor_report import Finding

# (implementer, part) of /proc/cpuinfo. Arm's own numbers are in each core's Technical Reference Manual (MIDR_EL1).
_ARM = 0x41
CORES = {
    (_ARM, 0xC07): "Cortex-A7",
    (_ARM, 0xC08): "Cortex-A8",
    (_ARM, 0xC09): "Cortex-A9",
    (_ARM, 0xC0D): "Cortex-A17",
    (_ARM, 0xC0F): "Cortex-A15",
    (_ARM, 0xD01): "Cortex-A32",
    (_ARM, 0xD03): "Cortex-A53",
    (_ARM, 0xD04): "Cortex-A35",
    (_ARM, 0xD05): "Cortex-A55",
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
    (_ARM, 0xD44): "Cortex-X1",
    (_ARM, 0xD46): "Cortex-A510",
    (_ARM, 0xD47): "Cortex-A710",
    (_ARM, 0xD48): "Cortex-X2",
    (_ARM, 0xD49): "Neoverse-N2",
    (_ARM, 0xD4B): "Cortex-A78C",
    (_ARM, 0xD4D): "Cortex-A715",
    (_ARM, 0xD4E): "Cortex-X3",
    (_ARM, 0xD80): "Cortex-A520",
    (_ARM, 0xD81): "Cortex-A720",
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


def examine_processor(processor: Processor) -> list[Finding]:
    """What it is, and what is amiss with it."""
    kinds = ", ".join(f"{count} × {kind}" for kind, count in processor.cores.items()) or "unknown"
    features = ", ".join(processor.features) or "none that inference libraries look for"
    said = f"{processor.machine}, {kinds}{f' ({processor.name})' if processor.name else ''}: {features}"
    findings = [Finding("ok", "processor", said)]
    if processor.x86 and processor.cores and processor.lacks("AVX"):
        findings.append(
            Finding("error", "processor", "no AVX: paddle's wheel ends with an illegal instruction", "use another host")
        )
    elif processor.x86 and processor.cores and (processor.lacks("AVX2") or processor.lacks("FMA")):
        findings.append(Finding("warning", "processor", "without AVX2 and FMA training and inference are slow"))
    if processor.misread:
        findings.append(
            Finding(
                "warning",
                "processor",
                "Cortex-A76 calls itself 0xd0b; Paddle Lite 2.13 looks for 0xd40, doesn't recognise the core, and runs"
                " int8 models without the dot product instructions",
                "run int8 models on other cores if there are such (edge-seg-run --cores), or let the library see a"
                " /proc/cpuinfo whose CPU part is 0xd40",
                "cortex-a76-misread",
            )
        )
    return findings


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
