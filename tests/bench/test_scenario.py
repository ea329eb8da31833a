"""How often, for how long, on which cores, and when the warm-up is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.measure import Settings, measure
from bench.scenario import choose_cores, choose_strata, plan_runs, stratum, warm_runs
from edge_seg.errors import UsageError
from edge_seg.records.machine import Machine
from edge_seg.records.record import Record, Sample

ROCK = Machine(
    cores=8, allowed_cores="0-7", core_speeds={f"cpu{n}": 1_800_000 if n < 4 else 2_400_000 - n // 6 for n in range(8)}
)


def samples(*milliseconds: float) -> list[Sample]:
    return [Sample(0, n, 1, {"detect": round(ms * 1e6), "nms": 0, "mask": 0}) for n, ms in enumerate(milliseconds)]


def test_runs_of_each_mode() -> None:
    assert plan_runs(Settings(repeats=7), 1.0).repeats == 7
    assert plan_runs(Settings(repeats=7), 1.0).warmup == 5
    slow, quick = plan_runs(Settings(), 2.0), plan_runs(Settings(), 0.001)
    assert slow.repeats - slow.warm == 64
    assert (quick.repeats - quick.warm) * 0.001 >= 10
    assert plan_runs(Settings(runs=1024), 2.0).repeats - slow.warm == 1024
    assert plan_runs(Settings(mode="sustained", seconds=60), 0.1).repeats * 0.1 >= 60
    assert plan_runs(Settings(warmup=3), 1.0).warm == 0
    assert plan_runs(Settings(), 1e-9).repeats == 100_000


@pytest.mark.parametrize(
    ("times", "warm"),
    [
        ([10] * 40, 0),
        ([20, 16, 13, 12, 11] + [10] * 40, 2),
        ([100, 90, 80, 70, 60, 50, 40, 30, 20, 15] + [10] * 40, 8),
        ([1000 - 50 * n for n in range(20)] + [10] * 40, 20),
        ([10], 0),
        ([20, 10, 10], 0),
    ],
)
def test_the_warm_up_ends_when_the_median_is_steady(times: list[float], warm: int) -> None:
    found = warm_runs(samples(*times), 20)
    assert abs(found - warm) <= 2
    assert found < len(times)


def test_cores() -> None:
    assert choose_cores("big", ROCK) == (4, 5, 6, 7)
    assert choose_cores("little", ROCK) == (0, 1, 2, 3)
    assert choose_cores("0-1,6", ROCK) == (0, 1, 6)
    for words, machine in (("big", Machine(core_speeds={"cpu0": 1, "cpu1": 1})), ("little", Machine())):
        with pytest.raises(UsageError, match=f"--cores {words}"):
            choose_cores(words, machine)
    for words in ("", "a", "3-", "8", "0-99999999"):
        with pytest.raises(UsageError):
            choose_cores(words, ROCK)


def test_strata() -> None:
    assert [stratum(n) for n in (0, 3, 4, 10, 11)] == ["few", "few", "some", "some", "many"]
    objects = {f"{n}.jpg": n for n in range(30)}
    assert choose_strata(objects, 2) == ["0.jpg", "3.jpg", "4.jpg", "10.jpg", "11.jpg", "29.jpg"]
    assert choose_strata({"a": 1}, 5) == ["a"]
    assert choose_strata({"a": 1, "b": 50}, 1) == ["a", "b"]


def test_full_mode_takes_64_runs_that_count(fake_target: Any, bundle_path: Path) -> None:
    (record,) = measure(fake_target(), [bundle_path], Settings(threads=(1,), seconds=0.1))
    assert isinstance(record, Record)
    assert record.scenario.mode == "full"
    assert record.model_ms().runs >= 64
    assert record.model_ms().p90 is not None
    assert record.warm == (0,)
    assert all(sample.start_ns is not None for sample in record.samples)
