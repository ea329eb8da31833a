"""Makes what is compared: bundles of one model with random weights, and the same model as one graph.

``python -m benchmarks.build OUT MODEL SIZE OBJECTS`` writes ``OUT/<recipe>`` (a bundle as it is used, its graphs apart)
and ``OUT/<recipe>-full`` (one graph, NMS and masks inside) for the recipes of this host. With ``convolutions`` at the
end it writes ``OUT/cpu-fp32``, and ``OUT/onnx-fp32`` with graphs of convolutions alone.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

from benchmarks.full_graph import FullGraph
from benchmarks.worker import picture
from convert.artifacts import Draft, Exported
from convert.backends.compile import compile_graphs
from convert.export.export import export_graph
from convert.job import Job, Options, layers, random_job
from convert.pipeline import make_bundles
from convert.recipe import find_recipe
from edge_seg.bundle import open_bundle, write_manifest
from edge_seg.files import scratch_dir, sha256
from edge_seg.manifest import CONVOLUTION_GRAPHS, GraphSpec
from edge_seg.runtime.segmenter import Segmenter

OURS = "cpu-fp32"
RECIPES = (OURS, "x86-fp32")
SEED = 1
CLASSES = 80


def make_job(model: str, size: int, objects: int) -> Job:
    """A model that keeps ``objects`` boxes: the threshold is so low that more are found in the image."""
    job = random_job(model, SEED, CLASSES, Options(size=(size, size), keep=objects))
    engine = layers(job).engine(job.size, job.proposals)
    best = Segmenter.over(engine, job.preprocess, job.postprocess, instances=objects)(picture())
    low = dataclasses.replace(job.postprocess, score_threshold=float(best.scores.min()) / 2)
    return dataclasses.replace(job, postprocess=low)


def build_convolutions(out: Path, model: str, size: int, objects: int) -> None:
    """Writes the bundles of :mod:`benchmarks.engines`: one set of weights in the forms of two engines."""
    recipes = [find_recipe(OURS), dataclasses.replace(find_recipe("onnx-fp32"), graphs=CONVOLUTION_GRAPHS)]
    make_bundles(make_job(model, size, objects), recipes, out)


def build(out: Path, model: str, size: int, objects: int) -> None:
    """Writes all bundles."""
    job = make_job(model, size, objects)
    made = make_bundles(job, [find_recipe(name) for name in RECIPES], out)
    with scratch_dir(out) as scratch:
        graph = export_graph(FullGraph(layers(job).network, job.size, job.postprocess), scratch)
        exported = Exported(job.model.refer(job), (graph,))
        for verified in made:
            folder = out / f"{verified.recipe.name}-full"
            shutil.copytree(verified.folder / "golden", folder / "golden")
            files = compile_graphs(Draft(exported, verified.recipe, folder, None)).files[graph.name]
            spec = GraphSpec({name: sha256(folder / name) for name in files}, graph.inputs, graph.outputs)
            manifest = open_bundle(verified.folder).manifest
            write_manifest(folder, dataclasses.replace(manifest, graphs={graph.name: spec}))


if __name__ == "__main__":
    making = build_convolutions if sys.argv[5:] == ["convolutions"] else build
    making(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
