"""What the operating system says of the processor, and what that means for inference."""

from __future__ import annotations

from edge_seg.doctor.report import Finding
from edge_seg.records.machine import Processor


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
