"""The native runner with ncnn in it against Python's: runs where the build found ncnn's development files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_seg import Segmenter
from edge_seg.data.synth import draw
from edge_seg.files import sha256
from edge_seg.runtime.parity import compare
from edge_seg.runtime.result import Instances
from tests.native.bundles import Lines, edit, native


@pytest.fixture
def runner(local: list[str]) -> list[str]:
    libraries = native(local, "--bundle", "none", "--images", "none", "--json")[1][0]["libraries"]
    if "ncnn" not in libraries:
        pytest.skip("the runner was built without ncnn, which isn't here (cmake/README.md)")
    return local


def last(lines: Lines, kind: str) -> dict[str, Any]:
    return [line for line in lines if line["type"] == kind][-1]


@pytest.mark.parametrize("instances", [None, 1, 20])
def test_finds_what_python_finds(runner: list[str], tiny_bundles: Path, tmp_path: Path, instances: int | None) -> None:
    bundle = tiny_bundles / "ncnn-fp32"
    image = np.ascontiguousarray(draw(91, 200, 0)[0])
    cv2.imwrite(str(tmp_path / "image.png"), image)
    options = [] if instances is None else ["--instances", str(instances)]
    words = ("--bundle", str(bundle), "--images", str(tmp_path / "image.png"), "--json", "--self-test", *options)
    code, lines = native(runner, *words, "--repeat", "1", "--threads", "2")
    assert code == 0, lines[-1]
    assert last(lines, "self_test")["passed"]
    result = last(lines, "result")
    found = Instances.from_json(result["instances"], result["height"], result["width"])
    with Segmenter(bundle, instances=instances) as segmenter:
        expected = segmenter(image)
    same = compare(expected, found)
    assert same.matched == len(expected) == len(found)
    assert same.box_px < 0.01
    assert same.score < 1e-4
    assert same.mask_pixels <= 2


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [("rpn.param", b"7767517\n", "loading"), ("box_head.param", b"no graph", "loading"), ("rpn.bin", b"", "loading")],
)
def test_damaged_graphs(
    runner: list[str], tiny_bundles: Path, tmp_path: Path, file: str, content: bytes, message: str
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundles / "ncnn-fp32", bundle)
    (bundle / file).write_bytes(content)
    edit(bundle, "graphs", file.split(".")[0], "files", file, value=sha256(bundle / file))
    code, lines = native(runner, "--bundle", str(bundle), "--self-test", "--json")
    assert code == 1
    assert lines[-1]["type"] == "error"
    assert message in lines[-1]["message"]


def test_cores(runner: list[str], tiny_bundles: Path) -> None:
    words = ("--bundle", str(tiny_bundles / "ncnn-fp32"), "--self-test", "--json")
    code, lines = native(runner, *words, "--power-mode", "low")
    assert (code, last(lines, "load")["engine"]["power_mode"]) == (0, "low")
    code, lines = native(runner, *words, "--power-mode", "rand-high")
    assert code == 2
    assert "no-bind, high, low, full" in lines[-1]["remedy"]
