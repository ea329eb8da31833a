"""Comparing, gating, showing, importing and exporting."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_seg.cli import main
from edge_seg.records.record import Record, Verdict, append, read

NULL_RUNNER = (sys.executable, "-m", "edge_seg.runtime.runner", "--engine", "null")
Make = Callable[..., Record]
Call = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*words: object) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = main(["bench", *map(str, words)])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out.startswith(("{", "[")) else out, err

    return run


def scaled(record: Record, factor: float, **changes: Any) -> Record:
    draw = random.Random(factor)

    def one(ns: dict[str, int]) -> dict[str, int]:
        noise = draw.uniform(0.99, 1.01)
        times = {stage: round(value * factor * noise) for stage, value in ns.items() if stage != "total"}
        return {**times, "total": sum(times.values())}

    samples = tuple(dataclasses.replace(sample, ns=one(sample.ns)) for sample in record.samples)
    return dataclasses.replace(record, samples=samples, id="", **changes)


def written(path: Path, *records: Record) -> Path:
    for record in records:
        append(path, record)
    return path


def test_records_are_compared_with_an_interval(call: Call, make_record: Make, tmp_path: Path) -> None:
    before = written(tmp_path / "before", make_record())
    after = written(tmp_path / "after", scaled(make_record(), 1.2))
    code, told, _ = call("compare", before, after, "--json")
    assert code == 0
    (found,) = told["comparisons"]
    assert found["ratio"]["low"] < 1.2 < found["ratio"]["high"] * 1.001
    assert found["words"] == "slower"
    assert not found["paired"]
    _, text, _ = call("compare", before, before)
    assert "no difference shown" in text


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("threads", {"scenario__threads": 1}),
        ("recipe", {"bundle__recipe": "x86-fp32"}),
        ("size", {"bundle__size": (640, 640)}),
        ("objects", {"scenario__instances": 20}),
        ("model", {"bundle__model": "mask_rcnn_r50_fpn"}),
        ("machine", {"machine__identity": "other"}),
        ("cores", {"scenario__cores": (0,)}),
        ("emulated", {"target": "emulated:cortex-a72"}),
    ],
)
def test_what_is_not_comparable_is_named(
    call: Call, make_record: Make, tmp_path: Path, field: str, changes: dict[str, Any]
) -> None:
    first, second = written(tmp_path / "a", make_record()), written(tmp_path / "b", make_record(**changes))
    code, told, _ = call("compare", first, second, "--json")
    assert code == 1
    assert told["error"]["code"] == "not-comparable"
    assert field in told["error"]["message"]
    code, told, _ = call("compare", first, second, "--json", "--across", field)
    assert code == 0
    assert len(told["comparisons"]) == 1
    assert call("compare", first, second, "--across", "colour")[0] == 2


def test_one_record_is_chosen_by_its_id(call: Call, make_record: Make, tmp_path: Path) -> None:
    one, two = make_record(), make_record(scenario__threads=1)
    path = written(tmp_path / "r", one, two)
    code, told, _ = call("compare", f"{path}#{one.id}", f"{path}#{two.id}", "--across", "threads", "--json")
    assert code == 0
    assert one.id in told["comparisons"][0]["first"]
    assert call("compare", f"{path}#nothing", path)[0] == 2


def test_a_gate(call: Call, make_record: Make, tmp_path: Path) -> None:
    baseline = written(tmp_path / "baseline", make_record())
    good, bad = written(tmp_path / "good", scaled(make_record(), 1.02)), scaled(make_record(), 1.2)
    assert call("gate", good, "--baseline", baseline)[0] == 0
    code, told, err = call("gate", written(tmp_path / "bad", bad), "--baseline", baseline, "--json")
    assert (code, told["passed"]) == (1, False)
    assert "Too slow" in err
    assert call("gate", tmp_path / "bad", "--baseline", baseline, "--max-ratio", "1.5")[0] == 0
    unsure = written(tmp_path / "unsure", scaled(make_record(), 1.0, verdict=Verdict("degraded")))
    assert call("gate", unsure, "--baseline", baseline)[0] == 1
    assert call("gate", unsure, "--baseline", baseline, "--allow-degraded")[0] == 0
    other = written(tmp_path / "other", make_record(scenario__threads=9))
    code, _, err = call("gate", other, "--baseline", baseline)
    assert code == 1
    assert "threads" in err


def test_records_of_others_are_added_once(call: Call, make_record: Make, tmp_path: Path) -> None:
    mine, theirs = make_record(), make_record(scenario__threads=1)
    out = written(tmp_path / "mine", mine)
    elsewhere = written(tmp_path / "theirs", theirs, mine)
    with elsewhere.open("a") as file:
        file.write(theirs.line().replace('"threads":1', '"threads":2'))
    code, told, err = call("import", elsewhere, "--out", out, "--json")
    assert code == 1, "a line was altered"
    assert told["imported"] == [theirs.id]
    assert "was altered" in err
    assert read(out) == ([mine, theirs], [])
    assert call("import", out, "--out", out)[0] == 2


def test_show(call: Call, make_record: Make, tmp_path: Path) -> None:
    records = [make_record(), make_record(scenario__threads=1)]
    path = written(tmp_path / "r", *records)
    _, text, _ = call("show", path)
    assert [line[:12] for line in text.splitlines()] == [record.id for record in records]
    _, text, _ = call("show", path, records[0].id[:6])
    assert "model time" in text
    assert "temperature: 55 to 55 °C" in text
    assert call("show", path, "nothing")[0] == 2


def test_export(call: Call, make_record: Make, tmp_path: Path) -> None:
    record = make_record()
    path = written(tmp_path / "r", record)
    _, text, _ = call("export", path)
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["id"], row["model_ms"], row["end_to_end_ms"]) == (record.id, "10.0", "13.0")
    _, rows, _ = call("export", path, "--samples", "--format", "json")
    assert len(rows) == 30
    assert rows[0]["detect_ms"] == 8.0
    assert call("export", path, "--out", path)[0] == 2


def test_bundles_are_measured_in_turns(
    call: Call, bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.compare.PAUSE_S", 0.0)
    config = tmp_path / "config"
    (config / "edge-seg").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config))
    boards = {"here": {"target": "local", "runner": [*NULL_RUNNER]}}
    (config / "edge-seg" / "boards.json").write_text(json.dumps({"schema": 1, "boards": boards}))
    code, told, err = call("compare", bundle_path, bundle_path, "--on", "here", "--rounds", "5", "--json")
    assert code == 0, err
    (found,) = told["comparisons"]
    assert found["paired"]
    assert 0 < found["ratio"]["low"] <= found["ratio"]["value"] <= found["ratio"]["high"]
    assert call("compare", bundle_path, tmp_path / "no file")[0] == 2


def test_named_boards(
    call: Call, bundle_path: Path, fake_target: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several at once; one that is lost costs only its own."""
    monkeypatch.setattr("edge_seg.records.board_state.INTERVAL_S", 0.05)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "edge-seg" / "boards.json"
    file.parent.mkdir()
    boards = {
        "one": {"target": "local", "runner": list(fake_target().runner)},
        "two": {"target": "local", "runner": list(fake_target("killed").runner)},
        "away": {"target": "ssh://127.0.0.1:1"},
    }
    file.write_text(json.dumps({"schema": 1, "boards": boards}))
    out = tmp_path / "records.jsonl"
    words = ("run", bundle_path, "--repeat", "10", "--out", out, "--json")
    code, told, _ = call(*words, "--on", "one,two", "--on", "away")
    assert code == 1
    assert [record["on"] for record in told["records"]] == ["one"]
    assert {failure["on"]: failure["code"] for failure in told["failed"]} == {
        "two": "runner-died",
        "away": "unreachable",
    }
    (record,) = read(out)[0]
    assert (record.board, record.target) == ("one", "local")
    code, told, _ = call(*words, "--on", "three")
    assert code == 2
    assert "away, one, two" in told["error"]["remedy"]
    code, _, err = call("run", bundle_path, "--target", "local")
    assert code == 2
    assert "--on" in err
    for broken in ("[1]", '{"boards": {"x": {}}}', "{", '{"boards": {"x": {"target": "local", "runner": [1]}}}'):
        file.write_text(broken)
        code, told, _ = call(*words, "--on", "x")
        assert code == 2, broken
        assert "boards.json" in told["error"]["message"]
