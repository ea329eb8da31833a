"""Memory is looked at before a library is loaded: a clear refusal in place of a killed process."""

from __future__ import annotations

import contextlib
import dataclasses
import mmap
import resource
from pathlib import Path

import pytest

from edge_seg.bundle import open_bundle
from edge_seg.errors import EngineError
from edge_seg.runtime import memory
from edge_seg.runtime.engines import open_engine
from edge_seg.runtime.memory import MB, bounded, free_bytes, needed_bytes


@pytest.mark.parametrize(
    ("engine", "target", "precision", "model_mb", "size", "measured_mb"),
    [
        ("paddle-lite", "arm", "fp32", 125.9, 320, 510),
        ("paddle-lite", "arm", "w8", 32.8, 320, 510),
        ("paddle-lite", "arm", "int8", 32.9, 320, 218),
        ("paddle-lite", "x86", "fp32", 126.1, 320, 492),
        ("paddle-lite", "x86", "fp32", 179.4, 640, 1529),
        ("paddle-inference", "cpu", "fp32", 126.1, 320, 724),
        ("paddle-inference", "cpu", "fp32", 178.7, 320, 841),
        ("paddle-inference", "cpu", "fp32", 127.1, 640, 1242),
        ("paddle-inference", "cpu", "fp32", 179.6, 640, 1376),
        ("onnxruntime", "cpu", "fp32", 126.1, 320, 397),
        ("onnxruntime", "cpu", "fp32", 178.6, 320, 588),
        ("onnxruntime", "cpu", "fp32", 127.1, 640, 764),
        ("onnxruntime", "cpu", "fp32", 179.5, 640, 926),
        ("ncnn", "cpu", "fp32", 125.6, 320, 594),
    ],
)
def test_estimates_are_right_to_a_fifth(
    tiny_bundles: Path, engine: str, target: str, precision: str, model_mb: float, size: int, measured_mb: int
) -> None:
    manifest = open_bundle(tiny_bundles / "onnx-fp32").manifest
    preprocess = dataclasses.replace(manifest.preprocess, size=(size, size))
    manifest = dataclasses.replace(manifest, engine=engine, target=target, precision=precision, preprocess=preprocess)
    needed = needed_bytes(manifest, round(model_mb * MB))
    assert needed is not None
    assert 0.8 < needed / MB / measured_mb < 1.2


def test_a_small_board_is_refused_with_what_fits(tiny_bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = open_bundle(tiny_bundles / "cpu-fp32")
    open_engine(bundle, threads=1).close()
    monkeypatch.setattr(memory, "free_bytes", lambda: 120 * MB)
    with pytest.raises(EngineError, match="cpu-fp32 needs about 3") as caught:
        open_engine(bundle, threads=1)
    assert caught.value.code == "memory"
    assert "120 MB free" in caught.value.message
    assert "onnx-fp32" in caught.value.remedy
    monkeypatch.setenv(memory.OFF, "off")
    open_engine(bundle, threads=1).close()


def test_what_is_not_known_refuses_nothing(tiny_bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = open_bundle(tiny_bundles / "onnx-fp32")
    for free in (None, 10**12):
        monkeypatch.setattr(memory, "free_bytes", lambda free=free: free)
        open_engine(bundle, threads=1).close()
    monkeypatch.setattr(memory, "free_bytes", lambda: 1)
    open_engine(bundle, "null").close()


def test_this_machine_has_memory() -> None:
    free = free_bytes()
    assert free is None or free > 0


@pytest.mark.parametrize("child", [True, False])
def test_a_guarded_child_takes_no_more_than_there_is_room_for(child: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "is_child", lambda: child)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    expected = pytest.raises(OSError, match="Cannot allocate memory") if child else contextlib.nullcontext()
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # from the kernel: malloc may have as much left of earlier tests
    with expected, bounded(100 * MB):
        mmap.mmap(-1, 50 * MB, flags=private).close()
        mmap.mmap(-1, 900 * MB, flags=private).close()
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
