"""Bundles, images and lines for the tests of the native runner."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.null_bundle import make_null_bundle
from edge_seg.bundle import open_bundle, write_manifest
from edge_seg.files import sha256
from edge_seg.manifest import GraphSpec, ProposalSpec, TensorSpec
from edge_seg.runtime.segmenter import Segmenter

Lines = list[dict[str, Any]]


def make_bundle(folder: Path) -> None:
    """A small bundle for the null engine whose golden result is right."""
    make_null_bundle(folder, size=(64, 96), proposals=12, classes=("circle", "square"), keep=20)
    expect(folder, lambda instances: instances)


def make_three_graphs(folder: Path) -> None:
    """Turns a bundle of :func:`make_bundle` into one of three graphs; its golden result stays right."""
    manifest = open_bundle(folder).manifest
    detect, mask = manifest.graphs["detect"], manifest.graphs["mask"]
    rows, channels = manifest.proposals, detect.outputs[2].shape[1]

    def floats(name: str, *shape: int) -> TensorSpec:
        return TensorSpec(name, shape, "float32")

    def graph(name: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> GraphSpec:
        (folder / f"{name}.nb").write_text(name)
        return GraphSpec({f"{name}.nb": sha256(folder / f"{name}.nb")}, inputs, outputs)

    rois, channel = floats("rois", rows, 4), TensorSpec("channel", (-1,), "int32")
    graphs = {
        "trunk": graph("trunk", detect.inputs, (rois, *detect.outputs[2:])),
        "box_head": graph("box_head", (floats("pooled", rows, channels, 7, 7), rois), detect.outputs[:2]),
        "mask_head": graph("mask_head", (floats("pooled", -1, channels, 14, 14), channel), mask.outputs),
    }
    write_manifest(folder, dataclasses.replace(manifest, graphs=graphs, canonical_size=32))


def make_convolutions(folder: Path) -> None:
    """Turns a bundle of :func:`make_bundle` into one of four graphs of convolutions, for ncnn."""
    manifest = open_bundle(folder).manifest
    detect, classes = manifest.graphs["detect"], len(manifest.classes)
    features = detect.outputs[2:]
    channels, (height, width) = features[0].shape[1], manifest.preprocess.size

    def floats(name: str, *shape: int) -> TensorSpec:
        return TensorSpec(name, shape, "float32")

    def graph(name: str, given: TensorSpec, *outputs: TensorSpec) -> GraphSpec:
        files = [folder / f"{name}{suffix}" for suffix in (".param", ".bin")]
        for file in files:
            file.write_text(file.name)
        return GraphSpec({file.name: sha256(file) for file in files}, (given,), outputs)

    coarsest = floats("p6", 1, channels, -(-height // 64), -(-width // 64))
    graphs = {
        "trunk": graph("trunk", detect.inputs[0], *features, coarsest),
        "rpn": graph(
            "rpn", floats("map", 1, channels, -1, -1), floats("logits", 1, 3, -1, -1), floats("deltas", 1, 12, -1, -1)
        ),
        "box_head": graph(
            "box_head",
            floats("pooled", -1, channels, 7, 7),
            floats("logits", -1, classes + 1),
            floats("deltas", -1, 4 * classes),
        ),
        "mask_head": graph("mask_head", floats("pooled", -1, channels, 14, 14), floats("logits", -1, classes, 28, 28)),
    }
    rpn = ProposalSpec((8.0, 16.0, 32.0, 64.0, 128.0), 100, 0.7, (10.0, 10.0, 5.0, 5.0))
    ncnn = dataclasses.replace(manifest, engine="ncnn", target="cpu", graphs=graphs, rpn=rpn, canonical_size=32)
    write_manifest(folder, ncnn)
    expect(folder, lambda instances: instances)


def expect(folder: Path, change: Callable[[Lines], Any]) -> None:
    """Writes the golden result, changed, and its hash."""
    bundle = open_bundle(folder)
    golden = bundle.manifest.golden
    with Segmenter(bundle, engine="null", instances=golden.instances) as segmenter:
        instances = segmenter(folder / golden.image).as_json()
    (folder / golden.expected).write_text(json.dumps({"instances": change(instances)}))
    edit(folder, "golden", "files", golden.expected, value=sha256(folder / golden.expected))


def edit(folder: Path, *place: str, value: Any) -> None:
    """Changes a field of the manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    inner = manifest
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))


def native(command: list[str], *options: str, **settings: Any) -> tuple[int, Lines]:
    finished = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120, **settings)
    return finished.returncode, [json.loads(line) for line in finished.stdout.splitlines()]
