"""The speed table: what fills a cell and what never does, and what stands beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.table import Row, as_json_value, make_table, markdown
from edge_seg.records.board_state import BoardState
from edge_seg.records.machine import Machine
from edge_seg.records.record import Reason, Record, Verdict
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
    assert line == f"10.0 ± 0.0 ms / 13.0 ± 0.0 ms, `cpu-fp32`, 2 threads [{record.id}]"
    assert row.cells["map"].lines == (f"61.2 / 58.7 [{record.id}]",)
    assert row.cells["size"].lines == (f"125.6 MB `cpu-fp32` [{record.id}]",)
    assert row.cells["gpu"].note == "no record from a GPU"
    assert row.cells["arm"].note == "no record from an Arm board"


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
        f"no valid record; the newest, {degraded.id}, is degraded: other programs used 1.3 cores before the start"
    )
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
    assert cell.records[-1] == lite


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
    assert f"- `{record.id}`: Some CPU, 2 cores, 8.0 GiB, Some OS, paddle-inference 2.6.2, 7 objects a picture" in text
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
