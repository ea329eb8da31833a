"""Compiled graphs → a bundle: the golden picture and the manifest beside them."""

from __future__ import annotations

import importlib

from convert.artifacts import Assembled, Compiled
from convert.golden import write_golden
from edge_seg.bundle import GraphSpec, Manifest, write_manifest
from edge_seg.files import sha256
from edge_seg.runtime.engines import MODULES


def assemble(compiled: Compiled) -> Assembled:
    """Writes everything but the verification into the manifest; it holds no time and no path of this machine."""
    draft = compiled.draft
    referenced = draft.exported.referenced
    job, recipe = referenced.job, draft.recipe
    height, width = job.size
    graphs = {
        graph.name: GraphSpec(
            files={name: sha256(draft.folder / name) for name in compiled.files[graph.name]},
            inputs=graph.inputs,
            outputs=graph.outputs,
        )
        for graph in draft.exported.graphs
    }
    manifest = Manifest(
        name=f"{job.zoo_model}-{height}x{width}-{recipe.name}",
        model=job.zoo_model,
        recipe=recipe.name,
        engine=recipe.engine,
        engine_version=importlib.import_module(MODULES[recipe.engine]).version(),
        target=recipe.target,
        precision=recipe.precision,
        classes=job.classes,
        category_ids=job.category_ids,
        preprocess=job.preprocess,
        postprocess=job.postprocess,
        proposals=job.proposals,
        graphs=graphs,
        golden=write_golden(referenced, draft.folder),
        random_weights=job.random_weights,
        source=job.source,
        optimizer=compiled.optimizer,
        canonical_size=draft.exported.canonical_size,
    )
    write_manifest(draft.folder, manifest)
    return Assembled(draft)
