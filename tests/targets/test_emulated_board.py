"""Everything that is done with a board behind ssh, on another kernel and processor with busybox alone."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bench.measure import Failure, Settings, measure
from edge_seg.errors import TargetError
from edge_seg.records.board_state import snapshots
from edge_seg.records.machine import describe
from edge_seg.records.record import Record
from edge_seg.targets import open_target
from edge_seg.targets.remote import Board
from tests.boards.conftest import make_x86
from tests.targets.emulated_board import EmulatedBoard, emulated_board, need_board

__all__ = ["emulated_board"]
pytestmark = pytest.mark.slow
RUNNER = ("/root/run",)


@pytest.fixture
def opened(emulated_board: EmulatedBoard, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("EDGE_SEG_SSH_OPTIONS", emulated_board.options)
    with open_target(emulated_board.name, runner=RUNNER) as target:
        yield target


def test_files_go_there_and_come_back(opened: Board, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a file").write_bytes(bytes(range(256)) * 1000)
    there = opened.push(tmp_path / "folder")
    opened.pull(f"{there}/a file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "folder" / "a file").read_bytes()


def test_a_full_disk_is_named(opened: Board, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (3 << 20))
    with pytest.raises(TargetError) as caught:
        opened.copy(tmp_path / "large", "/small/large")
    assert caught.value.code == "target-full"


def test_the_machine_and_its_state(opened: Board) -> None:
    machine = describe(opened)
    assert machine.arch == "aarch64"
    assert machine.cpu == "2x Cortex-A53"
    assert machine.cores == 2
    (first, second) = snapshots(opened, 2)
    assert first.ticks is not None
    assert second.uptime_s is not None
    assert first.frequency_khz is None, "qemu's machine has no cpufreq"


def test_a_measurement(opened: Board, tmp_path: Path) -> None:
    bundle = make_x86(tmp_path / "x86-fp32")
    (record,) = measure(opened, [bundle], Settings(repeats=12, warmup=0, threads=(1,)))
    assert isinstance(record, Record), record.error
    assert len(record.samples) == 12
    assert record.machine.arch == "aarch64"
    assert "state-unknown" in [reason.code for reason in record.verdict.reasons], "it shows neither clock nor heat"


def test_a_board_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_board()
    bundle = make_x86(tmp_path / "x86-fp32")
    with EmulatedBoard(tmp_path / "b") as board:
        monkeypatch.setenv("EDGE_SEG_SSH_OPTIONS", board.options)

        def cut(text: str) -> None:
            if "20 of" in text:
                threading.Thread(target=board.kill).start()

        begin = time.monotonic()
        with open_target(board.name, runner=RUNNER) as target:
            settings = Settings(repeats=1000, warmup=0, threads=(1,), silence=60)
            (failure,) = measure(target, [bundle], settings, cut)
        assert isinstance(failure, Failure)
        assert failure.error.code == "link-lost"
        assert failure.partial is not None
        assert len(failure.partial.samples) >= 20
        assert time.monotonic() - begin < 240
