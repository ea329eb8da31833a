"""Compiled graphs → a bundle: the golden image beside them, and the manifest."""

from __future__ import annotations

from pathlib import Path

import cv2

from convert.artifacts import Assembled, Compiled, Referenced
from edge_seg.errors import ConversionError
from edge_seg.files import sha256, write_json
from edge_seg.manifest import Golden, GraphSpec, Manifest
from edge_seg.runtime.engines import version_of


def assemble(compiled: Compiled) -> Assembled:
    """The manifest without its ``verification``; it holds no time and no path of this machine."""
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
        engine_version=version_of(recipe.engine),
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
        rpn=draft.exported.rpn,
    )
    return Assembled(draft, manifest)


IMAGE = "golden/image.png"


EXPECTED = "golden/expected.json"


def write_golden(referenced: Referenced, folder: Path) -> Golden:
    """Writes the image (as PNG, which every machine decodes alike) and the expected instances into ``folder``."""
    encoded, content = cv2.imencode(".png", referenced.job.image)
    if not encoded:
        raise ConversionError("OpenCV can't write the golden image as PNG")
    (folder / IMAGE).parent.mkdir()
    (folder / IMAGE).write_bytes(content.tobytes())
    found = referenced.instances
    write_json(folder / EXPECTED, {"height": found.height, "width": found.width, "instances": found.as_json()})
    files = {name: sha256(folder / name) for name in (IMAGE, EXPECTED)}
    return Golden(files=files, image=IMAGE, expected=EXPECTED, instances=referenced.best)
