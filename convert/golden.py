"""The reference: what paddle, running the layers themselves, makes of the golden picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from convert.artifacts import Job, Referenced
from convert.recorder import Recorder
from edge_seg.bundle import Golden
from edge_seg.errors import ConversionError
from edge_seg.files import sha256, write_json
from edge_seg.runtime.engines import Engine
from edge_seg.runtime.segmenter import Segmenter

IMAGE = "golden/image.png"
EXPECTED = "golden/expected.json"
FALLBACK_INSTANCES = 10
"""So many best boxes are taken where the model finds nothing: an empty result would prove little."""


def refer(job: Job, by: Engine | None = None) -> Referenced:
    """Runs the golden picture through the model, or through its graphs in the engine ``by``.

    At least one instance is in the result.

    Raises :class:`ConversionError` when the model gives values that aren't finite.
    """
    engine = Recorder(by or _layers(job))
    best = None
    found = Segmenter.over(engine, job.preprocess, job.postprocess)(job.picture)
    detect = engine.outputs["detect"]
    for name, values in detect.items():
        if not np.isfinite(values).all():
            raise ConversionError(
                f"the model itself gives {name} that are not finite on the golden picture",
                remedy="its weights are spoilt (a training that diverged?): train again with a lower learning rate",
                code="not-finite",
            )
    if not len(found):
        best = min(FALLBACK_INSTANCES, job.postprocess.keep)
        found = Segmenter.over(engine, job.preprocess, job.postprocess, instances=best)(job.picture)
    return Referenced(job, detect, found, best)


def _layers(job: Job) -> Engine:
    from edge_seg.train.engine import DynamicEngine

    return DynamicEngine(job.model, job.size, job.proposals, job.before_nms)


def write_golden(referenced: Referenced, folder: Path) -> Golden:
    """Writes the picture (as PNG, which every machine decodes alike) and the expected instances into ``folder``."""
    encoded, content = cv2.imencode(".png", referenced.job.picture)
    if not encoded:
        raise ConversionError("OpenCV can't write the golden picture as PNG")
    (folder / IMAGE).parent.mkdir()
    (folder / IMAGE).write_bytes(content.tobytes())
    found = referenced.instances
    write_json(folder / EXPECTED, {"height": found.height, "width": found.width, "instances": found.as_json()})
    files = {name: sha256(folder / name) for name in (IMAGE, EXPECTED)}
    return Golden(files=files, image=IMAGE, expected=EXPECTED, instances=referenced.best)
