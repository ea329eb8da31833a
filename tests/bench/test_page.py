"""The page of ``bench report``, looked at in a browser: three devices, the repository's own records, and none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.matrix import as_json, make_matrix
from bench.page import make_page
from edge_seg.records.board_state import BoardState
from edge_seg.records.machine import Machine
from edge_seg.records.record import STAGES, TOTAL, BadLine, Ending, Reason, Record, Sample, Verdict, read
from tests.pages.browser import Browser

ROOT = Path(__file__).parents[2]
Make = Callable[..., Record]
DEVICES = {
    "Raspberry Pi 5 <script>": 1.0,
    "RK3588": 0.8,
    "Some x86 machine": 0.3,
}
MODELS = {"mask_rcnn_r50_fpn": 2.0, "mask_rcnn_r18_fpn": 1.0, "mask_rcnn_hrnet_fpn": 2.4}
RECIPES = {"arm-fp32": 1.0, "arm-fp16": 0.6, "arm-int8": 0.5}


def samples(base_ms: float, runs: int, objects: int, seed: int, inner: bool = False) -> tuple[Sample, ...]:
    generator = np.random.default_rng(seed)
    found = []
    for repeat in range(runs):
        parts = np.array([0.05, 0.6, 0.02, 0.03 * objects, 0.05]) * base_ms * 1e6 * generator.normal(1, 0.01)
        ns = {stage: int(part) for stage, part in zip(STAGES, parts, strict=True)}
        shares = {"trunk": 0.72, "proposals": 0.04, "roi_align": 0.06, "box_head": 0.17}
        more = {part: int(share * ns["detect"]) for part, share in shares.items()} if inner else {}
        more.update({"mask_head": int(0.95 * ns["mask"])} if inner else {})
        found.append(Sample(0, repeat, objects, {**ns, **more, TOTAL: sum(ns.values()) + 1000}))
    return tuple(found)


def states(seconds: int) -> tuple[BoardState, ...]:
    return tuple(
        BoardState(
            uptime_s=100.0 + second,
            temperature_c={"thermal_zone0 cpu": 48 + second / 2},
            frequency_khz={"cpu0": 2_400_000, "cpu3": 2_400_000 - 10_000 * second},
        )
        for second in range(seconds)
    )


def many(make: Make) -> Iterator[Record]:
    """Three devices, models and recipes; on the first device also several objects and threads."""
    everywhere: tuple[int, ...] | None = None
    cases = [(d, m, r, 4, 10, everywhere) for d in DEVICES for m in MODELS for r in RECIPES]
    first = next(iter(DEVICES))
    cases += [(first, "mask_rcnn_r18_fpn", "arm-fp32", threads, 10, everywhere) for threads in (1, 2)]
    cases += [(first, "mask_rcnn_r18_fpn", "arm-fp32", 4, objects, everywhere) for objects in (1, 20)]
    cases += [(first, "mask_rcnn_r18_fpn", "arm-fp32", 2, 10, (0, 1))]
    for seed, (device, model, recipe, threads, objects, cores) in enumerate(cases):
        base = 400 * DEVICES[device] * MODELS[model] * RECIPES[recipe] * (4 / threads) ** 0.7
        metrics = {"box_map": 0.39, "mask_map": 0.30 + MODELS[model] / 40}
        verdict = Verdict("valid")
        if recipe == "arm-int8" and device == first:
            verdict = Verdict("degraded", (Reason("hot", "84 °C, 1 °C under the <limit>", "cool it"),))
        yield make(
            time=f"2026-11-{1 + seed % 28:02}T03:04:05+00:00",
            machine=Machine(arch="aarch64", board=device, cpu="4x Cortex-A76", cores=4, memory_bytes=8 << 30),
            bundle__model=model,
            bundle__recipe=recipe,
            bundle__precision=recipe[4:],
            bundle__source={"metrics": metrics, "weights_sha256": model},
            scenario__threads=threads,
            scenario__instances=objects,
            scenario__cores=cores,
            samples=samples(base, 64, objects, seed, inner=model == "mask_rcnn_r18_fpn"),
            before=(),
            during=states(20),
            after=(),
            verdict=verdict,
            memory={"load_bytes": 95_000_000, "peak_bytes": 404_000_000},
        )


@pytest.mark.slow
def test_three_devices_models_and_recipes(make_record: Make, browser: Browser, tmp_path: Path) -> None:
    records = list(many(make_record))
    bad = [BadLine(tmp_path / "r.jsonl", 7, "not JSON: <b>")]
    make_page(records, bad, "edge-seg bench report records.jsonl --html page.html").write(tmp_path / "page.html")

    seen = browser.look(tmp_path / "page.html", tmp_path / "screenshots")[0]

    matrix = make_matrix(records)
    assert (len(matrix.devices), len(matrix.cells)) == (3, 3 * 9 + 2)
    assert "of 29 cells of the matrix are valid" in seen.answer
    assert "The fastest: ResNet18-FPN arm-int8 on Some x86 machine" in seen.answer
    assert "1 line could not be read" in seen.sections["matrix"]
    assert list(seen.sections) == [
        "matrix", "raspberry-pi-5-script", "rk3588", "some-x86-machine", "all-records", "accuracy-against-latency",
    ]  # fmt: skip
    pi = seen.sections["raspberry-pi-5-script"]
    assert "Model time against objects" in pi
    assert "Model time against threads" in pi
    assert "Model time against cores" in pi
    assert "The parts of the model's time" in pi
    assert "box head" in pi
    fastest = make_matrix(records).cells
    interval = next(iter(fastest.values())).model_interval()
    assert interval.low <= interval.value <= interval.high
    assert f"{interval.low:.0f}" in seen.sections["matrix"]
    assert "more at its peak" in pi
    assert "404" in pi.split("Memory")[1].split("n =")[0]
    assert "The device meanwhile" in pi
    assert "model time against objects (--instances 1,5,20)" in seen.sections["rk3588"]
    assert "84 °C, 1 °C under the <limit>: cool it" in seen.sections["all-records"]


def test_own_records(browser: Browser, tmp_path: Path) -> None:
    records, bad = read(ROOT / "docs" / "records.jsonl")
    make_page(records, bad).write(tmp_path / "page.html")

    seen = browser.look(tmp_path / "page.html", tmp_path / "screenshots")[0]

    for record in records:
        median = record.model_ms().median
        assert f"{median:.1f}"[:4] in seen.sections["matrix"] or f"{median:.0f}" in seen.sections["matrix"]
        assert record.id in seen.sections["all-records"]


def test_no_record(browser: Browser, tmp_path: Path) -> None:
    make_page([]).write(tmp_path / "page.html")

    seen = browser.look(tmp_path / "page.html", tmp_path / "screenshots")[0]

    assert "No records" in seen.answer
    assert "edge-seg bench run BUNDLE --out FILE" in seen.sections["matrix"]


def test_a_degraded_record_gives_way_to_an_older_valid_one(make_record: Make) -> None:
    degraded = make_record(time="2026-02-01T00:00:00+00:00", verdict=Verdict("degraded"))
    valid = make_record(time="2026-01-01T00:00:00+00:00")

    assert list(make_matrix([valid, degraded]).cells.values()) == [valid]


def test_of_valid_records_the_newest_counts_then_the_fastest_number_of_threads(make_record: Make) -> None:
    old = make_record(time="2026-01-01T00:00:00+00:00", samples=samples(1, 30, 5, 0))
    new = make_record(time="2026-01-02T00:00:00+00:00", samples=samples(9, 30, 5, 0))
    other = make_record(scenario__threads=1, samples=samples(5, 30, 5, 0))

    assert list(make_matrix([old, new]).cells.values()) == [new]
    assert list(make_matrix([old, new, other]).cells.values()) == [other]


def test_devices_of_one_name_stay_apart(make_record: Make) -> None:
    machine = make_record().machine
    records = [make_record(), make_record(machine=dataclasses.replace(machine, identity="12345678"))]

    assert make_matrix(records).devices == ("Some CPU (no. 1)", "Some CPU (no. 2)")


def test_runs_stand_beside_the_device_s_state_where_both_tell_the_time(
    make_record: Make, browser: Browser, tmp_path: Path
) -> None:
    runs = samples(10, 40, 5, 0)
    timed = tuple(dataclasses.replace(s, start_ns=int(102e9) + n * 10**8) for n, s in enumerate(runs))
    whole = make_record(samples=timed, before=(), after=(), during=states(10), warm=(10,))
    broken = make_record(
        samples=runs[:20],
        before=(),
        after=(),
        during=states(10),
        ended=Ending("lost", "the <board> was lost"),
        time="2024-01-01",
    )
    make_page([whole, broken]).write(tmp_path / "page.html")

    seen = browser.look(tmp_path / "page.html", tmp_path / "screenshots")[0]

    device = seen.sections["some-cpu"]
    assert "warming up, not counted" in device
    assert "n = 40 runs, 10 snapshots" in device
    assert "The device meanwhile" not in device
    assert "ended early: the <board> was lost" in seen.sections["all-records"]


def test_json_has_the_page_s_numbers(make_record: Make) -> None:
    value: dict[str, Any] = as_json([make_record()])

    assert value["devices"] == ["Some CPU"]
    assert value["cells"][0]["model_ms"]["median"] == 10.0
    assert value["cells"][0]["end_to_end_ms"]["median"] == 13.0
    assert value["cells"][0]["mask_map"] == 0.587
    assert value["cells"][0]["verdict"] == "valid"
