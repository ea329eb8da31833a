"""A bundle of 16 x 16 golden pixels whose graphs are noise: sound as far as it can be checked without running it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from edge_seg.bundle import write_manifest
from edge_seg.files import sha256
from edge_seg.manifest import Golden, GraphSpec, Manifest, PostprocessSpec, PreprocessSpec, TensorSpec

GRAPHS = {"detect": "detect.nb", "mask": "mask.nb"}
GOLDEN = ("golden/image.png", "golden/expected.json")


def f32(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name, shape, "float32")


FEATURES = tuple(f32(f"p{level}", 1, 8, 256 >> level, 256 >> level) for level in (2, 3, 4, 5))
TENSORS = {
    "detect": ((f32("image", 1, 3, 256, 256),), (f32("boxes", 20, 2, 4), f32("scores", 20, 3), *FEATURES)),
    "mask": (
        (*FEATURES, f32("boxes", -1, 4), TensorSpec("num", (1,), "int32"), TensorSpec("channel", (-1,), "int32")),
        (f32("masks", -1, 28, 28),),
    ),
}


def make_bundle(folder: Path, **fields: Any) -> Path:
    (folder / "golden").mkdir(parents=True)
    noise = np.random.default_rng(1)
    for file in GRAPHS.values():
        (folder / file).write_bytes(noise.bytes(2000))
    cv2.imwrite(str(folder / GOLDEN[0]), noise.integers(0, 256, (16, 16, 3), np.uint8))
    disc = np.zeros((16, 16), np.uint8, order="F")
    disc[3:9, 4:8] = 1
    rle = coco_mask.encode(disc)
    found = {
        "box": [4.0, 3.0, 8.0, 9.0],
        "score": 0.75,
        "class": 1,
        "segmentation": {"size": [16, 16], "counts": rle["counts"].decode()},
    }
    (folder / GOLDEN[1]).write_text(json.dumps({"height": 16, "width": 16, "instances": [found]}))
    manifest = Manifest(
        **{
            "name": "shapes-256x256-arm-fp32",
            "model": "mask_rcnn_tiny_fpn",
            "recipe": "arm-fp32",
            "engine": "paddle-lite",
            "engine_version": "2.13rc0",
            "target": "arm",
            "precision": "fp32",
            "classes": ("disc", "star"),
            "category_ids": (3, 7),
            "preprocess": PreprocessSpec((256, 256)),
            "postprocess": PostprocessSpec(),
            "proposals": 20,
            "graphs": {name: GraphSpec({file: sha256(folder / file)}, *TENSORS[name]) for name, file in GRAPHS.items()},
            "golden": Golden({name: sha256(folder / name) for name in GOLDEN}, *GOLDEN),
            "random_weights": False,
            "source": {"run": "run", "metrics": {"mask_map": 0.5}},
            "verification": {"checked_by": "x86-fp32", "box_px": 0.00087, "repeats": True},
            **fields,
        }
    )
    write_manifest(folder, manifest)
    return folder


def edit(folder: Path, change: Callable[[Any], object], file: str = "manifest.json") -> Path:
    """Changes a JSON file of the bundle, and the manifest's hash of it."""
    plain = json.loads((folder / file).read_text())
    change(plain)
    (folder / file).write_text(json.dumps(plain))
    if file != "manifest.json":
        digest = sha256(folder / file)
        edit(folder, lambda manifest: manifest["golden"]["files"].update({file: digest}))
    return folder
