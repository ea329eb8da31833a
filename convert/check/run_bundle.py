"""Runs a bundle on its golden image as a user would, in a process of its own.

The library may abort. Then only this child ends, and :mod:`convert.check.check` reports it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_seg.bundle import MANIFEST, Bundle, check_files
from edge_seg.errors import BundleError
from edge_seg.files import read_json
from edge_seg.manifest import Manifest, invalid
from edge_seg.plain import from_plain
from edge_seg.process.child import refusing
from edge_seg.runtime.engines.recorder import Recorder
from edge_seg.runtime.image import read_image
from edge_seg.runtime.one_graph import FULL
from edge_seg.runtime.result import Instances
from edge_seg.runtime.segmenter import Segmenter

DETECT, INSTANCES = "detect.npz", "instances.json"


def run(folder: Path, out: Path) -> None:
    """Writes into ``out``, which holds the manifest, what the engine makes of the golden image.

    ``detect.npz``: the outputs of the graph `detect`, or `full`; ``instances.json``: the instances, and whether a
    second run gave the same bytes.
    """
    manifest = from_plain(Manifest, read_json(out / MANIFEST, BundleError), MANIFEST, invalid)
    opened = Bundle(folder, manifest)
    check_files(opened)
    golden = manifest.golden
    image = read_image(opened.path / golden.image)
    # One thread, so that the manifest says the same whatever the number of cores.
    with Segmenter(opened, instances=golden.instances, threads=1) as segmenter:
        segmenter.engine = recorder = Recorder(segmenter.engine)
        graph = FULL if segmenter.full else "detect"
        first, detect = segmenter(image), recorder.outputs[graph]
        second, again = segmenter(image), recorder.outputs[graph]
        if segmenter.full:
            print("a black image, in which nothing is found", file=sys.stderr, flush=True)
            segmenter(np.zeros_like(image))
    same = _bytes(detect) == _bytes(again) and first.as_json() == second.as_json()
    np.savez(out / DETECT, **detect)
    answer = {"repeats": same, "height": first.height, "width": first.width, "instances": first.as_json()}
    (out / INSTANCES).write_text(json.dumps(answer))


def read(out: Path) -> tuple[dict[str, NDArray[Any]], Instances, bool]:
    """What :func:`run` wrote: `detect` outputs, instances, and whether the second run equalled the first."""
    with np.load(out / DETECT) as arrays:
        detect = {name: arrays[name] for name in arrays.files}
    answer = json.loads((out / INSTANCES).read_text())
    items = answer["instances"]
    return detect, Instances.from_json(items, answer["height"], answer["width"]), answer["repeats"]


def _bytes(outputs: dict[str, NDArray[Any]]) -> list[bytes]:
    return [value.tobytes() for value in outputs.values()]


if __name__ == "__main__":
    sys.exit(refusing(lambda: run(Path(sys.argv[1]), Path(sys.argv[2]))))
