"""One contestant in a process of its own: ``python -m benchmarks.worker BUNDLE THREADS [openvino]``.

Loads the bundle and says ``{"ready": true}``; for each line on stdin it segments the image once and says how long that
took: ``{"objects": N, "ns": {stage: ns…, "total": ns}, "cpu_ns": ns}``; a bundle of one graph has the one time
``full``. ``python -m benchmarks.worker torchvision THREADS SIZE OBJECTS`` is torchvision's Mask R-CNN.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns, process_time_ns

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


def apart(bundle: Bundle, threads: int, engine: str = "") -> Callable[[], Answer]:
    """The bundle as it is used, stage by stage; with ``openvino``, its ONNX graphs run by OpenVINO."""
    image = picture()
    if engine == "openvino":
        from benchmarks.openvino_engine import open_segmenter

        segmenter = open_segmenter(bundle, threads)
    else:
        segmenter = Segmenter(bundle, threads=threads)

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


def peer(threads: int, size: int, objects: int) -> Callable[[], Answer]:
    """torchvision's Mask R-CNN, another model of the same kind."""
    from bench.peer_runner import TORCHVISION, open_peer

    _, run = open_peer(TORCHVISION, size=size, threads=threads, instances=objects, proposals=100)
    image = picture()

    def answer() -> Answer:
        begin = perf_counter_ns()
        count, stages = run(image)
        return count, {**stages, "nms": 0, "mask": 0, "total": perf_counter_ns() - begin}

    return answer


def main() -> None:
    """Answers stdin until it closes."""
    first, threads, *more = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
    if first == "torchvision":
        answer = peer(threads, int(more[0]), int(more[1]))
    else:
        bundle = open_bundle(Path(first))
        answer = one_graph(bundle, threads) if "full" in bundle.manifest.graphs else apart(bundle, threads, *more)
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        begin = process_time_ns()
        objects, ns = answer()
        print(json.dumps({"objects": objects, "ns": ns, "cpu_ns": process_time_ns() - begin}), flush=True)


if __name__ == "__main__":
    main()
