"""A bundle whose graphs are no graphs: enough for the null engine, which looks at their shapes only."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_seg.bundle import write_manifest
from edge_seg.files import sha256
from edge_seg.manifest import Golden, GraphSpec, Manifest, PostprocessSpec, PreprocessSpec, TensorSpec

SIDE = 28
"""Of a mask's probabilities."""


def make_null_bundle(
    folder: Path, *, size: tuple[int, int], proposals: int, classes: tuple[str, ...], keep: int, channels: int = 8
) -> None:
    """Writes ``folder``; its golden result is no result."""
    height, width = size
    (folder / "golden").mkdir(parents=True)
    for name in ("detect.nb", "mask.nb", "golden/expected.json"):
        (folder / name).write_text(name)
    image = np.random.default_rng(1).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "golden/image.png"), image)

    def files(*names: str) -> dict[str, str]:
        return {name: sha256(folder / name) for name in names}

    features = tuple(_floats(f"p{n}", 1, channels, height >> n, width >> n) for n in (2, 3, 4, 5))
    detect = GraphSpec(
        files("detect.nb"),
        (_floats("image", 1, 3, height, width),),
        (_floats("boxes", proposals, len(classes), 4), _floats("scores", proposals, len(classes) + 1), *features),
    )
    boxes = (_floats("boxes", -1, 4), TensorSpec("num", (1,), "int32"), TensorSpec("channel", (-1,), "int32"))
    mask = GraphSpec(files("mask.nb"), (*features, *boxes), (_floats("masks", -1, SIDE, SIDE),))
    manifest = Manifest(
        name="null-test",
        model="mask_rcnn_tiny_fpn",
        recipe="arm-fp32",
        engine="paddle-lite",
        engine_version="2.13rc0",
        target="arm",
        precision="fp32",
        classes=classes,
        category_ids=tuple(range(1, len(classes) + 1)),
        preprocess=PreprocessSpec(size),
        postprocess=PostprocessSpec(keep=keep),
        proposals=proposals,
        graphs={"detect": detect, "mask": mask},
        golden=Golden(
            files("golden/image.png", "golden/expected.json"), "golden/image.png", "golden/expected.json", instances=4
        ),
        random_weights=True,
        source={},
    )
    write_manifest(folder, manifest)


def _floats(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name, shape, "float32")
