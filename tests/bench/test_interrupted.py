"""Whatever is killed, at any moment: finished samples are kept, nothing runs on, and the same command goes on."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.journal import Journal, recover, unfinished
from edge_seg.cli import main
from edge_seg.records.record import Record, read
from tests.conftest import ROOT

REPEATS = 10


def words_of(bundle: Path, out: Path, target: Any) -> list[str]:
    words = ["bench", "run", str(bundle), "--repeat", str(REPEATS), "--warmup", "0", "--threads", "1,2"]
    return [*words, "--out", str(out), "--json", "--runner", shlex.join(target.runner)]


def start(words: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "edge_seg.cli", *words]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_samples(out: Path, count: int) -> None:
    for _ in range(2400):
        lines = [line for path in out.parent.glob(f"{out.name}.partial-*") for line in path.read_text().splitlines()]
        if sum('"sample"' in line for line in lines) >= count:
            return
        time.sleep(0.05)
    raise AssertionError("no samples came")


def processes(*marks: str | Path) -> list[int]:
    """Processes in whose command line all ``marks`` stand, but for this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                if all(os.fsencode(mark) in words for mark in marks):
                    found.append(int(entry.name))
    return found


def runners(folder: Path) -> list[int]:
    """Runners of the test in ``folder``."""
    return processes(folder, "fake_runner")


def assert_nothing_runs(folder: Path) -> None:
    for _ in range(600):
        if not runners(folder):
            return
        time.sleep(0.05)
    raise AssertionError(f"still running: {runners(folder)}")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_harness(
    fake_target: Any, bundle_path: Path, tmp_path: Path, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "records.jsonl"
    words = words_of(bundle_path, out, fake_target("slow"))
    process = start(words)
    wait_for_samples(out, REPEATS + 3)  # the first measurement is done, the second has begun
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert_nothing_runs(tmp_path)
    kept = {record.scenario.threads: record for record in [*read(out)[0], *unfinished(out)]}
    assert len(kept[1].samples) == REPEATS
    assert 3 <= len(kept[2].samples) < REPEATS
    assert kept[2].ended is not None
    assert kept[2].verdict.status == "degraded"
    capsys.readouterr()
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert [record["threads"] for record in told["records"]] == [2], "the finished one isn't measured again"
    records, bad = read(out)
    assert bad == []
    assert sorted((r.scenario.threads, r.ended is None) for r in records) == [(1, True), (2, False), (2, True)]
    assert [path.name for path in tmp_path.glob("records.jsonl.partial-*")] == []
    assert main(words) == 0
    assert len(json.loads(capsys.readouterr().out)["records"]) == 2, "a command that ended well begins anew"


MOMENTS = int(os.environ.get("EDGE_SEG_TEST_MOMENTS", "3"))
"""How many random moments are tried; `EDGE_SEG_TEST_MOMENTS=50` takes ten minutes."""


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(MOMENTS))
def test_any_moment(fake_target: Any, bundle_path: Path, tmp_path: Path, attempt: int) -> None:
    """The harness or its runner is killed; samples that were announced are kept, and the same command completes."""
    draw = random.Random(attempt)
    out = tmp_path / "records.jsonl"
    words = words_of(bundle_path, out, fake_target("slow"))
    process = start(words)
    time.sleep(draw.uniform(0.2, 7.0))
    kept_before = samples_kept(out)
    its_runners = [pid for pid in runners(tmp_path) if pid != process.pid]
    for victim in [process.pid] if draw.random() < 0.6 else its_runners or [process.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    process.communicate(timeout=120)
    assert_nothing_runs(tmp_path)
    kept = [*(read(out)[0] if out.exists() else []), *unfinished(out)]
    assert sum(len(record.samples) for record in kept) >= kept_before
    assert main(words) == 0
    records, bad = read(out)
    assert bad == []
    assert {record.scenario.threads for record in records if record.ended is None} == {1, 2}
    assert [path.name for path in tmp_path.glob("records.jsonl.partial-*")] == []


def samples_kept(out: Path) -> int:
    """Samples that the journals beside ``out`` hold, each on a line of its own."""
    texts = [path.read_text() for path in out.parent.glob(f"{out.name}.partial-*")]
    return sum(line.startswith('{"sample"') for text in texts for line in text.splitlines()[:-1])


def test_a_runner_that_dies_leaves_a_partial_record(
    fake_target: Any, bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "records.jsonl"
    words = words_of(bundle_path, out, fake_target("dies-at-4"))
    assert main(words) == 1
    told = json.loads(capsys.readouterr().out)
    assert [failure["code"] for failure in told["failed"]] == ["runner-died", "runner-died"]
    records, _ = read(out)
    assert [failure["partial"] for failure in told["failed"]] == [record.id for record in records]
    assert [len(record.samples) for record in records] == [4, 4]


@pytest.mark.slow
def test_restart_measures_all_anew(
    fake_target: Any, bundle_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "records.jsonl"
    words = words_of(bundle_path, out, fake_target("slow"))
    process = start(words)
    wait_for_samples(out, REPEATS + 1)
    process.kill()
    process.communicate(timeout=120)
    assert main([*words, "--restart"]) == 0
    assert len(json.loads(capsys.readouterr().out)["records"]) == 2


def test_a_damaged_journal_costs_no_record(tmp_path: Path, make_record: Any) -> None:
    out = tmp_path / "records.jsonl"
    record: Record = make_record()
    with pytest.raises(KeyboardInterrupt), Journal(out, "a command") as journal:
        journal.begin("one", {**record.as_plain(), "samples": []})
        for sample in record.samples[:5]:
            journal.sample("one", sample)
        raise KeyboardInterrupt
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    for damaged in (content[:-10], b"{broken\n" + content + b"\xff\n", content.replace(b'"sample"', b'"simple"', 1)):
        path.write_bytes(damaged)
        (partial,) = unfinished(out)
        assert len(partial.samples) >= 4
    path.write_bytes(content)
    (partial,) = recover(out)
    assert list(partial.samples) == list(record.samples[:5])
    assert recover(out) == [], "once is enough"
    assert read(out)[0] == [partial]
