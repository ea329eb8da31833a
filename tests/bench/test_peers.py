"""Other models in the same harness: an ONNX file always, torchvision where it is installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from bench.peers import Standing, standings_text
from edge_seg.cli import main
from edge_seg.records.statistics import Interval, summarise

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def make_onnx(path: Path, shape: list[Any], more: bool = False, kind: int = 1) -> Path:
    """A network of one operator on an input of that shape, which needn't be fixed."""
    helper = onnx.helper
    inputs = [helper.make_tensor_value_info("images", kind, shape)]
    inputs += [helper.make_tensor_value_info("im_shape", 1, [1, 2])] * more
    nodes = [helper.make_node("Relu", ["images"], ["out"])]
    nodes += [helper.make_node("Relu", ["im_shape"], ["sizes"])] * more
    outputs = [helper.make_tensor_value_info("out", kind, None)]
    graph = helper.make_graph(nodes, "other", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8), str(path))
    return path


def call(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, Any, str]:
    code = main(["bench", "peers", *map(str, words), "--json"])
    told = capsys.readouterr()
    return code, json.loads(told.out) if told.out else None, told.err


def test_an_onnx_file_stands_beside_a_bundle(
    tiny_bundles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.compare.PAUSE_S", 0.0)
    monkeypatch.setattr("bench.peers.PAUSE_S", 0.0)
    other = make_onnx(tmp_path / "other.onnx", ["batch", 3, "height", "width"])
    words: list[Any] = [
        tiny_bundles / "onnx-fp32",
        "--peer",
        other,
        "--peer",
        tiny_bundles / "onnx-fp32" / "detect.onnx",
    ]
    code, told, _ = call(capsys, *words, "--rounds", "5", "--threads", "1", "--instances", "3")
    assert code == 0
    ours, relu, detect = told["standings"]
    assert [one["kind"] for one in (ours, relu, detect)] == ["ours", "another model", "another model"]
    assert ours["objects"] == 3
    assert ours["ratio"] is None
    assert relu["size"] == detect["size"] == [128, 128]
    assert relu["model_ms"]["runs"] == 5
    assert 0 < relu["model_ms"]["median"] < detect["model_ms"]["median"] < ours["model_ms"]["median"] * 1.5
    assert relu["ratio"]["low"] <= relu["ratio"]["value"] <= relu["ratio"]["high"]
    assert "other.onnx" in relu["what"]
    assert "the network alone" in relu["what"]
    assert not list(tmp_path.glob("records*")), "peers make no record"


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("missing.onnx", "no such ONNX file"),
        ("broken.onnx", "can't load it"),
        ("two-inputs.onnx", "expected one image"),
        ("grey.onnx", "three channels"),
        ("double.onnx", "expected one image"),
    ],
)
def test_what_is_no_peer_is_refused_by_name(
    tiny_bundles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, words: str
) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    make_onnx(tmp_path / "two-inputs.onnx", [1, 3, 64, 64], more=True)
    make_onnx(tmp_path / "grey.onnx", [1, 1, 64, 64])
    make_onnx(tmp_path / "double.onnx", [1, 3, 64, 64], kind=11)
    code, told, _ = call(capsys, tiny_bundles / "onnx-fp32", "--peer", tmp_path / file)
    assert code != 0
    assert words in told["error"]["message"]
    assert file in told["error"]["message"]
    assert told["error"]["remedy"]


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is installed")
def test_torchvision_is_refused_by_name_where_it_is_missing(
    tiny_bundles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told, _ = call(capsys, tiny_bundles / "onnx-fp32", "--peer", "torchvision")
    assert code == 1
    assert "Python library torch," in told["error"]["message"]
    assert "peers" in told["error"]["remedy"]


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="torchvision isn't installed")
def test_torchvision_s_mask_r_cnn(tiny_bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words: list[Any] = [tiny_bundles / "onnx-fp32", "--peer", "torchvision", "--rounds", "3", "--instances", "3"]
    code, told, _ = call(capsys, *words)
    assert code == 0
    peer = told["standings"][1]
    assert peer["objects"] == 3
    assert peer["size"] == [128, 128]


def test_text_names_whose_model_it_is() -> None:
    ms = summarise([10.0, 11.0, 12.0])
    text = standings_text([
        Standing("cpu-fp32", "ours", "mask_rcnn_r50_fpn, cpu-fp32", (640, 640), 20, ms, None),
        Standing("yolo.onnx", "another model", "yolo.onnx, 11.0 MB", (640, 640), 0, ms, Interval(0.25, 0.24, 0.26)),
    ])  # fmt: skip
    assert "another model: yolo.onnx" in text
    assert "0.250 (0.240 to 0.260) of the first" in text
    assert " 0 objects" not in text
