"""The reference: what paddle makes of the golden image."""

from __future__ import annotations

import numpy as np

from convert.artifacts import Job, Referenced
from edge_seg.errors import ConversionError
from edge_seg.runtime.engines import Engine
from edge_seg.runtime.engines.recorder import Recorder
from edge_seg.runtime.segmenter import Segmenter

FALLBACK_INSTANCES = 10
"""So many best boxes are taken where the model finds nothing: an empty result would prove little."""


def refer(job: Job, by: Engine) -> Referenced:
    """Runs the golden image through the engine ``by``: the layers themselves, or the graphs.

    The result holds an instance or more.

    Raises :class:`ConversionError` when the model gives values that aren't finite.
    """
    engine = Recorder(by)
    best = None
    found = Segmenter.over(engine, job.preprocess, job.postprocess)(job.image)
    detect = engine.outputs["detect"]
    for name, values in detect.items():
        if not np.isfinite(values).all():
            raise ConversionError(
                f"the model itself gives {name} that are not finite on the golden image",
                remedy="its weights are spoilt (a training that diverged?): train again with a lower learning rate",
                code="not-finite",
            )
    if not len(found):
        best = min(FALLBACK_INSTANCES, job.postprocess.keep)
        found = Segmenter.over(engine, job.preprocess, job.postprocess, instances=best)(job.image)
    return Referenced(job, detect, found, best)
