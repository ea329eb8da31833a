"""tools/gpu_cell.py: one file fills the GPU cells of a machine that has onnxruntime, numpy and OpenCV alone."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.table import make_table
from edge_seg.records.record import read
from tests.conftest import ROOT

pytest.importorskip("onnxruntime")
# onnxruntime's own requirements come with it.
NAMES = ("numpy", "numpy.libs", "cv2", "opencv_python.libs", "onnxruntime", "flatbuffers", "google", "packaging")


@pytest.mark.slow
def test_it_measures_where_nothing_else_is(tiny_bundles: Path, tmp_path: Path) -> None:
    packed, out = tmp_path / "gpu_cell.pyz", tmp_path / "gpu.jsonl"
    words = [sys.executable, "tools/gpu_cell.py", "--out", str(packed), "--bundles", str(tiny_bundles / "onnx-fp32")]
    made = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr
    weights = sum(file.stat().st_size for file in (tiny_bundles / "onnx-fp32").glob("*.onnx"))
    assert packed.stat().st_size < max(3e6, weights / 2)

    alone = tmp_path / "site-packages"
    alone.mkdir()
    for name in NAMES:
        for folder in map(Path, sys.path):
            if (folder / name).exists() and not (alone / name).exists():
                (alone / name).symlink_to(folder / name)
    options = ["--provider", "cpu", "--mode", "quick", "--instances", "5", "--out", str(out)]
    ran = subprocess.run(
        [sys.executable, "-S", str(packed), *options],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(alone), "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert "bit for bit equal" in ran.stderr
    (record,) = read(out)[0]
    assert record.self_test is not None
    assert record.self_test["passed"]
    assert record.objects() == 5

    # On a GPU the same record names it.
    engine = {**record.load["engine"], "gpu": {"name": "Some GPU", "driver_version": "550.1"}}
    bundle = dataclasses.replace(record.bundle, target="gpu", recipe="onnx-cuda-fp32")
    on_gpu = dataclasses.replace(record, bundle=bundle, load={**record.load, "engine": engine}, id="")
    (row,) = [row for row in make_table([record, on_gpu], show_degraded=True).rows if not row.cited]
    assert row.cells["gpu"].records == (on_gpu,)
    assert row.cells["gpu"].lines[0].startswith("Some GPU, `onnx-cuda-fp32`")
    assert row.cells["x86"].records == (record,)
