"""Paddle Inference: feature maps that stay where they were computed, and bfloat16."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_seg.bundle import open_bundle
from edge_seg.errors import BundleError
from edge_seg.manifest import TWO_GRAPHS
from edge_seg.runtime.cpu import describe_cpu
from edge_seg.runtime.engines import paddle_inference
from edge_seg.runtime.engines.device_tensor import DeviceTensor
from edge_seg.runtime.engines.paddle_inference import BF16_FLAGS, PaddleInferenceEngine
from edge_seg.runtime.segmenter import Segmenter


class Handle:
    """A predictor's tensor; ``copies`` counts how often it went through the host."""

    def __init__(self, name: str) -> None:
        self.name, self.array, self.copies = name, np.zeros(0, np.float32), 0

    def shape(self) -> list[int]:
        return list(self.array.shape)

    def copy_from_cpu(self, array: np.ndarray) -> None:
        self.array, self.copies = array.copy(), self.copies + 1

    def copy_to_cpu(self) -> np.ndarray:
        self.copies += 1
        return self.array.copy()


class Predictor:
    """Gives its number of runs in every output, in memory that the next run overwrites."""

    def __init__(self, inputs: list[str], outputs: list[str]) -> None:
        self.inputs = {name: Handle(name) for name in inputs}
        self.outputs = {name: Handle(name) for name in outputs}
        self.runs = 0

    def get_input_handle(self, name: str) -> Handle:
        return self.inputs[name]

    def get_output_names(self) -> list[str]:
        return list(self.outputs)

    def get_output_handle(self, name: str) -> Handle:
        return self.outputs[name]

    def run(self) -> None:
        self.runs += 1
        for handle in self.outputs.values():
            handle.array = np.full((1, 2), self.runs, np.float32)


def specs(tiny_bundles: Path) -> dict[str, Any]:
    return open_bundle(tiny_bundles / "onnx-fp32").manifest.graphs


def test_features_go_from_predictor_to_predictor(tiny_bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = specs(tiny_bundles)
    predictors = {
        name: (Predictor([t.name for t in graph.inputs], [t.name for t in graph.outputs]), graph)
        for name, graph in graphs.items()
    }
    handed: list[str] = []

    def copy(to: Handle, source: Handle) -> None:
        handed.append(source.name)
        to.array = source.array.copy()

    monkeypatch.setattr(paddle_inference, "_copy_within", copy)
    engine = PaddleInferenceEngine(predictors, {}, features_stay=True)
    found: dict[str, Any] = engine.run("detect", {"image": np.zeros((1, 3, 128, 128), np.float32)})
    assert isinstance(found["p2"], DeviceTensor)
    assert isinstance(found["boxes"], np.ndarray)
    more = {name: np.zeros(1, np.float32) for name in ("boxes", "num", "channel")}
    engine.run("mask", {**{name: found[name] for name in ("p2", "p3", "p4", "p5")}, **more})
    assert handed == ["p2", "p3", "p4", "p5"], "the three small ones come from the host"
    assert predictors["detect"][0].outputs["p2"].copies == 0

    kept = found["p2"]
    again: dict[str, Any] = engine.run("detect", {"image": np.zeros((1, 3, 128, 128), np.float32)})
    assert np.asarray(kept)[0, 0] == 1, "what somebody still holds isn't overwritten"
    assert np.asarray(again["p2"])[0, 0] == 2
    again["p2"] = kept
    engine.run("mask", {**{name: again[name] for name in ("p2", "p3", "p4", "p5")}, **more})
    assert handed[4:] == ["p3", "p4", "p5"], "what was read goes up again from the host"


@pytest.mark.slow
def test_both_ways_give_the_same_bits(tmp_path: Path, photo: np.ndarray) -> None:
    """As on a GPU, here in the CPU's memory."""
    from convert.job import Options, random_job
    from convert.pipeline import make_bundles
    from convert.recipe import find_recipe

    recipe = dataclasses.replace(find_recipe("cpu-fp32"), graphs=TWO_GRAPHS)
    job = random_job("mask_rcnn_tiny_fpn", 1, 3, Options(size=(128, 128)))
    make_bundles(job, [recipe], tmp_path / "bundle")
    bundle = open_bundle(next(path.parent for path in sorted((tmp_path / "bundle").rglob("manifest.json"))))
    with Segmenter(bundle, threads=1, instances=5) as plain, Segmenter(bundle, threads=1, instances=5) as staying:
        engine: Any = staying.engine
        while not isinstance(engine, PaddleInferenceEngine):
            engine = engine._engine
        engine._features_stay = True
        for image in (photo, photo[::-1].copy()):
            assert staying(image).as_json() == plain(image).as_json()


def test_bf16_is_refused_by_name_where_the_cpu_has_none(
    tiny_bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    shutil.copytree(tiny_bundles / "cpu-fp32", tmp_path / "cpu-bf16")
    manifest = tmp_path / "cpu-bf16" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "precision": "bf16", "recipe": "cpu-bf16"}))
    monkeypatch.setattr(paddle_inference, "describe_cpu", lambda: {"flags": ["avx2", "avx512f"]})
    with pytest.raises(BundleError, match="neither AMX nor AVX-512") as caught:
        Segmenter(tmp_path / "cpu-bf16")
    assert "cpu-fp32" in caught.value.remedy


@pytest.mark.slow
@pytest.mark.skipif(
    not any(flag in describe_cpu()["flags"] for flag in BF16_FLAGS), reason="this CPU computes no bfloat16"
)
def test_bf16_finds_what_fp32_does(edge_seg: Any, tmp_path: Path) -> None:
    words = ["convert", "mask_rcnn_tiny_fpn", "--random-weights", "--seed", "1", "--classes", "3", "--size", "128"]
    done = edge_seg(*words, "--recipe", "cpu-bf16", "--out", tmp_path / "cpu-bf16")
    assert done.returncode == 0, done.stderr
    bundle = open_bundle(tmp_path / "cpu-bf16")
    assert bundle.manifest.precision == "bf16"
    assert 0 < max(bundle.manifest.verification["features"].values()) < 0.1, "rounded, and no more"
    tested = edge_seg("verify", tmp_path / "cpu-bf16", "--json")
    assert tested.returncode == 0, tested.stdout
