"""The ncnn engine: what the library takes in silence is refused."""

from __future__ import annotations

import dataclasses
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_seg.bundle import Bundle, open_bundle
from edge_seg.errors import BundleError, EngineError, MissingDependencyError
from edge_seg.manifest import GraphSpec, TensorSpec
from edge_seg.runtime.engines import open_engine
from edge_seg.runtime.engines.ncnn import Net, open_net, run_net
from edge_seg.runtime.parity import compare
from edge_seg.runtime.segmenter import Segmenter

ncnn = pytest.importorskip("ncnn", reason="needs the extra 'ncnn'")


@pytest.fixture(scope="module")
def bundle(tiny_bundles: Path) -> Bundle:
    return open_bundle(tiny_bundles / "ncnn-fp32")


def open_graph(bundle: Bundle, name: str, **changes: Any) -> Net:
    files = bundle.path / f"{name}.param", bundle.path / f"{name}.bin"
    spec = dataclasses.replace(bundle.manifest.graphs[name], **changes)
    return open_net(*files, spec, threads=1, fp16=False)


def test_a_bundle_says_what_runs_it(bundle: Bundle) -> None:
    engine = open_engine(bundle, threads=2)
    # The wheels for x86 have no fp16 arithmetic.
    assert engine.describe() == {"name": "ncnn", "version": ncnn.__version__, "threads": 2, "fp16": []}
    engine.close()


def test_any_layout_of_an_input_gives_the_same(bundle: Bundle) -> None:
    net = open_graph(bundle, "mask_head")
    shape = (3, *net.spec.inputs[0].shape[1:])
    pooled = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    kept = pooled.copy()
    expected = run_net(net, {"pooled": pooled})["logits"]
    strided = np.ascontiguousarray(pooled.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert not strided.flags.c_contiguous
    np.testing.assert_array_equal(run_net(net, {"pooled": strided})["logits"], expected)
    np.testing.assert_array_equal(run_net(net, {"pooled": pooled.astype(np.float64)})["logits"], expected)
    np.testing.assert_array_equal(run_net(net, {"pooled": pooled[1:2]})["logits"], expected[1:2])
    np.testing.assert_array_equal(pooled, kept)


def test_items_as_rows_of_a_matrix_are_independent(bundle: Bundle) -> None:
    net = open_graph(bundle, "box_head")
    assert net.rows
    pooled = np.random.default_rng(0).normal(size=(5, *net.spec.inputs[0].shape[1:])).astype(np.float32)
    together = run_net(net, {"pooled": pooled})
    alone = run_net(net, {"pooled": pooled[3:4]})
    for name, value in together.items():
        np.testing.assert_allclose(value[3:4], alone[name], rtol=1e-4, atol=1e-5)


def test_wrong_inputs_are_refused(bundle: Bundle) -> None:
    engine = open_engine(bundle, threads=1)
    with pytest.raises(EngineError, match=r"image is float32\[1, 4, 128, 128\]"):
        engine.run("detect", {"image": np.zeros((1, 4, 128, 128), np.float32)})
    with pytest.raises(EngineError, match="image is float16"):
        engine.run("detect", {"image": np.zeros((1, 3, 128, 128), np.float16)})
    engine.close()


@pytest.fixture
def copied(bundle: Bundle, tmp_path: Path) -> Bundle:
    shutil.copytree(bundle.path, tmp_path / "bundle")
    return dataclasses.replace(bundle, path=tmp_path / "bundle")


def edit(file: Path, change: Callable[[str], str]) -> None:
    file.write_text(change(file.read_text()))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content + b"\0" * 4, "bytes, expected"),
        (lambda content: content[:-4], "bytes, expected"),
        (lambda content: content[:100], "100 bytes, expected"),
        (lambda content: b"", "0 bytes, expected more"),
        (lambda content: struct.pack("<I", 7) + content[4:], "unknown kind 0x7"),
    ],
)
def test_weights_that_do_not_fill_their_file(copied: Bundle, change: Callable[[bytes], bytes], reason: str) -> None:
    file = copied.path / "rpn.bin"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(BundleError, match=reason) as caught:
        open_graph(copied, "rpn")
    assert str(file) in caught.value.message
    assert caught.value.code == "graph-damaged"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace("Convolution ", "Softmax ", 1), "layers that aren't accepted: Softmax"),
        (lambda text: text.replace("7767517", "7767518"), "its head"),
        (lambda text: "\n".join(text.splitlines()[:-1]), "its head"),
        (lambda text: text.replace(" 6=", " 6=x"), "weights"),
        (lambda text: "", "not a whole ncnn graph"),
    ],
)
def test_a_graph_that_is_not_ours(copied: Bundle, change: Callable[[str], str], reason: str) -> None:
    edit(copied.path / "rpn.param", change)
    with pytest.raises(BundleError, match=reason):
        open_graph(copied, "rpn")


def test_outputs_go_by_name(copied: Bundle) -> None:
    edit(copied.path / "rpn.param", lambda text: text.replace("logits", "others"))
    with pytest.raises(EngineError, match=r"gives deltas, others, not logits"):
        open_graph(copied, "rpn")


def test_a_graph_of_other_inputs_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="has the inputs map"):
        open_graph(bundle, "rpn", inputs=(TensorSpec("image", (1, 3, 8, 8), "float32"),))


def test_another_rank_than_the_manifest_has_is_an_error(bundle: Bundle) -> None:
    net = open_graph(bundle, "mask_head")
    flat = GraphSpec({}, net.spec.inputs, (TensorSpec("logits", (-1, 3), "float32"),))
    with pytest.raises(EngineError, match=r"ncnn: .* failed with code|dimensions"):
        run_net(Net(net.net, flat, rows=True), {"pooled": np.zeros((2, *net.spec.inputs[0].shape[1:]), np.float32)})


def test_without_the_library_the_error_says_how_to_get_it(tiny_bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ncnn", None)
    with pytest.raises(MissingDependencyError, match="needs the Python library ncnn") as caught:
        Segmenter(tiny_bundles / "ncnn-fp32")
    assert "pip install" in str(caught.value.remedy)


def test_on_a_gpu_the_same_is_found(bundle: Bundle, capfd: pytest.CaptureFixture[str]) -> None:
    if ncnn.get_gpu_count() == 0:
        pytest.skip("no GPU with a Vulkan driver (Debian's mesa-vulkan-drivers has one that computes on the CPU)")
    capfd.readouterr()
    image = bundle.path / bundle.manifest.golden.image
    with Segmenter(bundle, engine="ncnn-vulkan", instances=5) as segmenter, Segmenter(bundle, instances=5) as on_cpu:
        found, expected = segmenter(image), on_cpu(image)
        described = segmenter.engine.describe()
    assert described["name"] == "ncnn-vulkan"
    assert described["gpu"]
    same = compare(expected, found)
    assert same.matched == len(expected) == 5
    assert same.box_px < 0.01
    assert same.score < 1e-4
    assert "queueC" not in capfd.readouterr().err


def test_without_a_gpu_it_says_so(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ncnn, "get_gpu_count", lambda: 0)
    with pytest.raises(EngineError, match="no GPU with a Vulkan driver") as refused:
        Segmenter(bundle, engine="ncnn-vulkan")
    assert "leave --engine out" in refused.value.remedy
