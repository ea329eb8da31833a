"""Quantized graphs: what they compute, and that the engines compute the same."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.artifacts import Exported, ExportedGraph, Job
from convert.backends import opt
from convert.calibration import CalibrationOptions, Source
from convert.check.check import examine, said
from convert.export import reference
from convert.job import Options, run_job
from convert.pipeline import make_bundles
from convert.program.edit import ProgramEdit, only, quantizable
from convert.program.executor import Executor, GraphProgram, stepwise
from convert.quantize.options import ALGORITHMS
from convert.quantize.plan import observe, ranges
from convert.quantize.ranges import ALGORITHMS as RANGES
from convert.quantize.ranges import Observed
from convert.quantize.rewrite import Plan, fully_connected, rewrite, rounded, spell_out
from convert.quantize.sensitivity import fewest, within
from convert.recipe import find_recipe, parse
from edge_seg.bundle import open_bundle
from edge_seg.data.coco import load_split
from edge_seg.data.synth import make
from edge_seg.errors import ConversionError, RunError, UsageError
from edge_seg.manifest import FEATURES, THREE_GRAPHS
from edge_seg.runtime.engines import open_engine, paddle_inference
from edge_seg.runtime.segmenter import Segmenter
from edge_seg.runtime.selftest import self_test
from edge_seg.train.evaluate import evaluate
from tests.convert.trained import make_run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "data"
    make(folder, 40, 128, 11)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Job:
    """A job whose model finds things."""
    run = make_run(tmp_path_factory.mktemp("trained") / "run", data, 128)
    return run_job(run, Options(calibration=CalibrationOptions(images=6)))


@pytest.fixture(scope="module")
def exported(trained: Job, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return trained.model.export(trained.model.refer(trained), THREE_GRAPHS, tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="module")
def programs(exported: Exported) -> list[GraphProgram]:
    return [fully_connected(GraphProgram.read(graph)) for graph in exported.graphs]


@pytest.fixture(scope="module")
def bundles(trained: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("quantized") / "out"
    make_bundles(trained, parse("arm-int8,x86-int8,arm-w8,x86-w8,x86-w16,x86-fp32,cpu-int8,arm-fp16"), out)
    return out


def test_a_simulated_graph_is_the_model(exported: Exported, programs: list[GraphProgram]) -> None:
    job = exported.referenced.job
    found = reference.refer(job, stepwise(Executor(programs), programs, job)).detect
    expected = exported.referenced.detect
    assert all((found[name] == expected[name]).all() for name in FEATURES)
    np.testing.assert_allclose(found["boxes"], expected["boxes"], rtol=0, atol=1e-3)  # RoIAlign is the runtime's
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=0, atol=1e-5)


def test_weights_are_rounded_to_the_nearest_step_of_their_channel() -> None:
    weight = np.array([[1.0, -0.5, 0.0], [254.0, 3.0, 1.0]], np.float32)
    assert rounded(weight, 8, 0).tolist() == [[1.0, -64 * np.float32(1 / 127), 0.0], [254.0, 4.0, 2.0]]
    assert np.abs(rounded(weight, 16, 0) - weight).max() < 254 / 32767
    twice = rounded(rounded(weight, 8, 1), 8, 1)
    assert np.allclose(twice, rounded(weight, 8, 1), rtol=1e-6)
    assert not rounded(np.zeros((2, 3), np.float32), 8, 0).any()


def test_ranges_hold_most_of_what_was_seen() -> None:
    seen = Observed()
    values = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    for part in np.split(values, 10):
        seen.add(part)
    seen.add(np.array([[0.0, -40.0]], np.float32))  # a stray; zeros aren't counted
    assert seen.counts.sum() == 100_001
    assert set(ALGORITHMS) == set(RANGES)
    assert seen.range("abs_max") == 40.0
    assert 3.0 < seen.range("hist") < 6.0
    assert 6.0 < seen.range("mse") < 40.0
    assert 2.0 < seen.range("kl") < 12.0
    nothing = Observed()
    nothing.add(np.zeros(3, np.float32))
    assert nothing.range("mse") == 1.0


@pytest.mark.parametrize("bits", [8, 16])
def test_weights_as_integers_are_computed_on_x86_as_paddle_computes_them(bundles: Path, bits: int) -> None:
    # With fully connected layers as `matmul_v2`, Paddle Lite reads their integers as floats and finds nothing.
    report = open_bundle(bundles / f"x86-w{bits}").manifest.verification
    assert report["matched"] == report["instances"] == report["found"] > 0
    assert report["score"] <= report["tolerance"]["score"] == 1e-4


def test_fully_connected_layers_that_paddle_lite_would_misread_are_caught(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convert.quantize.plan.fully_connected", lambda graph: graph)
    job = exported.referenced.job
    with pytest.raises(ConversionError, match="not finite|instances matched"):
        make_bundles(job, [find_recipe("x86-w8")], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_int8_keeps_the_accuracy_and_a_third_of_the_bytes(bundles: Path, data: Path) -> None:
    val = load_split(data, "val")

    def mask_map(name: str) -> float:
        with Segmenter(bundles / name) as segmenter:
            return 100 * (evaluate(segmenter, val).mask_map or 0.0)

    before = mask_map("x86-fp32")
    assert before > 20
    assert mask_map("x86-int8") > before - 1.0
    assert mask_map("cpu-int8") > before - 2.0
    size = {name: open_bundle(bundles / name).model_bytes for name in ("arm-int8", "arm-w8", "x86-w16", "x86-fp32")}
    assert size["arm-int8"] < 0.35 * size["x86-fp32"]
    assert size["arm-w8"] < 0.35 * size["x86-fp32"]
    assert size["x86-w16"] < 0.6 * size["x86-fp32"]


def test_what_a_quantized_bundle_says_of_itself(bundles: Path) -> None:
    manifest = open_bundle(bundles / "arm-int8").manifest
    told = manifest.optimizer["quantization"]
    assert told["calibration"]["images"] == len(told["calibration"]["names"]) == 6
    assert told["algorithm"] == "mse"
    assert told["ranges"]["trunk"]["image"] > 1
    assert len(told["ranges"]["box_head"]) == 3  # what enters fc6, fc7, and scores and deltas
    assert manifest.optimizer["requires"] == ["extra"]
    assert manifest.verification["checked_by"] == "x86-int8"
    half = open_bundle(bundles / "arm-fp16").manifest
    assert half.optimizer["requires"] == ["extra", "fp16"]
    assert "fp16 can't be computed" in half.verification["unchecked"]
    assert "unchecked" not in manifest.verification


@pytest.mark.parametrize("name", ["x86-int8", "cpu-int8", "x86-w8"])
def test_a_quantized_bundle_passes_its_self_test(bundles: Path, name: str) -> None:
    bundle = open_bundle(bundles / name)
    with Segmenter(bundle) as segmenter:
        assert self_test(segmenter, bundle).faults == ()


def unsure_golden(trained: Job, image: np.ndarray[Any, Any]) -> Job:
    """The job with another golden image, in which it also takes what it is least sure of."""
    rule = dataclasses.replace(trained.postprocess, score_threshold=0.0005)
    return dataclasses.replace(trained, image=image, postprocess=rule)


def test_what_int8_is_unsure_of_is_not_judged_by_the_self_test_either(trained: Job, tmp_path: Path) -> None:
    (made,) = make_bundles(unsure_golden(trained, trained.image), [find_recipe("cpu-int8")], tmp_path / "out")
    assert made.report["judged"] == "instances"
    assert made.report["instances"] > 0 < made.report["unsure"]
    assert made.report["box_px"] <= made.report["tolerance"]["box_px"]
    bundle = open_bundle(made.folder)
    with Segmenter(bundle) as segmenter:
        assert self_test(segmenter, bundle).faults == ()
        golden_file = made.folder / bundle.manifest.golden.expected
        told = json.loads(golden_file.read_text())
        told["instances"] = [item for item in told["instances"] if item["score"] < 0.5]
        golden_file.write_text(json.dumps(told))
        assert "instances matched" in self_test(segmenter, bundle).faults[0]


@pytest.mark.slow
def test_a_golden_image_without_a_sure_instance_is_judged_by_its_features(
    trained: Job, tmp_path: Path, edge_seg: Callable[..., Any]
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, trained.image.shape, dtype=np.uint8)
    (made,) = make_bundles(unsure_golden(trained, noise), [find_recipe("cpu-int8")], tmp_path / "out")
    assert made.report["judged"] == "features"
    assert "features alone" in said(made.report)
    examined = edge_seg("doctor", made.folder)
    assert examined.returncode == 0, examined.stdout


def test_the_cpus_convolutions_compute_in_integers(
    bundles: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(bundles / "cpu-int8")
    open_engine(bundle, threads=1).close()
    assert "quantized" not in "".join(capfd.readouterr())
    monkeypatch.setattr(paddle_inference, "unheard", contextlib.nullcontext)
    open_engine(bundle, threads=1).close()  # paddle keeps the number for all that follows
    said = capfd.readouterr()
    # paddle says what each of its passes did, for each graph; the box head has no convolutions
    counts = [int(count) for count in re.findall(r"quantized (\d+) fused_conv2d ops \W", said.out + said.err)]
    assert [count > 0 for count in sorted(counts)] == [False, True, True]


@pytest.mark.slow
def test_the_same_images_give_the_same_bytes(trained: Job, bundles: Path, tmp_path: Path) -> None:
    make_bundles(trained, [find_recipe("arm-int8")], tmp_path / "again")
    assert open_bundle(tmp_path / "again").id == open_bundle(bundles / "arm-int8").id


def test_wrong_ranges_are_noticed(exported: Exported, programs: list[GraphProgram], bundles: Path) -> None:
    found = ranges(observe(programs, exported.referenced.job, exported.referenced.job.calibration.images()), "mse")
    wrong = {graph: {name: value * 0.5 for name, value in of.items()} for graph, of in found.items()}
    job = exported.referenced.job
    wrongly = [rewrite(program, Plan(8, wrong)) for program in programs]
    referenced = reference.refer(job, stepwise(Executor(wrongly), wrongly, job))
    with pytest.raises(ConversionError, match="differs from paddle"):
        examine(bundles / "x86-int8", open_bundle(bundles / "x86-int8").manifest, referenced)


def test_layers_in_float_are_left_alone(programs: list[GraphProgram]) -> None:
    trunk = programs[0]
    layer, entering = quantizable(trunk.content)[3]
    plan = Plan(16, {"trunk": {entering: 1.0}}, floats=(layer,))
    kept, taken = (rewrite(trunk, dataclasses.replace(plan, floats=floats)).content for floats in ((layer,), ()))
    assert b"fake_quantize" in taken
    assert b"fake_quantize" not in kept
    assert b"fake_quantize" not in spell_out(rewrite(trunk, dataclasses.replace(plan, floats=()))).content


def test_the_box_head_computes_with_integers(programs: list[GraphProgram]) -> None:
    box_head = programs[1]
    fc6, fc7, *_ = quantizable(box_head.content)
    reach = {fc6[1]: 2.0, fc7[1]: 4.0}
    made = rewrite(box_head, Plan(8, {"box_head": reach}))
    rng = np.random.default_rng(4)
    feed = {
        spec.name: rng.normal(size=spec.shape).astype(np.float32) if spec.name == "pooled" else np.ones(spec.shape, "f")
        for spec in box_head.inputs
    }
    leaving = [only(op.outputs, "Out") for op in ProgramEdit(made.content).block.ops if op.type == "mul"]
    _, watched = Executor([made]).watch("box_head", feed, leaving[:2])

    def entering(values: np.ndarray[Any, Any], most: float) -> np.ndarray[Any, Any]:
        return np.round(np.clip(values / most, -1, 1) * 127) * (most / 127)

    weights = [rounded(box_head.weights[f"{layer}.weight"], 8, 1) for layer, _ in (fc6, fc7)]
    first = entering(feed["pooled"].reshape(len(feed["pooled"]), -1), 2.0) @ weights[0]
    np.testing.assert_allclose(watched[leaving[0]], first, rtol=1e-3, atol=1e-3)
    second = entering(np.maximum(watched[leaving[0]] + box_head.weights[f"{fc6[0]}.bias"], 0), 4.0) @ weights[1]
    np.testing.assert_allclose(watched[leaving[1]], second, rtol=1e-3, atol=1e-3)


def test_the_fewest_that_suffice() -> None:
    for most in (1, 2, 7, 20):
        for enough in range(most + 1):
            assert fewest(most, lambda count, enough=enough: count >= enough) == enough  # type: ignore[misc]
        assert fewest(most, lambda count: False) is None


@pytest.mark.slow
def test_a_layer_that_hurts_is_found_and_kept_in_float(trained: Job, programs: list[GraphProgram], data: Path) -> None:
    images = trained.calibration.images().pixels
    plan = Plan(8, ranges(observe(programs, trained, trained.calibration.images()), "mse"))
    (culprit, entering), *_ = [pair for pair in quantizable(programs[0].content) if "res3a.branch2b" in pair[0]]
    spoilt = {**plan.ranges, "trunk": {**plan.ranges["trunk"], entering: 0.01}}
    plan = dataclasses.replace(plan, ranges=spoilt)
    val = load_split(data, "val")
    kept, measured = within(trained, programs, plan, images, val, 2.0)
    assert kept.floats == (culprit,)
    assert measured["lost_points"] <= 2.0 < measured["lost_points_all_int8"]


def test_a_run_far_from_its_data_asks_for_images(trained: Job, data: Path, tmp_path: Path) -> None:
    away = Source(CalibrationOptions(), "/nowhere/shapes", 128)
    with pytest.raises(RunError, match="isn't on this machine") as raised:
        away.images()
    assert "--calibration" in raised.value.remedy
    named = Source(CalibrationOptions(folder=data / "images", images=3, seed=5), "/nowhere/shapes", 128)
    assert named.images().described["images"] == 3
    assert named.images().described == named.images().described
    assert Source(CalibrationOptions(folder=data / "images"), None, 128).images().described["images"] == 16
    with pytest.raises(UsageError, match="without annotations"):
        named.validation()


def test_a_run_away_from_its_data_is_refused_before_anything_is_written(
    edge_seg: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    make_run(tmp_path / "run", data, 128)
    config = (tmp_path / "run" / "config.json").read_text()
    (tmp_path / "run" / "config.json").write_text(config.replace(str(data), "/nowhere/shapes"))
    done = edge_seg("convert", "run", "--recipe", "arm-int8", "--out", "out")
    assert done.returncode == 1
    assert "/nowhere/shapes" in done.stderr
    assert "--calibration DIR" in done.stderr
    assert not (tmp_path / "out").exists()


def test_opt_stores_integers(small: ExportedGraph, tmp_path: Path) -> None:
    sizes = {}
    for bits in (0, 8, 16):
        nb = tmp_path / f"{bits}.nb"
        opt.optimise(small.program, small.weights, "arm", nb, inputs=("image",), outputs=2, weight_bits=bits)
        sizes[bits] = nb.stat().st_size
    assert sizes[8] != sizes[0]


def test_half_precision_changes_the_program(small: ExportedGraph, tmp_path: Path) -> None:
    made = []
    for fp16 in (False, True):
        opt.optimise(small.program, small.weights, "arm", tmp_path / "a.nb", inputs=("image",), outputs=2, fp16=fp16)
        made.append((tmp_path / "a.nb").read_bytes())
    assert made[0] != made[1]


def test_recipes_are_listed(edge_seg: Callable[..., Any]) -> None:
    shown = edge_seg("recipes").stdout
    assert all(name in shown for name in ("arm-int8", "arm-opencl", "gpu-fp16", "calibration images"))
    assert edge_seg("recipes", "arm-int9").returncode == 2
