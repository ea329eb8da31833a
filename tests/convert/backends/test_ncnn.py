"""Graphs for ncnn: they say what paddle's operators do, and what can't be said is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.artifacts import ExportedGraph, Job
from convert.backends.ncnn import trial
from convert.backends.ncnn.graph import NcnnGraph
from convert.backends.ncnn.model import write_ncnn
from convert.export.export import export_graph
from convert.export.graphs import Graph, traced
from convert.pipeline import make_bundles
from convert.recipe import find_recipe
from edge_seg.bundle import open_bundle
from edge_seg.errors import ConversionError
from edge_seg.manifest import TensorSpec
from edge_seg.paddle_env import nn, paddle
from edge_seg.runtime.parity import compare
from edge_seg.runtime.segmenter import Segmenter

pytest.importorskip("ncnn", reason="needs the extra 'ncnn'")

F = nn.functional


class One(Graph):
    """``x`` [1, 4, 12, 16] (or ``shape``) → ``y`` by ``body(layers, x)``."""

    name = "one"

    def __init__(
        self, body: Callable[[Any, Any], Any], layers: dict[str, Any], outputs: int = 1, rows: bool = False
    ) -> None:
        super().__init__()
        self.model = nn.LayerDict({"first": nn.Conv2D(4, 6, 3, padding=1), **layers})
        self.body = body
        self.inputs = (TensorSpec("x", (-1, 4, 12, 16) if rows else (1, 4, 12, 16), "float32"),)
        sides = (-1, 5) if rows else (1, -1, -1, -1)
        self.outputs = tuple(TensorSpec(f"y{i}", sides, "float32") for i in range(outputs))

    @traced
    def forward(self, x: Any) -> Any:
        return self.body(self.model, x)


def normalised() -> Any:
    layer = nn.BatchNorm2D(6)
    rng = np.random.default_rng(0)
    for tensor, low in ((layer.weight, 0.5), (layer.bias, -1), (layer._mean, -1), (layer._variance, 0.5)):
        tensor.set_value(rng.uniform(low, low + 1, 6).astype(np.float32))
    return layer


BODIES: dict[str, tuple[Callable[[Any, Any], Any], dict[str, Any], int]] = {
    "bias": (lambda m, x: m["first"](x), {}, 1),
    "bias and relu": (lambda m, x: F.relu(m["first"](x)), {}, 1),
    "no bias": (lambda m, x: m["c"](x), {"c": nn.Conv2D(4, 3, 1, bias_attr=False)}, 1),
    "batch norm": (lambda m, x: F.relu(m["bn"](m["first"](x))), {"bn": normalised()}, 1),
    "odd convolution": (
        lambda m, x: m["c"](x),
        {"c": nn.Conv2D(4, 5, (3, 2), stride=(2, 1), padding=[2, 1, 0, 1], dilation=(1, 2))},
        1,
    ),
    "transposed": (lambda m, x: F.relu(m["t"](x)), {"t": nn.Conv2DTranspose(4, 7, 2, stride=2)}, 1),
    "residual": (lambda m, x: F.relu(m["first"](x) + m["c"](x)), {"c": nn.Conv2D(4, 6, 1)}, 1),
    "read twice": (lambda m, x: ((y := F.relu(m["first"](x))), y + m["c"](y)), {"c": nn.Conv2D(6, 6, 1)}, 2),
    "before and after": (lambda m, x: ((y := m["first"](x)), F.relu(y)), {}, 2),
    "upsampled": (lambda m, x: F.interpolate(m["first"](x), scale_factor=4.0, mode="nearest"), {}, 1),
    "interpolated": (lambda m, x: F.interpolate(m["first"](x), scale_factor=2, mode="bilinear"), {}, 1),
    "max pool": (lambda m, x: F.max_pool2d(m["first"](x), 3, stride=2, padding=1), {}, 1),
    "every second": (lambda m, x: F.max_pool2d(m["first"](x), 1, stride=2), {}, 1),
    "mean": (lambda m, x: F.avg_pool2d(m["first"](x), 2, stride=2), {}, 1),
    "side by side": (lambda m, x: paddle.concat([m["first"](x), m["c"](x)], axis=1), {"c": nn.Conv2D(4, 2, 1)}, 1),
}


@pytest.mark.parametrize("fp16", [False, True])
@pytest.mark.parametrize("body", BODIES)
def test_an_operator_gives_what_it_gives_in_paddle(tmp_path: Path, body: str, fp16: bool) -> None:
    paddle.seed(0)
    graph = export_graph(One(*BODIES[body]), tmp_path)
    tried(graph, tmp_path, fp16)


def tried(graph: ExportedGraph, folder: Path, fp16: bool) -> None:
    files, scratch = folder / "files", folder / "scratch"
    files.mkdir()
    scratch.mkdir()
    assert write_ncnn(graph, files, fp16=fp16) == ("one.param", "one.bin")
    trial.try_graphs([graph], ["one"] if fp16 else [], files, scratch)


def test_fully_connected_layers_over_rows(tmp_path: Path) -> None:
    def body(model: Any, x: Any) -> Any:
        return model["b"](F.relu(model["a"](x.reshape([-1, 4 * 12 * 16]))))

    paddle.seed(0)
    layers = {"a": nn.Linear(4 * 12 * 16, 8), "b": nn.Linear(8, 5)}
    tried(export_graph(One(body, layers, rows=True), tmp_path), tmp_path, fp16=False)


@pytest.mark.parametrize(
    ("body", "layers", "reason"),
    [
        (lambda m, x: F.sigmoid(m["first"](x)), {}, "no rule for: sigmoid"),
        (lambda m, x: m["c"](x), {"c": nn.Conv2D(4, 4, 3, groups=2)}, "groups 2"),
        (lambda m, x: m["first"](x).reshape([1, 6, -1, 1]), {}, "reshape2 with the shape"),
        (lambda m, x: 2 * m["first"](x), {}, "scale 2.0"),
        (lambda m, x: F.interpolate(m["first"](x), scale_factor=1.5, mode="nearest"), {}, "scale 1.5"),
        (lambda m, x: m["bn"](F.relu(m["first"](x))), {"bn": nn.BatchNorm2D(6)}, "isn't a convolution's"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(tmp_path: Path, body: Any, layers: dict[str, Any], reason: str) -> None:
    graph = export_graph(One(body, layers), tmp_path)
    with pytest.raises(ConversionError, match=reason) as caught:
        write_ncnn(graph, tmp_path, fp16=False)
    assert caught.value.code == "unsupported-operator"


def test_a_weight_beyond_fp16_is_refused(tmp_path: Path) -> None:
    graph = One(*BODIES["bias"])
    graph.model["first"].weight.set_value(np.full((6, 4, 3, 3), 7e4, np.float32))
    exported = export_graph(graph, tmp_path)
    write_ncnn(exported, tmp_path, fp16=False)
    with pytest.raises(ConversionError, match="beyond fp16") as caught:
        write_ncnn(exported, tmp_path, fp16=True)
    assert caught.value.code == "half-overflow"


def test_a_graph_that_gives_other_values_is_not_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = NcnnGraph.write

    def spoilt(self: NcnnGraph, *arguments: Any) -> None:
        self.layers[0].weights[0] = self.layers[0].weights[0] * 1.001
        written(self, *arguments)

    monkeypatch.setattr(NcnnGraph, "write", spoilt)
    with pytest.raises(ConversionError, match=r"one: y0 differs by .* between ncnn and paddle") as caught:
        tried(export_graph(One(*BODIES["bias"]), tmp_path), tmp_path, fp16=False)
    assert caught.value.code == "parity"


def test_a_graph_that_ends_the_process_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_seg.process.child import Outcome

    died = Outcome(-11, "", "", 1.0)
    monkeypatch.setattr(trial, "run_module", lambda *arguments, **options: died)
    with pytest.raises(ConversionError, match="was killed by SIGSEGV") as caught:
        tried(export_graph(One(*BODIES["bias"]), tmp_path), tmp_path, fp16=False)
    assert caught.value.code == "engine-died"


def test_fp16_bundles_are_checked_by_fp32_and_half_as_large(job: Job, tmp_path: Path) -> None:
    recipes = [find_recipe("ncnn-fp16"), find_recipe("ncnn-fp32")]
    half, full = (open_bundle(made.folder) for made in make_bundles(job, recipes, tmp_path / "first"))
    assert half.manifest.verification["checked_by"] == "ncnn-fp32"
    assert half.manifest.optimizer["fp16"] == ["trunk", "rpn", "mask_head"]
    assert (half.path / "box_head.bin").read_bytes() == (full.path / "box_head.bin").read_bytes()
    for name in ("trunk", "rpn", "mask_head"):
        sizes = [(opened.path / f"{name}.bin").stat().st_size for opened in (half, full)]
        assert sizes[0] == pytest.approx(sizes[1] / 2, rel=0.02)
    # On this host its weights are rounded, its arithmetic isn't.
    found = []
    for opened in (half, full):
        with Segmenter(opened, threads=1) as segmenter:
            found.append(segmenter(job.image))
    parity = compare(*found)
    assert parity.share >= 0.9
    assert 0 < parity.score <= 0.01

    (again,) = make_bundles(job, recipes[:1], tmp_path / "again")
    files = sorted(path.name for path in half.path.rglob("*") if path.is_file())
    assert files == sorted(path.name for path in again.folder.rglob("*") if path.is_file())
    for path in half.path.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (again.folder / path.relative_to(half.path)).read_bytes(), path.name


def test_small_inputs_are_taken_from_the_specs() -> None:
    assert trial.small_shape(TensorSpec("image", (1, 3, 640, 96), "float32")) == (1, 3, 128, 96)
    assert trial.small_shape(TensorSpec("map", (1, 256, -1, -1), "float32")) == (1, 256, 16, 16)
    assert trial.small_shape(TensorSpec("pooled", (-1, 256, 14, 14), "float32")) == (3, 256, 14, 14)
