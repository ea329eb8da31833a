"""A run that has learned something, and its data: the demo's starting weights, and images of the kind they know."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2

from edge_seg.data.coco import load_split
from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from edge_seg.train.run import RunConfig, TrainSettings, write_config

WEIGHTS = Path(__file__).parents[2] / "weights" / "mask_rcnn_tiny_fpn_shapes.pdparams"


def make_run(folder: Path, data: Path, side: int) -> Path:
    """A run folder as training on ``data`` would have left it."""
    folder.mkdir()
    shutil.copyfile(WEIGHTS, folder / "model.pdparams")
    val = load_split(data, "val")
    image = cv2.imread(str(max(val.images, key=lambda record: len(record.annotations)).path))
    cv2.imwrite(str(folder / "golden.png"), image)
    config = RunConfig(
        model="mask_rcnn_tiny_fpn",
        classes=val.classes,
        category_ids=val.category_ids,
        preprocess=PreprocessSpec((side, side)),
        postprocess=PostprocessSpec(),
        settings=TrainSettings(epochs=1, batch=1, lr=0.1, warmup_steps=0, decay_epochs=(), seed=0),
        data=str(data),
        data_sha256="0" * 64,
    )
    write_config(folder, config)
    return folder
