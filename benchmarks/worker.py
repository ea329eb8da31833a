"""One contestant in a process of its own: ``python -m benchmarks.worker BUNDLE THREADS``.

Loads the bundle and says ``{"ready": true}``; for each line on stdin it segments the picture once and says how long
that took: ``{"objects": N, "ns": {stage: ns…, "total": ns}}``; a bundle of one graph has the one time ``full``.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from edge_seg.bundle import Bundle, open_bundle
from edge_seg.data.synth import draw
from edge_seg.runtime.engines import ENGINES, Engine
from edge_seg.runtime.preprocess import preprocess
from edge_seg.runtime.segmenter import Segmenter

PICTURE_SEED = 2
HEIGHT, WIDTH = 720, 1280

Answer = tuple[int, dict[str, int]]
"""Number of objects, and ns by stage."""


def picture() -> NDArray[np.uint8]:
    """What is segmented, uint8[720, 1280, 3] BGR: a photo's size, the same everywhere."""
    return np.ascontiguousarray(draw(PICTURE_SEED, WIDTH, 0)[0][:HEIGHT])


def apart(bundle: Bundle, threads: int) -> Callable[[], Answer]:
    """The bundle as it is used, stage by stage."""
    segmenter, image = Segmenter(bundle, threads=threads), picture()

    def answer() -> Answer:
        begin = perf_counter_ns()
        found, stages = segmenter.timed(image)
        return len(found), {**stages, "total": perf_counter_ns() - begin}

    return answer


def one_graph(bundle: Bundle, threads: int) -> Callable[[], Answer]:
    """The one graph alone, its input made beforehand. No bundle has this form, so the engine is loaded unchecked."""
    engine: Engine = importlib.import_module(ENGINES[bundle.manifest.engine].module).load(bundle, threads)
    inputs = {"image": preprocess(picture(), bundle.manifest.preprocess)[0]}

    def answer() -> Answer:
        begin = perf_counter_ns()
        outputs = engine.run("full", inputs)
        return len(outputs["masks"]), {"full": perf_counter_ns() - begin}

    return answer


def main() -> None:
    """Answers stdin until it closes."""
    bundle, threads = open_bundle(Path(sys.argv[1])), int(sys.argv[2])
    answer = (one_graph if "full" in bundle.manifest.graphs else apart)(bundle, threads)
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        objects, ns = answer()
        print(json.dumps({"objects": objects, "ns": ns}), flush=True)


if __name__ == "__main__":
    main()
