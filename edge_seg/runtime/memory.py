"""How much memory a bundle needs at its peak, and whether this machine has it: known before a library is loaded.

The estimate is ``base + weights * bytes of the graphs' files + pixels * input height * width``, fitted to the measured
peaks of ResNet18- and ResNet50-FPN at 320 and 640 with 20 objects (docs/recipes.md); it is right to a fifth. A board
without enough memory doesn't say so: the kernel ends the process, or it swaps for minutes.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_seg.bundle import Bundle
from edge_seg.errors import EngineError
from edge_seg.manifest import Manifest
from edge_seg.process.guard import is_child
from edge_seg.runtime.cpu import memory_of_process

MB = 1_000_000
DOUBT = 0.8
"""A machine is refused below this share of the estimate."""
OFF = "EDGE_SEG_MEMORY_CHECK"


@dataclass(frozen=True)
class Peak:
    """``base`` in MB, ``weights`` in MB a MB of the files, ``pixels`` in MB a million pixels of the input."""

    base: float
    weights: float
    pixels: float

    def of(self, model_bytes: float, height: int, width: int) -> int:
        """Bytes."""
        return round((self.base + self.weights * model_bytes / MB + self.pixels * height * width / 1e6) * MB)


# Paddle Lite and ncnn keep a second form of the weights; w8 and w16 are made floats before that. On x86 measured with
# the Python runner; on Arm (Paddle Lite in the C++ runner, ncnn in Python) emulated.
PEAKS = {
    ("paddle-lite", "arm", "fp32"): Peak(0, 3.1, 1130),
    ("paddle-lite", "arm", "w16"): Peak(0, 6.2, 1130),
    ("paddle-lite", "arm", "w8"): Peak(0, 12.4, 1130),
    ("paddle-lite", "arm", "int8"): Peak(0, 3.1, 1130),
    ("paddle-lite", "x86", "fp32"): Peak(0, 1.6, 2845),
    ("paddle-inference", "cpu", "fp32"): Peak(274, 2.2, 1690),
    ("onnxruntime", "cpu", "fp32"): Peak(0, 2.2, 1195),
    ("ncnn", "cpu", "fp32"): Peak(80, 3.1, 1260),
    ("ncnn", "cpu", "fp16"): Peak(80, 2.0, 700),
}


def needed_bytes(manifest: Manifest, model_bytes: int) -> int | None:
    """The peak of a process that runs the bundle; None where it was never measured."""
    precision, weights = manifest.precision, float(model_bytes)
    if manifest.engine == "ncnn" and precision == "fp16" and platform.machine() not in ("aarch64", "arm64"):
        precision, weights = "fp32", weights / _SIZE["fp16"]  # there ncnn computes it in fp32
    peak = PEAKS.get((manifest.engine, manifest.target, precision))
    return None if peak is None else peak.of(weights, *manifest.preprocess.size)


_SLACK, _STACK = 768 << 20, 16 << 20  # bytes; the latter for a thread, of which a library may make one a core


def room_for(manifest: Manifest, model_bytes: int) -> int | None:
    """Bytes that a library may take for a bundle's graphs, generously; None on a GPU: its driver maps what it likes."""
    if manifest.target == "gpu":
        return None
    threads = os.cpu_count() or 1
    return _SLACK + threads * _STACK + 2 * (needed_bytes(manifest, model_bytes) or 8 * model_bytes)


@contextlib.contextmanager
def bounded(room: int | None) -> Iterator[None]:
    """In a guarded command's child, whatever is done here may take ``room`` bytes and no more.

    A damaged graph makes a library take all memory there is, and the kernel then ends whatever it likes on that
    machine. So it ends the child, which is told by name. A program that uses this package as a library has threads of
    its own, which the limit would hit: there it isn't set.
    """
    # What RLIMIT_DATA counts: private memory that can be written, touched or not.
    found = memory_of_process("VmData") if room is not None and is_child() else None
    if room is None or found is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    most = [found + room, *(limit for limit in before if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(most), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


EXAMPLE_BYTES = 125.9 * MB
"""The graphs' files of ResNet18-FPN at 320 x 320 in fp32."""


def example_peak(engine: str, target: str, precision: str) -> int | None:
    """The peak of ResNet18-FPN at 320 x 320 in bytes; None where it was never measured."""
    peak = PEAKS.get((engine, target, precision))
    return None if peak is None else peak.of(EXAMPLE_BYTES * _SIZE[precision], 320, 320)


@dataclass(frozen=True)
class Memory:
    """Bytes of this machine: in all, to be had, free swap; and its control group's limit and use, None without one."""

    total: int
    available: int
    swap: int
    group: tuple[int, int] | None


def read_memory() -> Memory | None:
    """As the kernel tells it now; None where it doesn't."""
    found = {"SwapFree": 0}
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if match := re.match(r"(MemTotal|MemAvailable|SwapFree): +([0-9]{1,15}) kB", line):
                found[match[1]] = int(match[2]) * 1024
        total, available = found["MemTotal"], found["MemAvailable"]
    except (OSError, KeyError):
        return None
    try:
        limit, used = (int(Path("/sys/fs/cgroup", name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # not in a container, or one without a limit ("max")
        return Memory(total, available, found["SwapFree"], None)
    return Memory(total, available, found["SwapFree"], (limit, used))


def free_bytes() -> int | None:
    """What this process may still take: free memory and swap, or what its control group leaves it; None if unknown."""
    memory = read_memory()
    if memory is None:
        return None
    free = memory.available + memory.swap
    return free if memory.group is None else min(free, memory.group[0] - memory.group[1])


def check_memory(bundle: Bundle) -> None:
    """Raises EngineError when the bundle needs clearly more memory than there is, naming what needs less."""
    manifest = bundle.manifest
    needed, free = needed_bytes(manifest, bundle.model_bytes), free_bytes()
    if needed is None or free is None or free >= DOUBT * needed or os.environ.get(OFF) == "off":
        return
    fitting = [f"{name} ({need / MB:.0f} MB)" for name, need in _others(manifest, bundle.model_bytes) if need <= free]
    remedy = "end other programs, convert with a smaller --size or fewer --proposals"
    if fitting:
        remedy = f"convert with {' or '.join(fitting[:3])}, with a smaller --size, or end other programs"
    raise EngineError(
        f"{bundle.path}: {manifest.recipe} needs about {needed / MB:.0f} MB at {manifest.preprocess.size[0]}x"
        f"{manifest.preprocess.size[1]}, and this machine has {free / MB:.0f} MB free",
        remedy=f"{remedy}; {OFF}=off tries it all the same",
        code="memory",
    )


_SIZE = {"fp32": 1.0, "fp16": 0.73, "w16": 0.51, "w8": 0.26, "int8": 0.26}
"""Of a bundle's files, as a part of those in fp32; ncnn's box head stays in fp32."""


def _others(manifest: Manifest, model_bytes: int) -> list[tuple[str, int]]:
    """Recipes of the same machines that need less, with their bytes, the most precise first."""
    whole = model_bytes / _SIZE.get(manifest.precision, 1.0)
    target = ("arm", "cpu") if manifest.target in ("arm", "cpu") else (manifest.target, "cpu")
    names = {"paddle-lite": "", "paddle-inference": "cpu", "onnxruntime": "onnx", "ncnn": "ncnn"}
    found = []
    for (engine, where, precision), peak in PEAKS.items():
        if where in target:
            need = peak.of(whole * _SIZE[precision], *manifest.preprocess.size)
            found.append((f"{names[engine] or where}-{precision}", need))
    return sorted(found, key=lambda pair: (pair[0].rpartition("-")[2] != "fp32", pair[1]))
