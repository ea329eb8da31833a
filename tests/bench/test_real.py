"""Real bundles on this machine, by the command as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_seg.records.record import STAGES, TOTAL, read


@pytest.mark.slow
def test_from_bundles_to_the_table(edge_seg: Callable[..., Any], tiny_bundles: Path, tmp_path: Path) -> None:
    bundles = [tiny_bundles / name for name in ("x86-fp32", "cpu-fp32", "arm-fp32")]
    options = ["--instances", "5", "--warmup", "1", "--repeat", "3", "--threads", "1", "--json"]
    done = edge_seg("bench", "run", *bundles, *options)
    assert done.returncode == 1, "an Arm bundle can't run here"
    told = json.loads(done.stdout)
    assert {failed["code"] for failed in told["failed"]} == {"target-mismatch"}
    assert {Path(failed["bundle"]).name for failed in told["failed"]} == {"arm-fp32"}

    records, bad = read(tmp_path / "records.jsonl")
    assert bad == []
    assert [record.id for record in records] == [record["id"] for record in told["records"]]
    scenarios = [(record.bundle.recipe, record.scenario.instances) for record in records]
    assert scenarios == [("x86-fp32", 5), ("cpu-fp32", 5)]
    for record in records:
        assert record.self_test is not None
        assert record.self_test["passed"]
        assert len(record.samples) == 3
        assert record.verdict.status == "degraded", "three samples are too few"
        for sample in record.samples:
            assert sample.instances == record.scenario.instances
            assert sum(sample.ns[stage] for stage in STAGES) <= sample.ns[TOTAL]
            assert sample.ns["detect"] > sample.ns["nms"]

    table = edge_seg("bench", "table", "records.jsonl")
    assert table.returncode == 0
    assert "MaskRCNN-Tiny-FPN<br>128x128, 5 objects in image.png, random weights" in table.stdout
    assert "is degraded: 3 samples an image" in table.stdout
