"""Devices that lie, flood, hang or die: each is its own measurement's failure, in bounded time and memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import edge_seg.process.running
import edge_seg.records.board_state
from bench.measure import Failure, Forgetful, Measured, Settings, measure
from bench.streams import Plan, measure_streams
from edge_seg.records.board_state import BoardState, snapshots
from edge_seg.records.machine import describe
from edge_seg.records.record import Record
from edge_seg.targets.local import Local, run_leashed
from edge_seg.targets.named import NamedBoard
from tests.bench.fake_runner import LINES, SAMPLES

LONGEST_S = 30.0
GARBLED = ["binary", "garbage", "sample-first", "flood", "flood-after-done", "endless-line", "slow-drip"]
SILENT = ["hang", "never-ends"]
DYING = ["killed", "shell-code", "late-death", "exit-3", "no-done", "dies-at-3"]
LYING = [*SAMPLES, *LINES, "no-stage", "one-missing", "clock-goes-back", "self-test-maybe"]
LYING += ["hello-is-long", "hello-is-deep", "engine-is-text", "load-takes-no-time"]
REFUSING = {"self-test-fails": "self-test-failed", "error": "wrong-target", "rude-error": "['x']"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_seg.records.board_state, "INTERVAL_S", 0.05)
    monkeypatch.setattr("edge_seg.targets.drive.ENDING_LIMIT", 1.0)
    monkeypatch.setattr(edge_seg.process.running, "LEASH_S", 0.2)


def ask(target: Any, bundle: Path, longest: float = 5.0, silence: float = 2.0) -> Record | Failure:
    settings = Settings(repeats=5, warmup=0, threads=(1,), silence=silence, longest=longest)
    (result,) = measure(target, [bundle], settings)
    return result


@pytest.mark.parametrize("fault", [*GARBLED, *LYING])
def test_what_no_runner_says(fake_target: Any, bundle_path: Path, fault: str) -> None:
    begin, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    failure = ask(fake_target(fault), bundle_path)
    assert isinstance(failure, Failure)
    assert failure.error.code in ("runner-protocol", "runner-hang", "runner-died")
    assert failure.error.remedy
    assert time.monotonic() - begin < LONGEST_S
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10, "KiB"
    assert str(failure.error).isprintable() or "\x1b" not in str(failure.error)


@pytest.mark.parametrize("fault", SILENT)
def test_what_never_ends(fake_target: Any, bundle_path: Path, fault: str) -> None:
    failure = ask(fake_target(fault), bundle_path, silence=1.0)
    assert isinstance(failure, Failure)
    assert failure.error.code == "runner-hang"


@pytest.mark.parametrize("fault", DYING)
def test_what_dies(fake_target: Any, bundle_path: Path, fault: str) -> None:
    failure = ask(fake_target(fault), bundle_path)
    assert isinstance(failure, Failure)
    assert failure.error.code == "runner-died"


@pytest.mark.parametrize(("fault", "code"), REFUSING.items())
def test_what_refuses(fake_target: Any, bundle_path: Path, fault: str, code: str) -> None:
    failure = ask(fake_target(fault), bundle_path)
    assert isinstance(failure, Failure)
    assert failure.error.code == code
    assert "\x1b" not in str(failure.error)
    assert len(str(failure.error)) < 5000


def test_stderr_without_end_is_no_fault(fake_target: Any, bundle_path: Path) -> None:
    assert isinstance(ask(fake_target("stderr-flood"), bundle_path), Record)


def test_the_samples_of_a_runner_that_dies_are_kept(fake_target: Any, bundle_path: Path) -> None:
    failure = ask(fake_target("dies-at-3"), bundle_path)
    assert isinstance(failure, Failure)
    partial = failure.partial
    assert partial is not None
    assert [sample.repeat for sample in partial.samples] == [0, 1, 2]
    assert partial.ended is not None
    assert partial.ended.code == "runner-died"
    assert partial.verdict.status == "degraded"
    assert "partial" in [reason.code for reason in partial.verdict.reasons]


def test_good_boards_beside_hostile_ones(fake_target: Any, bundle_path: Path) -> None:
    """Ten at once: each hostile one is its own failure, and costs the good ones nothing."""
    faults = {
        **{f"good-{n}": "none" for n in range(3)},
        **{f"bad-{fault}": fault for fault in ("flood", "hang", "killed", "negative", "endless-line", "never-ends")},
        "away": "",
    }

    def open_(board: NamedBoard, runner: Sequence[str]) -> Any:
        if board.name == "away":
            raise RuntimeError("a bug in opening this one")
        return fake_target(faults[board.name])

    settings = Settings(repeats=5, warmup=0, threads=(1,), silence=2.0, longest=10.0)
    boards = [NamedBoard(name, "local") for name in faults]
    taken: dict[str, Measured | Failure] = {}
    begin = time.monotonic()
    measure_streams(
        Plan(boards, [bundle_path], settings, Forgetful(), lambda name, text: None, open_=open_),
        lambda board, result: taken.update({board.name: result}),
    )
    assert time.monotonic() - begin < LONGEST_S
    assert {name for name, result in taken.items() if isinstance(result, Measured)} == {"good-0", "good-1", "good-2"}
    assert set(taken) == set(faults)


class Talking(Local):
    """A machine whose shell answers every script with these words."""

    def __init__(self, words: str, times: int = 1) -> None:
        super().__init__()
        self._write = f"import sys; sys.stdout.buffer.write({words!r}.encode() * {times})"

    def run(self, command: Any) -> Any:
        if command[0] != "sh":
            return super().run(command)
        return run_leashed([sys.executable, "-c", self._write])


ODD_STATES = [
    "/proc/loadavg=0.1 nan 1e999\n/proc/uptime=inf\n.\n",
    "/proc/loadavg=busy\nstat/cpu=a b c\nstat/cpu0=1 -2 3\nstat/cpu1=" + "9" * 5000 + "\n.\n",
    "/sys/devices/system/cpu/cpu²/cpufreq/scaling_cur_freq=²\n.\n",
    "/sys/devices/system/cpu/cpux/cpufreq/scaling_governor=performance\n.\n",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq=1e9\n.\n",
    "/sys/class/thermal/thermal_zone0/temp=1e999\n/sys/class/thermal/thermal_zone1/temp=99999999999\n.\n",
    "/sys/devices/platform/soc/soc:firmware/get_throttled=0x" + "f" * 3000 + "\n.\n",
    "=\n==\n\x00\x1b[31m\n.\n",
    ".",
    "",
]


@pytest.mark.parametrize("words", ODD_STATES)
def test_states_that_make_no_sense_are_no_states(words: str) -> None:
    states = snapshots(Talking(words), 2)
    assert all(state == BoardState() for state in states)


def test_states_without_end(fake_target: Any, bundle_path: Path) -> None:
    begin = time.monotonic()
    states = snapshots(Talking("stat/cpu=1 2 3 4\n.\n", times=10**6), 2)
    assert len(states) == 2
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(
    "words",
    [
        "@/proc/cpuinfo\nCPU implementer: 0x" + "f" * 5000 + "\nCPU part: q\nprocessor: 0\n",
        "@/proc/meminfo\nMemTotal: " + "9" * 5000 + " kB\n",
        "@/proc/self/status\nCpus_allowed_list: 0-99999999999\n",
        "@/proc/self/status\nCpus_allowed_list: 0-4000,,-,7\n",
        "@uname\n\x1b]0;owned\x07 b c\n@/etc/os-release\nPRETTY_NAME=\x1b[2J\n",
        "@/proc/device-tree/model\n" + "Board " * 10_000 + "\n",
        "@speed /sys/devices/system/cpu/cpu0/cpu_capacity\n-1\n@speed x\n@\n",
        "\x00" * 1000,
    ],
)
def test_machines_that_make_no_sense(words: str, fake_target: Any, bundle_path: Path) -> None:
    machine = describe(Talking(words))
    for text in (machine.arch, machine.cpu, machine.board, machine.os, machine.kernel, machine.allowed_cores):
        assert text is None or (text.isprintable() and len(text) <= 200)
    target = Talking(words)
    target.runner = fake_target().runner
    result = ask(target, bundle_path)
    assert isinstance(result, Record)
    assert result.scenario.threads == 1
