"""The doctor's word against what happens: what it calls fine runs and computes, what it calls broken doesn't."""

from __future__ import annotations

import multiprocessing
import os
import shlex
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from convert.doctor.model import Options, examine_model
from edge_seg.doctor.report import Report
from tests.conftest import ROOT
from tests.convert.doctor import samples, samples_more  # noqa: F401 - they enter their samples
from tests.convert.doctor.sample import SAMPLES
from tests.convert.doctor.truth import Truth, by_runner, judged

pytestmark = pytest.mark.slow

# What is broken on x86, and a word that the report must hold: the operator, or what else is to blame.
BROKEN = {
    "conv_nhwc": "NHWC",
    "conv_3d": "conv3d",
    "conv_transpose_depthwise": "depthwise_conv2d_transpose",
    "deformable_conv_v1": "deformable_conv_v1",
    "pool_3d": "pool3d",
    "interp_bicubic": "bicubic_interp_v2",
    "interp_linear": "linear_interp_v2",
    "affine_grid": "affine_grid",
    "pixel_unshuffle": "pixel_unshuffle",
    "act_relu6": "threshold",
    "act_swish": "beta",
    "act_selu": "selu",
    "act_celu": "celu",
    "act_hardtanh": "brelu",
    "unary_abs": "abs",
    "unary_sign": "sign",
    "unary_tan": "tan",
    "unary_ceil": "ceil",
    "unary_isnan": "isnan_v2",
    "unary_log1p": "log1p",
    "unary_lgamma": "lgamma",
    "power": "begins with pow",
    "flatten": "flatten_contiguous_range",
    "flatten_linear": "flatten_contiguous_range",
    "expand_as": "expand_as_v2",
    "repeat": "repeat_interleave",
    "top_k_smallest": "largest=False",
    "arg_min": "arg_min",
    "scatter": "scatter",
    "take_along_axis": "take_along_axis",
    "modulo": "elementwise_mod",
    "fmax": "elementwise_fmax",
    "compare_bool": "is bool",
    "where": "without dimensions",
    "masked_select": "masked_select",
    "matmul_crosswise": "matmul_v2",
    "bmm": "bmm",
    "einsum": "einsum",
    "instance_norm": "SavedMean",
    "reduce_logsumexp": "logsumexp",
    "reduce_std": "size",
    "cumprod": "cumprod",
    "cast_half": "cast",
    "cast_double": "cast",
    "fft": "fft_r2c",
    "simple_rnn": "RNN_TANH",
    "roi_pool": "roi_pool",
    "nms": "nms",
    "no_weights": "weights",
    "whole_only": "weights",
    "input_double": "cast",
    "branches": "without dimensions",
    "eye": "eye",
    "act_tanhshrink": "tanh_shrink",
    "act_log_sigmoid": "logsigmoid",
    "unary_expm1": "expm1",
    "scalar_compared": "without dimensions",
    "scalar_power": "without dimensions",
    "sum_all": "begins with reduce_sum",
    "whole_sum": "begins with reduce_sum",
    "reduce_all": "reduce_all",
    "norm_1": "begins with p_norm",
    "arg_max_all": "[9] instead of []",
    "layer_norm_plain": "begins with layer_norm",
    "local_response_norm": "pool3d",
    "conv_abs": "abs",
    "conv_swish": "beta",
    "matmul_repeated": "expand both to the same batch",
    "matmul_ranks": "expand both to the same batch",
    "flatten_middle": "flatten_contiguous_range",
    "slice_reversed": "begins with strided_slice",
    "set_value": "begins with set_value",
    "pad_with_ones": "begins with pad3d",
    "cast_short": "cast",
    "dropout_large": "begins with softmax",
    "constant_double": "cast",
    "constant_bool": "begins with expand_v2",
    "input_half": "type",
    "lstm_states": "begins with rnn",
    "complex": "complex",
}
# What runs, but not always, and the warning that says so.
WARNED = {
    "top_k_open": "few-candidates",
    "roi_head": "zero-rows",
    "nms_head": "zero-boxes",
    "nms_head_with_fake_box": "zero-boxes",
    "fpn_open": "size",
    "tanh_of_channels": "large-values",
    "floor_division": "floor-division",
    "softmax": "large-values",  # the kernel for x86, over channels
    "act_log_softmax": "large-values",
    "fpn_open_high": "size",
}
# For Arm, only what this machine can tell: kernels for x86 prove nothing, code that both have does.
ARM = {
    "conv": "fine",
    "roi_align": "fine",
    "generate_proposals": "fine",
    "reduce_mean": "fine",
    "act_softsign": "broken",  # a kernel for x86 only
    "act_relu6": "broken",
    "flatten": "broken",
    "where": "broken",
    "cast_half": "broken",
    "compare_bool": "broken",
    "top_k_smallest": "broken",
    "einsum": "broken",
    "bmm": "broken",
    "no_weights": "broken",
    "scatter": "unproven",  # a kernel for Arm only
    "affine_grid": "unproven",
    "conv_transpose_depthwise": "unproven",
    "flatten_linear": "unproven",  # opt for x86 dies, opt for Arm doesn't
    "modulo": "unproven",
    "unary_abs": "unproven",
    "power": "unproven",
    "matmul_crosswise": "unproven",
}
# As `edge-seg doctor --runner` takes it, and the target that it runs: the whole matrix on Arm, where there is such.
RUNNER = tuple(shlex.split(os.environ.get("EDGE_SEG_GRAPH_RUNNER", "")))
RUNNER_TARGET = os.environ.get("EDGE_SEG_GRAPH_TARGET", "arm")
Judged = dict[str, tuple[Truth, Report, Report | None]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all samples have been exported to."""
    folder = tmp_path_factory.mktemp("samples")
    export = [sys.executable, "-m", "tests.convert.doctor.export", str(folder)]
    subprocess.run(export, cwd=ROOT, check=True, capture_output=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Judged:
    """Truth and reports of all samples, by two processes."""
    names = list(SAMPLES)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = [pool.submit(judged, folder, names[part::2], set(ARM)) for part in range(2)]
        return {name: judgement for part in parts for name, judgement in part.result().items()}


def text(report: Report) -> str:
    return " ".join(f"{finding.message} {finding.remedy}" for finding in report.findings if finding.level == "error")


def test_there_are_many_samples_of_both_kinds() -> None:
    assert len(SAMPLES) >= 200
    assert 20 <= len(BROKEN) <= len(SAMPLES) - 20
    assert {*BROKEN, *WARNED, *ARM} <= SAMPLES.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_the_verdict_is_what_happens(found: Judged, name: str) -> None:
    truth, report, _ = found[name]
    assert report.verdict == ("fine" if truth["run"] == "works" else "broken"), f"{truth}\n{report}"
    assert (name in BROKEN) == (truth["run"] != "works")


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named_with_a_remedy(found: Judged, name: str) -> None:
    report = found[name][1]
    assert BROKEN[name] in text(report), str(report)
    assert all(finding.remedy for finding in report.findings if finding.level == "error")


@pytest.mark.parametrize("name", sorted(SAMPLES.keys() - BROKEN.keys()))
def test_warnings_are_for_those_that_need_them(found: Judged, name: str) -> None:
    report = found[name][1]
    codes = [finding.code for finding in report.findings if finding.level == "warning"]
    assert codes == ([WARNED[name]] if name in WARNED else []), str(report)


@pytest.mark.parametrize("name", ARM)
def test_arm_is_judged_by_what_can_be_known_here(found: Judged, name: str) -> None:
    truth, _, report = found[name]
    assert report is not None
    assert report.verdict == ARM[name], f"{truth}\n{report}"
    if truth["arm"] == "dies":
        assert report.verdict == "broken"
    if report.verdict == "fine":
        assert truth["run"] == "works"


@pytest.mark.skipif(not RUNNER, reason="EDGE_SEG_GRAPH_RUNNER names no command that runs graphs on another machine")
@pytest.mark.parametrize("name", SAMPLES)
def test_a_runner_bears_the_word_out(folder: Path, name: str) -> None:
    truth = by_runner(folder, name, RUNNER_TARGET, RUNNER)
    report = examine_model(folder / f"{name}.pdmodel", Options(RUNNER_TARGET, runner=RUNNER))
    assert report.verdict == ("fine" if truth == "works" else "broken"), f"{truth}\n{report}"
