"""Graphs in ONNX, run by ONNX Runtime: they say what paddle's operators do."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from convert.artifacts import ExportedGraph, Job
from convert.backends.onnx.model import write_onnx
from convert.export.export import export_graph
from convert.export.graphs import DetectGraph, Graph, traced
from convert.job import layers
from edge_seg.errors import ConversionError, MissingDependencyError
from edge_seg.manifest import TensorSpec
from edge_seg.models.roi_align import pool
from edge_seg.models.rpn import propose
from edge_seg.paddle_env import nn, paddle
from edge_seg.runtime.anchors import level_anchors

Arrays = dict[str, NDArray[Any]]
CHANNELS = 4
CELLS = 12


def run(file: Path, inputs: Arrays) -> list[NDArray[Any]]:
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    found: list[NDArray[Any]] = session.run(None, inputs)
    return found


def written(graph: Graph, folder: Path) -> Path:
    pytest.importorskip("onnx")
    file = folder / "graph.onnx"
    write_onnx(export_graph(graph, folder), file)
    return file


class Proposals(Graph):
    """One level of 12 x 12 cells in an image of 90 x 96 pixels: at most 200 boxes enter NMS, 40 leave it."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "proposals"
        self.model = nn.Layer()
        self.model.one = self.model.create_parameter([1], default_initializer=nn.initializer.Constant(1.0))
        self.model.register_buffer("anchors", paddle.to_tensor(level_anchors(CELLS, CELLS, 8, 24.0)))
        self.inputs = (
            TensorSpec("logits", (1, 3, CELLS, CELLS), "float32"),
            TensorSpec("deltas", (1, 12, CELLS, CELLS), "float32"),
        )
        self.outputs = (TensorSpec("boxes", (-1, 4), "float32"), TensorSpec("scores", (-1, 1), "float32"))

    @traced
    def forward(self, logits: Any, deltas: Any) -> tuple[Any, Any]:
        size = paddle.concat([paddle.full([1, 1], 90.0), paddle.full([1, 1], 96.0)], axis=1)
        ((boxes, scores, _),) = propose(
            [logits * self.model.one], [deltas], [self.model.anchors], size, before=200, after=40
        )
        return boxes, scores


@pytest.fixture(scope="module")
def proposals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Graph, Path]:
    graph = Proposals()
    return graph, written(graph, tmp_path_factory.mktemp("proposals"))


def deltas_of(spread: float, growth: float, seed: int) -> NDArray[np.float32]:
    """Deltas float32[1, 12, CELLS, CELLS] that shift boxes by about ``spread`` of their size."""
    rng = np.random.default_rng(seed)
    deltas = rng.normal(0.0, spread, (3, 4, CELLS, CELLS))
    deltas[:, 2:] += growth
    return deltas.reshape(1, 12, CELLS, CELLS).astype(np.float32)


@pytest.mark.parametrize(
    ("spread", "growth", "leaves"),
    [
        pytest.param(0.3, 0.0, 40, id="more than may leave"),
        pytest.param(0.02, 2.0, None, id="many that overlap, most of them cut off at the image's edge"),
        pytest.param(0.3, 9.0, 1, id="grown beyond the limit: all become the whole image"),
        pytest.param(2.0, -3.0, None, id="most are too small, or outside"),
    ],
)
def test_proposals_are_paddles(proposals: tuple[Graph, Path], spread: float, growth: float, leaves: int | None) -> None:
    graph, file = proposals
    rng = np.random.default_rng(5)
    logits = rng.normal(0.0, 3.0, (1, 3, CELLS, CELLS)).astype(np.float32)
    deltas = deltas_of(spread, growth, seed=6)
    expected = [value.numpy() for value in graph(paddle.to_tensor(logits), paddle.to_tensor(deltas))]
    boxes, scores = run(file, {"logits": logits, "deltas": deltas})
    np.testing.assert_allclose(boxes, expected[0], atol=1e-4)
    np.testing.assert_allclose(scores, expected[1], atol=1e-6)
    assert len(boxes) > 0
    assert leaves in (None, len(boxes))


def test_where_no_proposal_is_left_one_without_area_stands_for_it(proposals: tuple[Graph, Path]) -> None:
    graph, file = proposals
    logits, deltas = np.full((1, 3, CELLS, CELLS), -2.0, np.float32), deltas_of(0.1, -9.0, seed=1)
    expected = [value.numpy() for value in graph(paddle.to_tensor(logits), paddle.to_tensor(deltas))]
    boxes, scores = run(file, {"logits": logits, "deltas": deltas})
    np.testing.assert_array_equal(boxes, expected[0])
    np.testing.assert_array_equal(scores, expected[1])
    assert not boxes.any()


class Pooled(Graph):
    """RoIAlign over the pyramid of an image of 256 x 192 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "pooled"
        self.model = nn.Layer()
        self.model.one = self.model.create_parameter([1], default_initializer=nn.initializer.Constant(1.0))
        features = [TensorSpec(f"p{i}", (1, CHANNELS, 256 >> i, 192 >> i), "float32") for i in range(2, 6)]
        self.inputs = (*features, TensorSpec("boxes", (-1, 4), "float32"), TensorSpec("num", (1,), "int32"))
        self.outputs = (TensorSpec("pooled", (-1, CHANNELS, 7, 7), "float32"),)

    @traced
    def forward(self, p2: Any, p3: Any, p4: Any, p5: Any, boxes: Any, num: Any) -> Any:
        maps = [p2 * self.model.one, p3, p4, p5]
        return pool(maps, boxes, num, resolution=7, canonical_size=112)


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[NDArray[np.float32]], tuple[Any, Any]]:
    """Features of boxes float32[N, 4] by paddle, and by the graph in ONNX."""
    graph = Pooled()
    file = written(graph, tmp_path_factory.mktemp("pooled"))
    rng = np.random.default_rng(7)
    maps = {spec.name: rng.normal(size=spec.shape).astype(np.float32) for spec in graph.inputs[:4]}

    def both(boxes: NDArray[np.float32]) -> tuple[Any, Any]:
        inputs = {**maps, "boxes": boxes, "num": np.array([len(boxes)], np.int32)}
        return graph(*map(paddle.to_tensor, inputs.values())).numpy(), run(file, inputs)[0]

    return both


def test_boxes_of_all_levels_are_pooled_as_by_paddle(pooled: Callable[..., tuple[Any, Any]]) -> None:
    rng = np.random.default_rng(8)
    corner = rng.uniform(-40, 200, (60, 2))
    sides = np.exp(rng.uniform(np.log(2), np.log(600), (60, 2)))
    expected, found = pooled(np.concatenate([corner, corner + sides], axis=1).astype(np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("side", [56.0, 112.0, 224.0, 55.9999, 111.9999, 223.9999])
def test_a_box_at_the_border_between_two_levels(pooled: Callable[..., tuple[Any, Any]], side: float) -> None:
    expected, found = pooled(np.array([[3.0, 5.0, 3.0 + side, 5.0 + side]], np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_box_without_area_gives_zeros_and_leaves_the_others_alone(pooled: Callable[..., tuple[Any, Any]]) -> None:
    boxes = np.array([[9.0, 9.0, 9.0, 9.0], [10.0, 20.0, 90.0, 80.0], [50.0, 60.0, 50.0, 90.0]], np.float32)
    expected, found = pooled(boxes)
    assert not found[[0, 2]].any()
    np.testing.assert_allclose(found[1], expected[1], atol=1e-4)


@pytest.fixture(scope="module")
def crowded(job: Job, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ExportedGraph, Path]:
    """The tiny model asked for more proposals than a small image has, its `detect` graph, and this in ONNX."""
    pytest.importorskip("onnx")
    size, wanted = (32, 64), 900
    layers(job).network.eval()
    layers(job).network.set_input(size, wanted)
    features = [TensorSpec(f"p{i}", (1, 48, size[0] >> i, size[1] >> i), "float32") for i in range(2, 6)]
    outputs = (TensorSpec("boxes", (wanted, 3, 4), "float32"), TensorSpec("scores", (wanted, 4), "float32"), *features)
    folder = tmp_path_factory.mktemp("crowded")
    exported = export_graph(DetectGraph(layers(job).network, size, outputs), folder)
    write_onnx(exported, folder / "detect.onnx")
    return layers(job).network, exported, folder / "detect.onnx"


def test_an_image_with_fewer_proposals_than_wanted(crowded: tuple[Any, ExportedGraph, Path]) -> None:
    model, exported, file = crowded
    image = np.random.default_rng(9).normal(size=exported.inputs[0].shape).astype(np.float32)
    with paddle.no_grad():
        expected = [value.numpy() for value in model.detect(paddle.to_tensor(image))[:2]]
    boxes, scores = run(file, {"image": image})[:2]
    real = np.flatnonzero(expected[0].any(axis=(1, 2)))
    assert 100 < len(real) < len(boxes)
    assert np.isfinite(scores).all()
    assert not boxes[len(real) :].any()
    # Scores that differ in the last bit change places: each row is looked for.
    apart = np.abs(expected[0][real, None] - boxes[None, : len(real)]).max(axis=(2, 3))
    nearest = apart.argmin(axis=1)
    assert np.mean(apart.min(axis=1) < 0.01) >= 0.99
    close = apart.min(axis=1) < 0.01
    np.testing.assert_allclose(scores[nearest[close]], expected[1][real][close], atol=1e-4)


def test_the_same_graph_gives_the_same_bytes(crowded: tuple[Any, ExportedGraph, Path], tmp_path: Path) -> None:
    _, exported, file = crowded
    write_onnx(exported, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == file.read_bytes()


def test_inputs_and_outputs_are_the_specs(crowded: tuple[Any, ExportedGraph, Path]) -> None:
    onnx = pytest.importorskip("onnx")
    _, exported, file = crowded
    graph = onnx.load(str(file)).graph

    def named(values: Any) -> list[tuple[str, tuple[int, ...]]]:
        return [(v.name, tuple(side.dim_value for side in v.type.tensor_type.shape.dim)) for v in values]

    assert named(graph.input) == [(spec.name, spec.shape) for spec in exported.inputs]
    assert named(graph.output) == [(spec.name, spec.shape) for spec in exported.outputs]


def test_an_operator_without_a_rule_is_named(unsupported: ExportedGraph, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    with pytest.raises(ConversionError, match="without a rule for ONNX: lgamma\\n") as caught:
        write_onnx(unsupported, tmp_path / "graph.onnx")
    assert caught.value.code == "unsupported-operator"
    assert not list(tmp_path.iterdir())


def test_an_operator_with_an_attribute_that_no_rule_knows_is_named(small: ExportedGraph, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    with pytest.raises(ConversionError, match="pool2d with adaptive True"):
        write_onnx(small, tmp_path / "graph.onnx")


def test_weights_of_another_program_are_refused(small: ExportedGraph, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "cut.pdiparams").write_bytes(small.weights.read_bytes()[:-4])
    with pytest.raises(ConversionError, match=r"cut\.pdiparams doesn't hold the program's weights"):
        write_onnx(dataclasses.replace(small, weights=tmp_path / "cut.pdiparams"), tmp_path / "graph.onnx")


def test_a_missing_onnx_is_named_with_the_remedy(
    small: ExportedGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError) as caught:
        write_onnx(small, tmp_path / "graph.onnx")
    assert "[onnx-export]" in caught.value.remedy
