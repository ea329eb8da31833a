"""The speed table: what fills a cell and what never does, and what stands beside it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.cost import Cost
from bench.table import Row, as_json_value, make_table, markdown
from edge_seg.cli import main
from edge_seg.records.board_state import BoardState
from edge_seg.records.machine import Machine
from edge_seg.records.record import Reason, Record, Verdict, append
from edge_seg.zoo import ZOO

Make = Callable[..., Record]
DEGRADED = Verdict("degraded", (Reason("load-before", "other programs used 1.3 cores before the start", "wait"),))
PI = Machine(arch="aarch64", cpu="4x Cortex-A76", board="Raspberry Pi 5", cores=4)


def measured(*records: Record) -> list[Row]:
    return [row for row in make_table(records).rows if not row.cited]


def the_row(*records: Record) -> Row:
    (row,) = measured(*records)
    return row


def test_without_records_the_published_figures_stand_as_cited() -> None:
    table = make_table([])
    assert [row.model for row in table.rows] == [model.name for model in ZOO.values() if model.published]
    for row in table.rows:
        published = ZOO[row.model].published
        assert published is not None
        assert row.cited
        assert row.cells["map"].lines == (f"{published.box_map} / {published.mask_map}",)
        assert published.source in (row.cells["size"].note or "")
        assert row.cells["arm"].lines == ()
        assert row.cells["arm"].note


def test_a_valid_record_fills_its_cell_with_both_clocks_and_its_id(make_record: Make) -> None:
    record = make_record()
    row = the_row(record)
    (line,) = row.cells["x86"].lines
    assert line == "Some CPU, `cpu-fp32`, 2 threads: 10.0 ± 0.0 ms / 13.0 ± 0.0 ms"
    assert row.cells["map"].lines == ("61.2 / 58.7",)
    assert row.cells["size"].lines == ("125.6 MB `cpu-fp32`",)
    for column, words in (("gpu", "no record from a GPU"), ("arm", "no record from an Arm board")):
        note = row.cells[column].note
        assert note is not None
        assert words in note
        assert "edge-seg bench run" in note, "what would fill it"


def test_a_board_fills_the_arm_cell(make_record: Make) -> None:
    record = make_record(machine=PI, bundle__recipe="arm-fp32", bundle__target="arm")
    cells = the_row(record).cells
    assert cells["arm"].records == (record,)
    assert cells["x86"].lines == ()


def test_a_gpu_bundle_fills_the_gpu_cell(make_record: Make) -> None:
    assert the_row(make_record(bundle__target="gpu")).cells["gpu"].lines


def test_degraded_and_emulated_records_fill_nothing(make_record: Make) -> None:
    degraded = make_record(verdict=DEGRADED)
    cell = the_row(degraded).cells["x86"]
    assert cell.lines == ()
    assert cell.note == (
        "no valid record: Some CPU, `cpu-fp32`, is degraded: other programs used 1.3 cores before the start (wait)"
    )
    (line,) = next(r for r in make_table([degraded], show_degraded=True).rows if not r.cited).cells["x86"].lines
    assert line.endswith("(degraded: load-before)")
    emulated = make_record(machine=PI, verdict=Verdict("emulated", (Reason("emulated", "an emulated CPU", "a board"),)))
    assert "is emulated" in (the_row(emulated).cells["arm"].note or "")


def test_the_newest_valid_record_counts(make_record: Make) -> None:
    old = make_record(time="2025-01-01T00:00:00+00:00")
    new = make_record(time="2025-01-03T00:00:00+00:00")
    newer_but_degraded = make_record(time="2025-01-04T00:00:00+00:00", verdict=DEGRADED)
    assert the_row(new, old, newer_but_degraded).cells["x86"].records == (new,)


def test_the_fastest_number_of_threads_stands_for_each_recipe_and_machine(make_record: Make) -> None:
    def slower(record: Record, factor: int) -> list[Any]:
        return [
            type(s)(s.image, s.repeat, s.instances, {k: v * factor for k, v in s.ns.items()}) for s in record.samples
        ]

    two = make_record()
    one = make_record(scenario__threads=1, samples=tuple(slower(two, 2)))
    lite = make_record(bundle__recipe="x86-fp32", bundle__target="x86", samples=tuple(slower(two, 4)))
    elsewhere = make_record(machine=Machine(arch="x86_64", cpu="Other CPU", cores=8))
    cell = the_row(lite, one, two, elsewhere).cells["x86"]
    assert {record.id for record in cell.records} == {two.id, lite.id, elsewhere.id}
    assert [line.partition(":")[0] for line in cell.lines] == [
        "Other CPU, `cpu-fp32`, 2 threads",
        "Some CPU, `cpu-fp32`, 2 threads",
        "Some CPU, `x86-fp32`, 2 threads",
    ]


def test_what_the_cost_depends_on_never_shares_a_row(make_record: Make) -> None:
    record = make_record()
    others = [
        make_record(bundle__size=(640, 640)),
        make_record(scenario__instances=20),
        make_record(bundle__source={"weights_sha256": "other"}),
        make_record(bundle__model="mask_rcnn_r50_fpn"),
        make_record(bundle__proposals=300),
        make_record(bundle__score_threshold=0.5),
        make_record(scenario__images=(*record.scenario.images[:0], type(record.scenario.images[0])("b", "c", 9, 9))),
    ]
    assert len(measured(record, *others)) == 1 + len(others)


def test_rows_are_told_apart_in_words(make_record: Make) -> None:
    image = make_record().scenario.images[0]
    records = [
        make_record(),
        make_record(bundle__proposals=300),
        make_record(bundle__score_threshold=0.5),
        make_record(bundle__name="screws", bundle__source={"weights_sha256": "other"}),
        make_record(scenario__images=(dataclasses.replace(image, sha256="q" * 64, width=640),)),
        make_record(scenario__images=(dataclasses.replace(image, sha256="r" * 64, width=640),)),
    ]
    rows = measured(*records)
    assert len({row.conditions for row in rows}) == len(records), [row.conditions for row in rows]
    text = markdown(make_table(records)).partition("\n\n")[0]
    for words in ("300 proposals", "above 0.5", "screws", "640x720"):
        assert words in text
    assert "q" * 12 not in text


def test_what_a_device_calls_its_engine_is_cut_and_cleaned(make_record: Make) -> None:
    record = make_record(load={"engine": {"name": "\x1b[2J" + "x" * 9000, "version": ["\ud800"]}})
    text = markdown(make_table([record]))
    assert "\x1b" not in text
    assert "\ud800" not in text
    assert "x" * 100 not in text


def test_random_weights_are_marked_and_have_no_map(make_record: Make) -> None:
    row = the_row(make_record(bundle__random_weights=True))
    assert "random weights" in row.conditions
    assert row.cells["map"].lines == ()
    assert "random weights" in (row.cells["map"].note or "")


def test_a_model_outside_the_zoo_has_its_row_too(make_record: Make) -> None:
    assert the_row(make_record(bundle__model="my_own")).title == "my_own"


def test_markdown_is_a_table_with_notes_and_records(make_record: Make) -> None:
    record = make_record(scenario__images=(type(make_record().scenario.images[0])("a|b.jpg", "c", 9, 9),))
    text = markdown(make_table([record]))
    lines = text.splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {7}
    assert rows[0] == "| Model | Box/Seg mAP | Size | GPU speed | Arm speed | x86 speed |"
    assert "a\\|b.jpg" in text
    assert f"- `{record.id}`: MaskRCNN-ResNet18-FPN `cpu-fp32`, Some CPU, 2 cores, 8.0 GiB" in text
    assert "7 objects an image" in text
    # Every "-" has a mark, every mark a note.
    for row in rows[2:]:
        for cell in row.split(" | ")[1:]:
            assert not cell.startswith("-") or "<sup>" in cell
    assert "1. cited, not measured here" in text


def test_json_has_numbers_and_ids(make_record: Make) -> None:
    record = make_record()
    value = as_json_value(make_table([record]))
    (row,) = [row for row in value["rows"] if not row["cited"]]
    (entry,) = row["x86"]["records"]
    assert entry["id"] == record.id
    assert entry["model_ms"]["median"] == 10.0
    assert entry["end_to_end_ms"]["median"] == 13.0


def test_a_machine_that_shows_nothing_still_has_a_column(make_record: Make) -> None:
    record = make_record(machine=Machine(), bundle__target="x86", before=(BoardState(),))
    assert the_row(record).cells["x86"].lines
    assert record.id in markdown(make_table([record]))


def test_two_devices_of_one_name_stand_side_by_side(make_record: Make) -> None:
    boards = [
        make_record(machine=dataclasses.replace(PI, identity=identity), bundle__target="arm", board=board)
        for identity, board in (("a", "kitchen"), ("b", "cellar"), ("b", "cellar"))
    ]
    older = dataclasses.replace(boards[1], time="2024-01-01T00:00:00+00:00", id="")
    cell = the_row(boards[0], boards[2], older).cells["arm"]
    assert [line.partition(",")[0] for line in cell.lines] == ["Raspberry Pi 5 (cellar)", "Raspberry Pi 5 (kitchen)"]
    assert older not in cell.records
    nameless = [dataclasses.replace(record, board=None, id="") for record in boards]
    assert [line.partition(",")[0] for line in the_row(*nameless).cells["arm"].lines] == [
        "Raspberry Pi 5 (no. 1)",
        "Raspberry Pi 5 (no. 2)",
    ]


def test_the_newest_is_so_by_time_and_not_by_text(make_record: Make) -> None:
    morning = make_record(time="2025-01-02T09:30:00+02:00")  # 07:30 UTC
    later = make_record(time="2025-01-02T08:00:00Z")
    nonsense = make_record(time="zzzz")
    assert the_row(later, morning, nonsense).cells["x86"].records == (later,)


def test_int8_has_its_own_row_and_not_the_trainings_map(make_record: Make) -> None:
    rows = measured(make_record(), make_record(bundle__recipe="arm-int8", bundle__precision="int8"))
    assert [row.cells["map"].lines for row in rows] == [("61.2 / 58.7",), ()]
    assert "edge-seg eval" in (rows[1].cells["map"].note or "")
    assert "int8" in rows[1].conditions


def test_three_devices_models_and_recipes_are_all_there(make_record: Make) -> None:
    devices = [PI, dataclasses.replace(PI, board="ROCK 5B"), Machine(arch="x86_64", cpu="Some CPU", cores=8)]
    records = [
        make_record(
            machine=machine, bundle__model=f"mask_rcnn_{model}_fpn", bundle__recipe=recipe, bundle__target="cpu"
        )
        for machine in devices
        for model in ("r50", "r18", "hrnet")
        for recipe in ("cpu-fp32", "onnx-fp32", "arm-fp32")
    ]
    rows = measured(*records)
    assert {record.id for row in rows for name in ("arm", "x86") for record in row.cells[name].records} == {
        record.id for record in records
    }
    text = markdown(make_table(records))
    table = text.partition("\n\n")[0]
    assert not any(record.id in table for record in records)


def test_costs_stand_in_a_column_of_their_own(make_record: Make) -> None:
    cost = Cost(
        bundle="c" * 64,
        model="mask_rcnn_r18_fpn",
        recipe="arm-fp32",
        size=(320, 320),
        proposals=100,
        instances=7,
        cpu="cortex-a72",
        instructions={"pre": 5_000_000, "detect": 2_000_000_000, "nms": 0, "mask": 900_000_000, "post": 1_000_000},
    )
    table = make_table([make_record()], costs=[cost])
    (row,) = [row for row in table.rows if not row.cited]
    assert row.cells["cost"].lines == ("2\u202f906 M `arm-fp32` (cortex-a72)",)
    assert row.cells["arm"].lines == (), "instructions are no time"
    assert "not a time" in (row.cells["cost"].note or "")
    assert "Arm instructions (emulated)" in markdown(table)


def test_a_table_of_one_size_and_number_of_objects(
    make_record: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "records.jsonl"
    for size, instances in ((320, 5), (640, 5), (640, 20)):
        append(file, make_record(bundle__size=(size, size), scenario__instances=instances))
    for words, count in (([], 3), (["--size", "640"], 2), (["--size", "640", "--instances", "20"], 1)):
        assert main(["bench", "table", str(file), "--json", *words]) == 0
        assert json.loads(capsys.readouterr().out)["records"] == count
