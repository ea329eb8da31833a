"""Time measured through the runner."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from convert.tune.timer import Pair, Timer, quiet_ms
from edge_seg.bundle import open_bundle
from edge_seg.errors import EngineError


@pytest.mark.slow
def test_a_bundle_is_measured_against_itself(tiny_bundles: Path) -> None:
    bundle = tiny_bundles / "onnx-fp32"
    golden = bundle / open_bundle(bundle).manifest.golden.image
    pair = Timer([golden], threads=1).pair(bundle, bundle)
    assert pair.reference_ms > 0
    assert pair.ms > 0
    assert pair.disturbed is not None
    assert 0 <= pair.disturbed < 1
    assert 1 / 3 < pair.ratio < 3  # the same bundle, however busy the machine
    assert Timer([golden], threads=2).read(bundle).disturbed is None


def test_a_bundle_that_cannot_run_is_an_error_with_the_runners_words(tiny_bundles: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundles / "onnx-fp32", tmp_path / "bundle"))
    golden = bundle / open_bundle(bundle).manifest.golden.image
    (bundle / "detect.onnx").write_bytes(b"no model")
    with pytest.raises(EngineError, match="altered or damaged"):
        Timer([golden], threads=1).read(bundle)


def test_one_lucky_measurement_is_not_the_quiet_machine() -> None:
    times = (10.0, 12.0, 12.1, 12.2, 14.0)
    assert quiet_ms([Pair(ms - 1, ms, ms, 0.0) for ms in times]) == pytest.approx(12.0)
