"""Simulated boards: the verdict is an engineer's, with a remedy for each reason, and silent on a quiet machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bench.verdict import Evidence, judge, trusted
from edge_seg.records.board_state import BoardState, Ticks
from edge_seg.records.machine import Machine
from edge_seg.records.record import Reason, Record, Verdict

STEADY = [10_000_000 + (i * 7919) % 100_000 for i in range(60)]
PI = Machine(arch="aarch64", cpu="4x Cortex-A76", board="Raspberry Pi 5 Model B Rev 1.0", cores=4)
ROCK = Machine(arch="aarch64", cpu="4x Cortex-A55 + 4x Cortex-A76", board="Radxa ROCK 5B", cores=8)
PC = Machine(arch="x86_64", cpu="Some Core", cores=8)
VIRTUAL = Machine(arch="x86_64", cpu="Some Xeon", cores=2, virtual=True)
FULL = {f"cpu{core}": 2_400_000 for core in range(2)}
QUIET: dict[str, Any] = {
    "governor": dict.fromkeys(FULL, "ondemand"),
    "frequency_khz": FULL,
    "max_frequency_khz": FULL,
    "temperature_c": {"thermal_zone0 cpu-thermal": 61.0},
    "throttle": {"firmware flags": 0},
}


def state(second: float, *, busy: float = 0.0, stolen: float = 0.0, **fields: Any) -> BoardState:
    """A snapshot of two cores of which ``busy`` in all have worked, and ``stolen`` was taken, since second 0."""
    used, lost = round(busy * second * 100), round(stolen * second * 100)
    whole = Ticks(used, round(second * 200) - used - lost, lost)
    half = Ticks(used // 2, whole.idle // 2, lost // 2)
    ticks = {"cpu": whole, "cpu0": half, "cpu1": half}
    return BoardState(**{"uptime_s": second, "ticks": ticks, **QUIET, **fields})


def board(special: Callable[[int], dict[str, Any]] = lambda second: {}, **fields: Any) -> Evidence:
    """A quiet Raspberry Pi that works for ten seconds on its two cores; ``special(second)`` is what differs then."""
    evidence = Evidence(
        model_ns=[STEADY],
        waiting=[state(0), state(1)],
        during=[state(s, **{"busy": 1.8, **special(s)}) for s in range(10, 20)],
        after=[],
        machine=PI,
        wall_ns=[[13_000_000] * 60],
        cpu_ns=[[12_900_000 * 18 // 10] * 60],
        threads=2,
    )
    return dataclasses.replace(evidence, **fields)


def codes(verdict: Verdict) -> list[str]:
    assert all(reason.message and reason.remedy for reason in verdict.reasons)
    return [reason.code for reason in verdict.reasons]


def everywhere(**fields: Any) -> Evidence:
    """The quiet board, with these fields in every snapshot."""
    evidence = board()
    return dataclasses.replace(
        evidence,
        waiting=[dataclasses.replace(s, **fields) for s in evidence.waiting],
        during=[dataclasses.replace(s, **fields) for s in evidence.during],
    )


def slower(values: Sequence[int], every: int, factor: float) -> list[int]:
    return [round(ns * factor) if i % every == 0 else ns for i, ns in enumerate(values)]


def drifting(share: float, count: int = 60) -> list[int]:
    return [round(ns * (1 + share * i / (count - 1))) for i, ns in enumerate((STEADY * 20)[:count])]


SOME = {"cpu0": 600_000, "cpu1": 600_000}
GOOD = {
    "a quiet board": board(),
    "performance": everywhere(governor=dict.fromkeys(FULL, "performance")),
    "idle cores may rest": board(lambda s: {"busy": 0.1, "frequency_khz": {"cpu0": 600_000 if s % 2 else 2_400_000}}),
    "intel's powersave follows the load": dataclasses.replace(
        everywhere(governor=dict.fromkeys(FULL, "powersave"), driver="intel_pstate"), machine=PC
    ),
    "a turbo that all cores can't reach": dataclasses.replace(
        everywhere(max_frequency_khz=dict.fromkeys(FULL, 3_400_000)), machine=PC
    ),
    "flags of long ago": everywhere(throttle={"firmware flags": 0x50000}),
    "warm, far from its trip point": dataclasses.replace(
        everywhere(temperature_c={"thermal_zone0 soc": 82.0}, trip_c={"thermal_zone0 soc": 95.0}), machine=ROCK
    ),
    "a hot disk": everywhere(temperature_c={"hwmon1 nvme temp1": 84.0, "thermal_zone0 cpu": 50.0}),
    "a virtual machine shows its load alone": dataclasses.replace(everywhere(**dict.fromkeys(QUIET)), machine=VIRTUAL),
    "84 degrees, 16 below what slows it": dataclasses.replace(
        everywhere(temperature_c={"hwmon0 coretemp temp1": 84.0}, trip_c={"hwmon0 coretemp temp1": 100.0}), machine=PC
    ),
    "a radio at 84 degrees": dataclasses.replace(
        everywhere(temperature_c={"thermal_zone0 soc-thermal": 55.0, "thermal_zone5 iwlwifi_1": 84.0}), machine=ROCK
    ),
    "clocks that agree": board(own_s=30.0, our_s=31.5),
    "pauses between samples, by a runner that tells no start": board(own_s=10.0, our_s=30.0, lapped=True),
    "one slow run": board(model_ns=[[*STEADY[:59], 30_000_000]]),
    "images with few and many objects": board(model_ns=[STEADY, [3 * ns for ns in STEADY]]),
    "a drift of 1 %": board(model_ns=[drifting(0.01)]),
    "a GPU's runs need little CPU": board(lambda s: {"busy": 0.1}, gpu=True, cpu_ns=[[1_000_000] * 60], threads=1),
}
BAD = {
    "powersave at a quarter": (
        everywhere(governor=dict.fromkeys(FULL, "powersave"), frequency_khz=SOME),
        ["governor", "slow-clock"],
    ),
    "powersave, no frequency": (
        everywhere(governor=dict.fromkeys(FULL, "powersave"), frequency_khz=None),
        ["governor"],
    ),
    "a low limit": (everywhere(frequency_khz=dict.fromkeys(FULL, 1_800_000)), ["slow-clock"]),
    "the firmware's own clock": (everywhere(firmware_khz=1_500_000), ["slow-clock"]),
    "below its base frequency": (
        dataclasses.replace(everywhere(base_frequency_khz=dict.fromkeys(FULL, 2_800_000)), machine=PC),
        ["slow-clock"],
    ),
    "a frequency that falls": (
        board(lambda s: {"frequency_khz": FULL if s < 17 else dict.fromkeys(FULL, 1_500_000)}),
        ["frequency-changed"],
    ),
    "84 degrees": (everywhere(temperature_c={"thermal_zone0 cpu-thermal": 84.0}), ["hot"]),
    "84 degrees of an unknown name": (
        dataclasses.replace(everywhere(temperature_c={"thermal_zone3 sunxi-thermal": 84.0}), machine=ROCK),
        ["hot"],
    ),
    "84 degrees of a processor that shows no limit": (
        dataclasses.replace(everywhere(temperature_c={"hwmon2 k10temp temp1": 84.0}), machine=PC),
        ["hot"],
    ),
    "at its trip point": (
        everywhere(temperature_c={"thermal_zone2 gpu": 71.0}, trip_c={"thermal_zone2 gpu": 75.0}),
        ["hot"],
    ),
    "throttled now": (everywhere(throttle={"firmware flags": 0x50005}), ["throttled"]),
    "throttled since": (board(lambda s: {"throttle": {"firmware flags": 0x40000 if s > 15 else 0}}), ["throttled"]),
    "under-voltage": (everywhere(throttle={"firmware flags": 0x1}), ["throttled"]),
    "cooled": (everywhere(throttle={"cooling cooling_device1 cpufreq-cpu0": 1, "firmware flags": 0}), ["throttled"]),
    "a counter that grows": (
        board(lambda s: {"throttle": {"throttle count cpu0": s, "firmware flags": 0}}),
        ["throttled"],
    ),
    "a fifth twice as slow": (board(model_ns=[slower(STEADY, 5, 2)]), ["outliers"]),
    "half a third slower": (board(model_ns=[slower(STEADY, 2, 1.15)]), ["spread"]),
    "a drift of 6 %": (board(model_ns=[drifting(0.06)]), ["slowing-down"]),
    "a step of 6 %": (
        board(model_ns=[[round(ns * (1 if i < 30 else 1.06)) for i, ns in enumerate(STEADY)]]),
        ["slowing-down"],
    ),
    "slower from its last third on": (
        board(model_ns=[[round(ns * (1 if i < 41 else 1.08)) for i, ns in enumerate(STEADY)]]),
        ["slowing-down"],
    ),
    "slow around the model alone": (board(wall_ns=[slower([13_000_000] * 60, 5, 2)], cpu_ns=[]), ["outliers"]),
    "a warm-up too short": (board(model_ns=[drifting(-0.06)]), ["warming-up"]),
    "a drift over 2000 runs": (board(model_ns=[drifting(0.06, 1200)]), ["slowing-down"]),
    "load before": (board(waiting=[state(0), state(1, busy=0.5)]), ["load-before"]),
    "load before, by what is runnable": (
        board(waiting=[BoardState(runnable=4, **QUIET), BoardState(runnable=3, **QUIET)]),
        ["load-before"],
    ),
    "load during": (board(cpu_seconds=10.0, after=[state(21, busy=1.5)]), ["load-during"]),
    "load during, far away": (board(cpu_ns=[[13_000_000] * 60]), ["load-during"]),
    "load during, the runner tells no CPU time": (board(cpu_ns=[], threads=1), ["load-during"]),
    "load during, by what is runnable": (
        board(cpu_ns=[], waiting=[], during=[BoardState(runnable=6, **QUIET) for _ in range(5)]),
        ["load-during"],
    ),
    "a clock at a tenth of its rate": (board(own_s=3.0, our_s=30.0), ["clock"]),
    "samples that claim more time than there was": (board(own_s=90.0, our_s=30.0, lapped=True), ["clock"]),
    "CPU time of eight cores on four": (board(cpu_ns=[[8 * 13_000_000] * 60]), ["clock"]),
    "an uptime that goes back": (
        board(after=[state(2, busy=1.8)], during=[state(s, busy=1.8) for s in range(10, 15)]),
        ["clock"],
    ),
    "one thread that waits": (board(threads=1, cpu_ns=[[11_000_000] * 60], during=[]), ["contention"]),
    "some runs have one core": (
        board(cpu_ns=[[23_900_001 if i % 4 else 14_000_001 for i in range(60)]]),
        ["contention"],
    ),
    "stolen time": (board(lambda s: {"busy": 1.5, "stolen": 0.3}), ["stolen-time"]),
    "few samples": (board(model_ns=[STEADY[:9]]), ["few-samples"]),
    "ended early": (board(ended="the connection broke"), ["partial"]),
}
NOTHING = [BoardState(), BoardState()]
UNKNOWN = {
    "no state at all": board(waiting=[], during=[], after=[]),
    "states that show nothing": board(waiting=NOTHING, during=NOTHING, cpu_ns=[], wall_ns=[]),
    "no frequency": everywhere(frequency_khz=None, governor=None),
    "no temperature": everywhere(temperature_c=None, throttle=None),
    "a Raspberry Pi's firmware says nothing": everywhere(throttle=None),
    "a virtual machine without any state": board(waiting=[], during=[], after=[], machine=VIRTUAL),
    "a virtual machine that shows no load": board(
        waiting=NOTHING, during=NOTHING, cpu_ns=[], wall_ns=[], machine=VIRTUAL
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_valid(name: str) -> None:
    assert judge(GOOD[name]) == Verdict("valid")


@pytest.mark.parametrize("name", BAD)
def test_degraded(name: str) -> None:
    evidence, expected = BAD[name]
    verdict = judge(evidence)
    assert verdict.status == "degraded"
    assert [code for code in codes(verdict) if code != "state-unknown"] == expected


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown(name: str) -> None:
    verdict = judge(UNKNOWN[name])
    assert verdict.status == "unknown"
    assert set(codes(verdict)) == {"state-unknown"}


def test_emulated_is_emulated_whatever_else() -> None:
    verdict = judge(board(model_ns=[STEADY[:3]], emulated=True, waiting=[], during=[]))
    assert verdict.status == "emulated"
    assert codes(verdict) == ["emulated", "few-samples"]


def test_a_record_is_judged_anew_and_never_better_than_it_was(make_record: Callable[..., Record]) -> None:
    quiet = make_record()
    assert trusted(quiet) == Verdict("valid")
    assert trusted(make_record(before=(), during=(), after=())).status == "unknown", "whatever it says of itself"
    slow = [
        dataclasses.replace(s, ns={**s.ns, "detect": s.ns["detect"] + 90_000 * s.repeat, "total": 10**9})
        for s in quiet.samples
    ]
    assert codes(trusted(make_record(samples=tuple(slow)))) == ["spread", "slowing-down"]
    reason = Reason("spread", "wide", "again")
    assert trusted(dataclasses.replace(quiet, verdict=Verdict("degraded", (reason,)), id="")).reasons == (reason,)
    assert trusted(dataclasses.replace(quiet, target="emulated:cortex-a72", id="")).status == "emulated"
    assert trusted(dataclasses.replace(quiet, self_test={"passed": False}, id="")).status == "degraded"
    assert trusted(dataclasses.replace(quiet, verdict=Verdict("splendid"), id="")).status == "degraded"
