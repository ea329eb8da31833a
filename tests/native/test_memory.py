"""The memory that a bundle needs: the same estimate in both languages, and a refusal before a library is loaded."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from edge_seg.bundle import open_bundle
from edge_seg.manifest import Manifest
from edge_seg.runtime import memory
from tests.native.bundles import native
from tests.native.probe import Probe


@pytest.fixture
def manifest(made: Path) -> Manifest:
    return open_bundle(made / "bundle").manifest


@pytest.mark.parametrize("key", [key for key in memory.PEAKS if key[0] in ("paddle-lite", "ncnn")], ids="-".join)
@pytest.mark.parametrize(("size", "model_bytes"), [((320, 320), 125_900_000), ((640, 416), 33_333_333)])
def test_the_estimate_is_pythons(
    probe: Probe,
    manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    key: tuple[str, str, str],
    size: tuple[int, int],
    model_bytes: int,
) -> None:
    engine, target, precision = key
    preprocess = dataclasses.replace(manifest.preprocess, size=size)
    manifest = dataclasses.replace(manifest, engine=engine, target=target, precision=precision, preprocess=preprocess)
    asked = {"engine": engine, "target": target, "precision": precision, "model_bytes": model_bytes}
    found, _ = probe("memory", height=size[0], width=size[1], **asked)
    expected = {machine: _needed(manifest, model_bytes, machine, monkeypatch) for machine in ("x86_64", "aarch64")}
    assert found["needed"] in expected.values()


def _needed(manifest: Manifest, model_bytes: int, machine: str, monkeypatch: pytest.MonkeyPatch) -> int | None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    return memory.needed_bytes(manifest, model_bytes)


def test_what_was_never_measured_is_not_guessed(probe: Probe) -> None:
    asked = {"engine": "other", "target": "arm", "precision": "fp32", "model_bytes": 1, "height": 32, "width": 32}
    assert probe("memory", **asked)[0]["needed"] is None


def test_a_machine_without_enough_memory_refuses(local: list[str], folder: Path) -> None:
    """At 8192 x 8192 ncnn would need 85 GB: more than a machine of the tests has."""
    file = folder / "four" / "manifest.json"
    plain = json.loads(file.read_text())
    height = plain["preprocess"]["size"][0]
    plain["preprocess"]["size"] = [8192, 8192]
    trunk = plain["graphs"]["trunk"]
    for tensor in trunk["inputs"] + trunk["outputs"]:
        stride = 64 if tensor["name"] == "p6" else height // tensor["shape"][2]
        tensor["shape"][2:] = [8192 // stride, 8192 // stride]
    file.write_text(json.dumps(plain))
    words = ("--bundle", "four", "--images", "pixel.png", "--json")
    code, lines = native(local, *words)
    assert (code, lines[-1]["code"]) == (1, "memory")
    assert "8192x8192" in lines[-1]["message"]
    assert "EDGE_SEG_MEMORY_CHECK=off" in lines[-1]["remedy"]
    code, lines = native(local, *words, env={**os.environ, "EDGE_SEG_MEMORY_CHECK": "off"})
    assert (code, lines[-1]["type"]) == (1, "error")
    assert lines[-1]["code"] != "memory"
