"""Makes what is compared: bundles of one model with random weights, and the same model as one graph.

``python -m benchmarks.build OUT MODEL SIZE OBJECTS`` writes ``OUT/<recipe>`` (a bundle as it is used, its graphs apart)
and ``OUT/<recipe>-full`` (one graph, NMS and masks inside) for the recipes of this host.
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
from convert.job import Options, layers, random_job
from convert.pipeline import make_bundles
from convert.recipe import find_recipe
from edge_seg.bundle import open_bundle, write_manifest
from edge_seg.files import scratch_dir, sha256
from edge_seg.manifest import GraphSpec
from edge_seg.runtime.segmenter import Segmenter

RECIPES = ("cpu-fp32", "x86-fp32")
SEED = 1
CLASSES = 80


def build(out: Path, model: str, size: int, objects: int) -> None:
    """Writes all bundles. Each keeps ``objects`` boxes: the threshold is so low that more are found in the picture."""
    job = random_job(model, SEED, CLASSES, Options(size=(size, size), keep=objects))
    engine = layers(job).engine(job.size, job.proposals)
    best = Segmenter.over(engine, job.preprocess, job.postprocess, instances=objects)(picture())
    low = dataclasses.replace(job.postprocess, score_threshold=float(best.scores.min()) / 2)
    job = dataclasses.replace(job, postprocess=low)
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
    build(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
