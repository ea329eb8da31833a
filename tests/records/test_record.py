"""Records: what is written is read back; a bad line is named and costs no other; an edit shows."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_seg.errors import UsageError
from edge_seg.limits import RECORD_LINE_BYTES
from edge_seg.records.board_state import BoardState, Ticks
from edge_seg.records.record import Reason, Record, RecordError, Sample, Verdict, append, check_writable, parse, read
from tests.strategies import edit_one, lasting

Make = Callable[..., Record]


def test_round_trip(make_record: Make, tmp_path: Path) -> None:
    full = BoardState(
        uptime_s=5.0,
        load_average=(0.0, 1.0, 2.5),
        governor={"cpu0": "performance"},
        frequency_khz={"cpu0": 2400000},
        temperature_c={"thermal_zone0 cpu": 50.0},
        throttle={"firmware flags": 0},
        ticks={"cpu": Ticks(1, 2, 3)},
    )
    written = [
        make_record(),
        make_record(before=(full, BoardState()), verdict=Verdict("degraded", (Reason("spread", "wide", "again"),))),
        make_record(scenario__instances=20, memory={"peak_bytes": 1}, cpu_seconds=None),
    ]
    path = tmp_path / "new folder" / "records.jsonl"
    for record in written:
        append(path, record)
    assert read(path) == (written, [])
    assert len({record.id for record in written}) == 3


def test_statistics_are_of_model_time_and_of_the_whole(make_record: Make) -> None:
    record = make_record()
    assert record.model_ms().median == 10.0
    assert record.stage_ms("total").median == 13.0
    assert record.stage_ms("mask").median == 1.5
    assert record.objects() == 7


def test_each_picture_weighs_the_same(make_record: Make) -> None:
    record = make_record()
    slow = {name: 3 * value for name, value in record.samples[0].ns.items()}
    samples = (*record.samples, *(Sample(1, repeat, 21, slow) for repeat in range(30)))
    both = make_record(samples=samples, scenario__images=record.scenario.images * 2)
    summary = both.model_ms()
    assert summary.median == 20.0
    assert summary.iqr == 0.0
    assert summary.runs == 30


def test_bad_lines_are_named_and_cost_no_other(make_record: Make, tmp_path: Path) -> None:
    good, other = make_record(), make_record(scenario__threads=1)
    plain = json.loads(good.line())
    del plain["machine"]
    bad = {
        2: ("{broken", "not JSON"),
        3: ("[]", "schema None"),
        4: (json.dumps({"schema": 99}), "schema 99"),
        5: (json.dumps(plain), "record.machine: missing"),
        6: (good.line().replace('"threads":2', '"threads":1').strip(), "was altered"),
        7: ("\xff\xfe", "not JSON"),
        8: (good.line().replace('"type":"hello"', '"type":NaN').strip(), "record.runner.type: expected finite numbers"),
        9: ("[" * 100_000, "not JSON"),
    }
    path = tmp_path / "records.jsonl"
    lines = [good.line().strip(), *(text for text, _ in bad.values()), "", other.line().strip()]
    path.write_bytes("\n".join(lines).encode("latin-1"))
    records, problems = read(path)
    assert records == [good, other]
    assert [problem.number for problem in problems] == list(bad)
    for problem, (_, words) in zip(problems, bad.values(), strict=True):
        assert words in str(problem)
        assert f"{path}, line {problem.number}" in str(problem)


def test_samples_that_do_not_fit_are_refused(make_record: Make, tmp_path: Path) -> None:
    record = make_record()
    wrong = [
        make_record(samples=()),
        make_record(samples=(Sample(1, 0, 1, record.samples[0].ns),)),
        make_record(samples=(Sample(0, 0, 1, {"pre": 1}),)),
    ]
    path = tmp_path / "records.jsonl"
    for each in wrong:
        append(path, each)
    records, problems = read(path)
    assert records == []
    assert len(problems) == 3


def test_a_cut_line_does_not_swallow_the_next(make_record: Make, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(make_record().line()[:100])
    append(path, make_record())
    records, problems = read(path)
    assert records == [make_record()]
    assert [problem.number for problem in problems] == [1]


def test_a_file_that_cannot_be_grown_stays_as_it_was(make_record: Make, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    record = make_record()
    append(path, record)
    size = path.stat().st_size
    program = (
        "import resource, signal, sys; from pathlib import Path; "
        "from edge_seg.records.record import append, read, RecordError\n"
        "path = Path(sys.argv[1]); (record,), _ = read(path)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, resource.RLIM_INFINITY))\n"
        "try: append(path, record)\n"
        "except RecordError as problem: print(problem)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert f"record {record.id} can't be written" in done.stdout
    assert path.stat().st_size == size


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder_is_refused_before_measuring(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(RecordError, match="can't be written"):
        check_writable(tmp_path / "records.jsonl")


def test_unwritable_path_is_refused_before_measuring(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="can't be written"):
        check_writable(tmp_path / "file" / "records.jsonl")
    check_writable(tmp_path / "records.jsonl")
    assert not (tmp_path / "records.jsonl").exists()


def test_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="edge-seg bench run"):
        read(tmp_path / "none.jsonl")


def test_what_is_no_file_of_records_is_not_waited_for(make_record: Make, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(RecordError, match="a pipe or a device"):
            read(path)
        with pytest.raises(UsageError, match="not a plain file"):
            check_writable(path)
    file = tmp_path / "records.jsonl"
    record = make_record()
    file.write_bytes(b"{" * (RECORD_LINE_BYTES + 5) + b"\n" + record.line().encode())
    records, bad = read(file)
    assert [line.id for line in records] == [record.id]
    assert "16,777,216 bytes" in bad[0].problem


@given(st.data())
@settings(lasting, max_examples=60)
def test_no_edited_line_is_a_surprise(make_record: Make, data: st.DataObject) -> None:
    plain = json.loads(make_record().line())
    edit_one(data, plain)
    with contextlib.suppress(RecordError):  # the only exception that it may raise
        assert parse(json.dumps(plain)).line()


@given(st.binary(max_size=60))
def test_no_noise_is_a_record(noise: bytes) -> None:
    with pytest.raises(RecordError):
        parse(noise)
