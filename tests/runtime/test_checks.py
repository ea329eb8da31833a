"""What is refused before, and noticed after, a library runs."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_seg.bundle import open_bundle
from edge_seg.errors import BundleError, EngineError, UsageError
from edge_seg.manifest import TensorSpec
from edge_seg.runtime.engines import open_engine
from edge_seg.runtime.engines.checks import Checked

Spoil = Callable[[dict[str, np.ndarray]], Any]


@pytest.fixture
def graphs(make_bundle: Callable[..., Path]) -> Any:
    return open_bundle(make_bundle()).manifest.graphs


def mask_inputs(count: int = 2) -> dict[str, np.ndarray]:
    features = {f"p{level}": np.zeros((1, 4, 64 >> level, 96 >> level), np.float32) for level in range(2, 6)}
    return {
        **features,
        "boxes": np.ones((count, 4), np.float32),
        "num": np.array([count], np.int32),
        "channel": np.arange(count, dtype=np.int32),
    }


def test_good_inputs_pass(graphs: Any, fake_engine: Any) -> None:
    assert Checked(fake_engine(1), graphs).run("mask", mask_inputs())["masks"].shape == (2, 28, 28)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda x: x.update(mask_inputs(0)), "empty"),
        (lambda x: x.update(num=np.array([3], np.int32)), "num is 3 for 2 boxes"),
        (lambda x: x.update(num=np.array([2], np.int64)), "int64"),
        (lambda x: x.update(boxes=np.full((2, 4), np.nan, np.float32)), "not finite"),
        (lambda x: x.update(boxes=np.full((2, 4), np.inf, np.float32)), "not finite"),
        (lambda x: x.update(boxes=np.ones((2, 5), np.float32)), "expected float32"),
        (lambda x: x.update(boxes=np.ones((2, 4), np.float64)), "float64"),
        (lambda x: x.update(p2=np.zeros((1, 3, 16, 24), np.float32)), "p2"),
        (lambda x: x.pop("p5"), "expected"),
        (lambda x: x.update(more=np.zeros(1)), "more"),
    ],
)
def test_bad_inputs_never_reach_the_library(graphs: Any, fake_engine: Any, spoil: Spoil, words: str) -> None:
    engine = fake_engine(1)
    inputs = mask_inputs()
    spoil(inputs)
    with pytest.raises(EngineError, match=words):
        Checked(engine, graphs).run("mask", inputs)
    assert engine.inputs == {}


@pytest.mark.parametrize("name", ["boxes", "scores"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_noticed(graphs: Any, fake_engine: Any, name: str, value: float) -> None:
    def spoil(graph: str, outputs: dict[str, np.ndarray]) -> None:
        outputs[name][3, 1] = value

    image = {"image": np.zeros((1, 3, 64, 96), np.float32)}
    with pytest.raises(EngineError, match=rf"{name} holds \d of \d+ values that are not finite"):
        Checked(fake_engine(1, spoil), graphs).run("detect", image)


@pytest.mark.parametrize(
    "masks", [np.full((2, 28, 28), np.nan, np.float32), np.zeros((2, 14, 14), np.float32), np.zeros((2, 28, 28))]
)
def test_bad_masks_are_noticed(graphs: Any, fake_engine: Any, masks: np.ndarray) -> None:
    def spoil(graph: str, outputs: dict[str, np.ndarray]) -> None:
        outputs["masks"] = masks

    with pytest.raises(EngineError, match="masks"):
        Checked(fake_engine(1, spoil), graphs).run("mask", mask_inputs())


def test_what_a_library_raises_becomes_one_error(graphs: Any, fake_engine: Any) -> None:
    def spoil(graph: str, outputs: dict[str, np.ndarray]) -> None:
        raise RuntimeError("\n-----\n(InvalidArgument) no kernel\n  [Hint: …]")

    with pytest.raises(EngineError, match=r"running the graph mask failed: \(InvalidArgument\) no kernel\n"):
        Checked(fake_engine(1, spoil), graphs).run("mask", mask_inputs())


@pytest.mark.parametrize(
    ("machine", "changes", "words"),
    [
        ("x86_64", {"target": "arm", "recipe": "arm-fp32"}, "is for arm .* this machine is x86_64"),
        ("aarch64", {}, "is for x86 .* this machine is aarch64"),
        ("x86_64", {"target": "abacus"}, "unknown target 'abacus'"),
        ("x86_64", {"engine_version": "2.10"}, "made for paddle-lite 2.10, but 2.13rc0 is installed"),
    ],
)
def test_bundles_for_others_are_refused(
    make_bundle: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    changes: dict[str, Any],
    words: str,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(BundleError, match=words) as caught:
        open_engine(open_bundle(make_bundle(**changes)))
    assert caught.value.remedy


def test_engine_by_name(make_bundle: Callable[..., Path]) -> None:
    bundle = open_bundle(make_bundle())
    with pytest.raises(UsageError, match="'abacus'") as caught:
        open_engine(bundle, "abacus")
    assert "paddle-lite" in caught.value.remedy
    with pytest.raises(BundleError, match="graphs for the engine paddle-lite, not paddle-inference"):
        open_engine(bundle, "paddle-inference")
    with pytest.raises(UsageError, match="threads"):
        open_engine(bundle, "null", threads=-1)


@pytest.mark.parametrize(
    ("graph", "side", "change"),
    [
        ("detect", "inputs", lambda specs: [TensorSpec("image", (1, 3, 32, 32), "float32")]),
        ("detect", "inputs", lambda specs: [TensorSpec("image", (1, 3, 64, 96), "uint8")]),
        ("detect", "outputs", lambda specs: specs[1:]),
        ("detect", "outputs", lambda specs: [TensorSpec("boxes", (12, 3, 4), "float32"), *specs[1:]]),
        ("mask", "inputs", lambda specs: [*specs, TensorSpec("more", (1,), "float32")]),
        ("mask", "outputs", lambda specs: []),
    ],
)
def test_manifests_of_other_graphs_are_refused(
    make_bundle: Callable[..., Path], graph: str, side: str, change: Callable[[Any], Any]
) -> None:
    bundle = open_bundle(make_bundle())
    spec = bundle.manifest.graphs[graph]
    changed: dict[str, Any] = {side: tuple(change(getattr(spec, side)))}
    spec = dataclasses.replace(spec, **changed)
    manifest = dataclasses.replace(bundle.manifest, graphs={**bundle.manifest.graphs, graph: spec})
    with pytest.raises(BundleError, match=f"the {side} of the graph '{graph}' are"):
        open_engine(dataclasses.replace(bundle, manifest=manifest), "null")


def test_a_graph_that_is_not_there_is_refused(make_bundle: Callable[..., Path]) -> None:
    bundle = open_bundle(make_bundle())
    manifest = dataclasses.replace(bundle.manifest, graphs={"detect": bundle.manifest.graphs["detect"]})
    with pytest.raises(BundleError, match="holds the graphs detect; expected full or detect, mask or"):
        open_engine(dataclasses.replace(bundle, manifest=manifest), "null")
