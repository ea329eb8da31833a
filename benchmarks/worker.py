"""One contestant in a process of its own: ``python -m benchmarks.worker BUNDLE THREADS``.

Loads the bundle and says ``{"ready": true}``; for each line on stdin it segments the picture once and says how long
that took: ``{"objects": N, "ns": {stage: ns…, "total": ns}}``. A bundle of one graph has the one stage ``full``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.bundle import open_bundle
from edge_seg.data.synth import draw
from edge_seg.runtime.engines import open_engine
from edge_seg.runtime.preprocess import preprocess
from edge_seg.runtime.segmenter import Segmenter

PICTURE_SEED = 2
HEIGHT, WIDTH = 720, 1280


def picture() -> NDArray[np.uint8]:
    """What is segmented, uint8[720, 1280, 3] BGR: a photo's size, the same everywhere."""
    return np.ascontiguousarray(draw(PICTURE_SEED, WIDTH, 0)[0][:HEIGHT])


def main() -> None:
    """Answers stdin until it closes."""
    bundle, threads = open_bundle(Path(sys.argv[1])), int(sys.argv[2])
    image = picture()
    answer: Any
    if "full" in bundle.manifest.graphs:
        engine = open_engine(bundle, threads=threads)
        blob = preprocess(image, bundle.manifest.preprocess)[0]

        def answer() -> tuple[int, dict[str, int]]:
            begin = perf_counter_ns()
            outputs = engine.run("full", {"image": blob})
            taken = perf_counter_ns() - begin
            return len(outputs["masks"]), {"full": taken, "total": taken}
    else:
        segmenter = Segmenter(bundle, threads=threads)

        def answer() -> tuple[int, dict[str, int]]:
            begin = perf_counter_ns()
            found, stages = segmenter.timed(image)
            return len(found), {**stages, "total": perf_counter_ns() - begin}

    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        objects, ns = answer()
        print(json.dumps({"objects": objects, "ns": ns}), flush=True)


if __name__ == "__main__":
    main()
