"""The reference: what paddle, running the layers themselves, makes of the golden picture."""

from __future__ import annotations

import numpy as np

from convert.artifacts import Job, Referenced
from edge_seg.errors import ConversionError
from edge_seg.runtime.engines import Engine
from edge_seg.runtime.engines.recorder import Recorder
from edge_seg.runtime.segmenter import Segmenter

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
