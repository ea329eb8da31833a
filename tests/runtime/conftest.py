"""Bundles by hand, a fake engine, and images of every kind."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_seg.bundle import write_manifest
from edge_seg.files import sha256
from edge_seg.manifest import Golden, GraphSpec, Manifest, PostprocessSpec, PreprocessSpec, TensorSpec

Arrays = dict[str, np.ndarray]

FEATURES = tuple(TensorSpec(f"p{level}", (1, 4, 64 >> level, 96 >> level), "float32") for level in range(2, 6))
GRAPHS = {
    "detect": GraphSpec(
        {},
        (TensorSpec("image", (1, 3, 64, 96), "float32"),),
        (TensorSpec("boxes", (12, 2, 4), "float32"), TensorSpec("scores", (12, 3), "float32"), *FEATURES),
    ),
    "mask": GraphSpec(
        {},
        (
            *FEATURES,
            TensorSpec("boxes", (-1, 4), "float32"),
            TensorSpec("num", (1,), "int32"),
            TensorSpec("channel", (-1,), "int32"),
        ),
        (TensorSpec("masks", (-1, 28, 28), "float32"),),
    ),
}


class FakeEngine:
    """Finds ``count`` boxes in a row, of classes 0 and 1 in turn, with falling scores; their masks are whole boxes.

    ``spoil`` may change the outputs of a graph. What it was given is kept in ``inputs``.
    """

    name = "fake"

    def __init__(self, count: int, spoil: Callable[[str, Arrays], None] = lambda graph, outputs: None) -> None:
        self.count = count
        self.spoil = spoil
        self.inputs: dict[str, Arrays] = {}

    def run(self, graph: str, inputs: Arrays) -> Arrays:
        self.inputs[graph] = inputs
        if graph == "detect":
            outputs = {t.name: np.zeros(t.shape, np.float32) for t in GRAPHS["detect"].outputs}
            left = np.arange(12) * 8.0
            outputs["boxes"][:] = np.stack([left, left * 0 + 4, left + 6, left * 0 + 20], 1)[:, None]
            outputs["scores"][:, 2] = 1
            for index in range(self.count):
                outputs["scores"][index, index % 2] = 0.9 - index / 50
        else:
            outputs = {"masks": np.ones((len(inputs["boxes"]), 28, 28), np.float32)}
        self.spoil(graph, outputs)
        return outputs

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}

    def close(self) -> None:
        pass


@pytest.fixture
def fake_engine() -> type[FakeEngine]:
    return FakeEngine


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """``make_bundle(target="arm")`` writes a bundle whose graphs are no graphs; arguments change its manifest."""

    def make(**changes: Any) -> Path:
        folder = tmp_path / "bundle"
        (folder / "golden").mkdir(parents=True)
        cv2.imwrite(str(folder / "golden/image.png"), np.zeros((48, 64, 3), np.uint8))
        (folder / "golden/expected.json").write_text(json.dumps({"instances": []}))
        for name in GRAPHS:
            (folder / f"{name}.nb").write_bytes(name.encode() * 100)
        golden = {name: sha256(folder / name) for name in ("golden/image.png", "golden/expected.json")}
        graphs = {
            name: dataclasses.replace(graph, files={f"{name}.nb": sha256(folder / f"{name}.nb")})
            for name, graph in GRAPHS.items()
        }
        manifest = Manifest(
            name="by-hand",
            model="mask_rcnn_tiny_fpn",
            recipe="x86-fp32",
            engine="paddle-lite",
            engine_version="2.13rc0",
            target="x86",
            precision="fp32",
            classes=("circle", "star"),
            category_ids=(3, 7),
            preprocess=PreprocessSpec((64, 96)),
            postprocess=PostprocessSpec(keep=8),
            proposals=12,
            graphs=graphs,
            golden=Golden(golden, "golden/image.png", "golden/expected.json"),
            random_weights=True,
            source={},
        )
        write_manifest(folder, dataclasses.replace(manifest, **changes))
        return folder

    return make


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """uint8[120, 200, 3] with some structure in it."""
    rng = np.random.default_rng(3)
    return cv2.resize(rng.integers(0, 256, (12, 20, 3), dtype=np.uint8), (200, 120), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def exif_jpeg(photo: np.ndarray) -> bytes:
    """The photo as a JPEG whose EXIF data says: to be shown a quarter turn clockwise (orientation 6)."""
    jpeg = cv2.imencode(".jpg", photo)[1].tobytes()
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, 3, 1, 6, 0, 0)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
