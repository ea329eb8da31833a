"""The engine for ONNX: what it takes and what it refuses."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_seg.bundle import open_bundle
from edge_seg.errors import BundleError, MissingDependencyError
from edge_seg.runtime.engines import open_engine
from edge_seg.runtime.engines.device_tensor import DeviceTensor
from edge_seg.runtime.engines.gpu import gpu_state
from edge_seg.runtime.engines.onnxruntime import OnnxRuntimeEngine
from edge_seg.runtime.segmenter import Segmenter

onnxruntime = pytest.importorskip("onnxruntime")
Edited = Callable[..., Path]


@pytest.fixture
def edited(tiny_bundles: Path, tmp_path: Path) -> Edited:
    """``edited(target="gpu")`` is a copy of the bundle with another manifest."""

    def edit(**changes: Any) -> Path:
        bundle = tmp_path / "bundle"
        shutil.copytree(tiny_bundles / "onnx-fp32", bundle)
        manifest = json.loads((bundle / "manifest.json").read_text())
        (bundle / "manifest.json").write_text(json.dumps({**manifest, **changes}))
        return bundle

    return edit


def test_it_describes_itself(tiny_bundles: Path) -> None:
    engine = open_engine(open_bundle(tiny_bundles / "onnx-fp32"), threads=1)
    assert engine.describe() == {
        "name": "onnxruntime",
        "version": onnxruntime.__version__,
        "threads": 1,
        "providers": ["CPUExecutionProvider"],
    }
    engine.close()


def test_a_bundle_made_with_another_version_runs(edited: Edited, photo: np.ndarray) -> None:
    with Segmenter(edited(engine_version="1.17.0"), threads=1) as segmenter:
        assert len(segmenter(photo)) > 0


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="needs a build for CPUs")
@pytest.mark.parametrize("providers", ["cuda", "tensorrt,cuda"])
def test_a_bundle_for_gpus_is_refused_without_one(edited: Edited, providers: str) -> None:
    with pytest.raises(BundleError, match="is for a GPU, but the installed onnxruntime") as caught:
        Segmenter(edited(target="gpu", optimizer={"providers": providers}))
    assert caught.value.code == "target-mismatch"
    assert "onnxruntime-gpu" in caught.value.remedy


def test_an_unknown_provider_is_named(edited: Edited) -> None:
    with pytest.raises(BundleError, match="'abacus'"):
        Segmenter(edited(target="gpu", optimizer={"providers": "abacus"}))


def test_a_missing_library_is_named_with_the_remedy(tiny_bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError) as caught:
        Segmenter(tiny_bundles / "onnx-fp32")
    assert "[onnx]" in caught.value.remedy


def test_bound_graphs_give_the_same_bits(tiny_bundles: Path, photo: np.ndarray) -> None:
    """As on a GPU, where the feature maps stay; here on the CPU's provider."""
    bundle = open_bundle(tiny_bundles / "onnx-fp32")
    with Segmenter(bundle, threads=1, instances=5) as plain, Segmenter(bundle, threads=1, instances=5) as bound:
        engine: Any = bound.engine
        while not isinstance(engine, OnnxRuntimeEngine):
            engine = engine._engine
        engine._device = "cpu"
        for _ in range(2):
            wanted, found = plain(photo), bound(photo)
            assert found.boxes.tobytes() == wanted.boxes.tobytes()
            assert found.scores.tobytes() == wanted.scores.tobytes()
            assert found.as_json() == wanted.as_json()
        image = np.zeros((1, 3, 128, 128), np.float32)
        outputs: dict[str, Any] = engine.run("detect", {"image": image})
        assert isinstance(outputs["p2"], DeviceTensor), "it stays where it was computed"
        wanted_p2 = np.asarray(plain.engine.run("detect", {"image": image})["p2"])
        assert np.asarray(outputs["p2"]).tobytes() == wanted_p2.tobytes()
        assert outputs["p2"].size == wanted_p2.size


def test_a_gpu_is_described_by_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_state() == {}
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\ncase $4 in *compute-apps*) echo 12; echo 13 ;; *) echo 'Some GPU, 550.1, 1980, 1980, 2619, 80.2,"
        " 700.0, 41, P0, 0x0, 3' ;; esac\n"
    )
    tool.chmod(0o755)
    state = gpu_state()
    assert (state["name"], state["temperature.gpu"], state["other_processes"]) == ("Some GPU", "41", 2)
