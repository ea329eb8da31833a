"""Measuring from bundle to record, with a runner that is a script."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

import edge_seg.records.board_state
from bench.cli import bench as command
from bench.measure import Failure, Settings
from bench.measure import measure as measure_bundles
from edge_seg.cli import main
from edge_seg.errors import ImageError, UsageError
from edge_seg.records.machine import describe
from edge_seg.records.record import STAGES, TOTAL, Record, read
from edge_seg.runtime.predict import find_files
from edge_seg.targets.local import Local


@pytest.fixture(autouse=True)
def _short_look_at_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_seg.records.board_state, "INTERVAL_S", 0.05)


def measure(target: Any, bundles: list[Path], **settings: Any) -> list[Record | Failure]:
    return list(measure_bundles(target, bundles, Settings(**{"repeats": 12, **settings})))


def test_a_record_holds_what_was_measured(fake_target: Any, bundle_path: Path) -> None:
    (record,) = measure(fake_target(), [bundle_path], threads=(3,))
    assert isinstance(record, Record)
    assert record.bundle.name == "shapes"
    assert record.bundle.size == (64, 96)
    assert record.bundle.model_bytes == 100 * len("detect.nbmask.nb")
    assert record.bundle.random_weights
    assert record.scenario.threads == 3
    assert record.scenario.instances == 4, "the number that the golden result was made with"
    (picture,) = record.scenario.images
    assert (picture.name, picture.width, picture.height) == ("image.png", 64, 48)
    assert len(record.samples) == 12
    assert record.model_ms().median == 10.0
    assert record.runner["runner"] == "fake"
    assert record.memory is not None
    assert record.memory["peak_bytes"] == 123_456_789
    assert record.self_test is not None
    assert record.self_test["passed"]
    assert record.machine.arch
    assert len(record.before) == 2
    assert len(record.after) == 1


def test_the_real_runner_is_measured(bundle_path: Path) -> None:
    """With the engine that computes nothing: the whole way but for the library."""
    target = Local()
    target.runner = (*target.runner, "--engine", "null")
    (record,) = measure(target, [bundle_path], instances=(2,))
    assert isinstance(record, Record), record.error
    assert record.runner["runner"] == "python"
    assert record.load["engine"]["name"] == "null"
    assert record.self_test is not None
    assert record.self_test["passed"]
    assert record.memory is not None
    assert record.memory["peak_bytes"] > 1_000_000
    assert record.objects() == 2
    assert [sample.repeat for sample in record.samples] == list(range(12))
    assert record.cpu_seconds is not None
    for sample in record.samples:
        assert sum(sample.ns[stage] for stage in STAGES) <= sample.ns[TOTAL]


def test_an_arm_bundle_is_refused_with_the_remedy(bundle_path: Path) -> None:
    manifest = json.loads((bundle_path / "manifest.json").read_text())
    manifest.update(target="arm" if describe(Local()).is_x86 else "x86", engine_version="2.13")
    (bundle_path / "manifest.json").write_text(json.dumps(manifest))
    (failure,) = measure(Local(), [bundle_path])
    assert isinstance(failure, Failure)
    assert failure.error.code == "target-mismatch"
    assert failure.error.remedy


def test_every_pair_of_threads_and_instances_is_a_record(fake_target: Any, bundle_path: Path) -> None:
    records = measure(fake_target(), [bundle_path], threads=(1, 2), instances=(0, 5))
    assert all(isinstance(record, Record) for record in records)
    scenarios = [(r.scenario.threads, r.scenario.instances) for r in records if isinstance(r, Record)]
    assert scenarios == [(1, 0), (1, 5), (2, 0), (2, 5)]


def test_own_pictures(fake_target: Any, bundle_path: Path, tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg"):
        cv2.imwrite(str(tmp_path / name), np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    (record,) = measure(fake_target(), [bundle_path], images=(tmp_path / "b.png", tmp_path))
    assert isinstance(record, Record)
    assert [picture.name for picture in record.scenario.images] == ["b.png", "a.jpg"]
    assert [len(group) for group in record.by_image()] == [12, 12]


def test_a_failure_costs_no_other(fake_target: Any, bundle_path: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(bundle_path, broken)
    (broken / "mask.nb").write_bytes(b"edited")
    first, second = measure(fake_target(), [broken, bundle_path])
    assert isinstance(first, Failure)
    assert "mask.nb: altered or damaged" in str(first.error)
    assert isinstance(second, Record)


@pytest.mark.parametrize(
    ("fault", "code"),
    [("one-missing", "runner-protocol"), ("no-stage", "runner-protocol"), ("killed", "runner-died")],
)
def test_a_bad_runner_gives_no_record(fake_target: Any, bundle_path: Path, fault: str, code: str) -> None:
    (failure,) = measure(fake_target(fault), [bundle_path])
    assert isinstance(failure, Failure)
    assert failure.error.code == code


def test_a_runner_that_does_not_know_its_memory(fake_target: Any, bundle_path: Path) -> None:
    (record,) = measure(fake_target("no-memory"), [bundle_path])
    assert isinstance(record, Record)
    assert record.memory is None


def test_a_broken_picture_stops_before_any_measurement(fake_target: Any, bundle_path: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"broken\.png"):
        measure(fake_target(), [bundle_path], images=(tmp_path / "broken.png",))


def test_missing_pictures_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no\.png: no such image"):
        find_files([tmp_path / "no.png"])
    with pytest.raises(ImageError, match=r"no images in this folder\n.*images end with"):
        find_files([tmp_path])


def test_a_folder_that_is_named_as_a_picture_is_none(
    bundle_path: Path, tmp_path: Path, runner: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    (photos / "dir.jpg").mkdir(parents=True)
    words = ["bench", "run", str(bundle_path), "--repeat", "10", "--json", "--out", str(tmp_path / "r"), *runner]
    words += ["--images", str(photos)]
    assert main(words) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "image-missing"
    assert "folders below aren't searched" in error["remedy"]
    cv2.imwrite(str(photos / "a.png"), np.zeros((20, 30, 3), np.uint8))
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["records"][0]["images"] == ["a.png"]


@pytest.fixture
def runner(fake_target: Any) -> list[str]:
    """Names the fake runner on the command line."""
    return ["--runner", shlex.join(fake_target().runner)]


def test_commands_from_bundle_to_table(bundle_path: Path, tmp_path: Path, runner: list[str]) -> None:
    out = tmp_path / "records.jsonl"
    words = ["run", str(bundle_path), "--repeat", "10", "--instances", "1,2", "--threads", "1", "--out", str(out)]
    done = CliRunner().invoke(command, [*words, *runner], standalone_mode=False)
    assert done.exception is None, done.stderr
    assert done.return_value == 0
    records, bad = read(out)
    assert len(records) == 2
    assert bad == []
    for record in records:
        assert f"record {record.id}" in done.stdout
    table = CliRunner().invoke(command, ["table", str(out), "--json"], standalone_mode=False)
    value = json.loads(table.stdout)
    assert value["records"] == 2
    written = tmp_path / "table.md"
    CliRunner().invoke(command, ["table", str(out), "--out", str(written)], standalone_mode=False)
    assert "| Model |" in written.read_text()


def test_json_of_run_is_one_object_and_failures_are_in_it(bundle_path: Path, tmp_path: Path, runner: list[str]) -> None:
    words = ["run", str(bundle_path), str(tmp_path / "none"), "--repeat", "10", "--json", "--out", str(tmp_path / "r")]
    done = CliRunner().invoke(command, [*words, *runner], standalone_mode=False)
    assert done.return_value == 1
    value = json.loads(done.stdout)
    (record,) = value["records"]
    assert record["model_ms"]["median"] == 10.0
    assert value["failed"][0]["code"] == "bundle-missing"
    assert "no such bundle" in done.stderr


def test_pictures_after_one_images_option_are_pictures(bundle_path: Path, tmp_path: Path, runner: list[str]) -> None:
    """A shell makes `--images *.png` into one option and several words."""
    pictures = [tmp_path / f"{name}.png" for name in "ab"]
    for picture in pictures:
        cv2.imwrite(str(picture), np.zeros((20, 30, 3), np.uint8))
    words = ["run", str(bundle_path), "--repeat", "10", "--json", "--out", str(tmp_path / "r")]
    done = CliRunner().invoke(command, [*words, *runner, "--images", *map(str, pictures)], standalone_mode=False)
    assert done.return_value == 0, done.stderr
    assert json.loads(done.stdout)["records"][0]["images"] == ["a.png", "b.png"]


def test_pictures_without_a_bundle_are_refused(bundle_path: Path, tmp_path: Path) -> None:
    picture = str(bundle_path / "golden" / "image.png")
    words = ["run", picture, "--images", picture, "--out", str(tmp_path / "r")]
    done = CliRunner().invoke(command, words, standalone_mode=False)
    assert isinstance(done.exception, UsageError)
    assert "no bundle" in str(done.exception)


def test_bad_numbers_are_refused_by_name(bundle_path: Path) -> None:
    for option, value in (("--threads", "0"), ("--instances", "1,,2"), ("--instances", "-1"), ("--threads", "٣")):
        done = CliRunner().invoke(command, ["run", str(bundle_path), option, value])
        assert done.exit_code == 2
        assert value in done.stderr


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "0.5"])
def test_a_timeout_that_is_no_time_is_refused(bundle_path: Path, tmp_path: Path, value: str) -> None:
    out = tmp_path / "r"
    assert main(["bench", "run", str(bundle_path), "--timeout", value, "--out", str(out)]) == 2
    assert not out.exists()


@pytest.mark.parametrize(
    "content",
    [
        '{"images": [], "annotations": []}',
        '{\n  "images": []\n}\n',
        '{"kind": "point", "point": {}}\n{"kind": "visit"}\n',
        "# Notes\n",
        "\x89PNG\r\n\x1a\n\0",
    ],
)
def test_a_file_of_something_else_is_not_appended_to(
    bundle_path: Path, tmp_path: Path, runner: list[str], content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "train.json"
    out.write_bytes(content.encode("latin-1"))
    words = ["bench", "run", str(bundle_path), "--repeat", "10", "--json", "--out", str(out), *runner]
    assert main(words) == 2
    said = json.loads(capsys.readouterr().out)["error"]
    assert said["code"] == "not-records"
    assert str(out) in said["message"]
    assert said["remedy"]
    assert out.read_bytes() == content.encode("latin-1")


@pytest.mark.parametrize("kept", [0, 1, 5, 100, None])
def test_records_are_appended_after_others_and_after_one_cut_short(
    bundle_path: Path, tmp_path: Path, runner: list[str], make_record: Any, kept: int | None
) -> None:
    out = tmp_path / "records.jsonl"
    out.write_text(make_record().line()[:kept])
    words = ["bench", "run", str(bundle_path), "--repeat", "10", "--out", str(out), *runner]
    for _ in range(2):
        assert main(words) == 0
    records, bad = read(out)
    assert len(records) == (3 if kept is None else 2)
    assert len(bad) == (1 if kept else 0)


def test_the_table_does_not_replace_its_records(
    tmp_path: Path, make_record: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, link = (tmp_path / name for name in ("a.jsonl", "b.jsonl", "link.md"))
    for file in (first, second):
        file.write_text(make_record().line())
    link.symlink_to(second)
    for out in (second, link):
        assert main(["bench", "table", str(first), str(second), "--out", str(out)]) == 2
        assert f"{out}: would be overwritten" in capsys.readouterr().err
    assert read(second) == ([make_record()], [])
    assert main(["bench", "table", str(first), "--out", str(second)]) == 0
