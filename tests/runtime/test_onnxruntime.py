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
