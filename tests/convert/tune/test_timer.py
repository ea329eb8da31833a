"""Time measured through the runner, and what a series of measurements is worth."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from convert.tune.timer import Clock, Visit, holds, quiet_ms, ratio
from edge_seg.bundle import open_bundle
from edge_seg.errors import EngineError


def visits(*ratios: float, confirming: bool = False) -> list[Visit]:
    return [Visit(10.0 + i, 11.0 + i, (10.0 + i) * value, 0.0, confirming) for i, value in enumerate(ratios)]


def test_a_bundle_is_measured_against_itself(tiny_bundles: Path) -> None:
    bundle = tiny_bundles / "onnx-fp32"
    golden = bundle / open_bundle(bundle).manifest.golden.image
    clock = Clock([golden], threads=1)
    visit = clock.visit(bundle, bundle, confirming=True)
    assert visit.reference_ms > 0
    assert visit.ms > 0
    assert visit.confirming
    assert visit.disturbed is not None
    assert 0 <= visit.disturbed < 1
    assert 1 / 3 < visit.ratio < 3  # the same bundle, however busy the machine
    assert Clock([golden], threads=2).read(bundle).disturbed is None


def test_a_bundle_that_cannot_run_is_an_error_with_the_runners_words(tiny_bundles: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundles / "onnx-fp32", tmp_path / "bundle"))
    golden = bundle / open_bundle(bundle).manifest.golden.image
    (bundle / "detect.onnx").write_bytes(b"no model")
    with pytest.raises(EngineError, match="altered or damaged"):
        Clock([golden], threads=1).read(bundle)


def test_what_counts_is_the_ratio() -> None:
    series = visits(0.5, 0.52, 0.9)  # one visit in which the machine was slow in between
    assert ratio(series) == pytest.approx(0.52)


def test_one_lucky_visit_is_not_the_quiet_machine() -> None:
    times = (10.0, 12.0, 12.1, 12.2, 14.0)
    assert quiet_ms([Visit(ms - 1, ms, ms, 0.0) for ms in times]) == pytest.approx(12.0)


def test_a_point_holds_when_both_series_agree_with_the_whole() -> None:
    assert holds(visits(0.50, 0.51) + visits(0.53, 0.52, 0.50, confirming=True), 0.1)
    assert not holds(visits(0.40, 0.41) + visits(0.53, 0.52, 0.50, confirming=True), 0.1)
    assert not holds(visits(0.50, 0.51), 0.1)  # never measured again
