"""ncnn on a GPU, through Vulkan: for ncnn's bundles, where it is asked for by name (``--engine ncnn-vulkan``).

Feature maps go through the CPU's memory between the graphs; small GPUs of boards share that memory.
"""

from __future__ import annotations

from edge_seg.bundle import Bundle
from edge_seg.runtime.engines import ncnn


def version() -> str:
    """The wheel's version, such as ``1.0.20261020``."""
    return ncnn.version()


def load(bundle: Bundle, threads: int) -> ncnn.NcnnEngine:
    """One net a graph on the first GPU; ``threads`` are for what it leaves to the CPU. EngineError without a GPU."""
    return ncnn.load_on(bundle, threads, gpu=True)
