"""Each rule: silent on a quiet machine or one that shows nothing, and clear, with a remedy, on what it is there for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bench.verdict import Evidence, judge
from edge_seg.records.board_state import BoardState, Ticks
from edge_seg.records.record import Verdict

STEADY = [10_000_000 + (i * 7919) % 100_000 for i in range(30)]


def state(second: float, *, busy: float = 0.0, stolen: float = 0.0, **fields: object) -> BoardState:
    """A snapshot of two cores of which ``busy`` in all have worked, and ``stolen`` was taken, since second 0."""
    used, lost = round(busy * second * 100), round(stolen * second * 100)
    whole = Ticks(used, round(second * 200) - used - lost, lost)
    half = Ticks(used // 2, whole.idle // 2, lost // 2)
    ticks = {"cpu": whole, "cpu0": half, "cpu1": half}
    return BoardState(uptime_s=second, ticks=ticks, **fields)  # type: ignore[arg-type]


def evidence(
    samples: Sequence[int] = STEADY,
    *,
    waiting: Sequence[BoardState] = (state(0), state(1)),
    during: Sequence[BoardState] = (),
    after: Sequence[BoardState] = (),
    cpu_seconds: float | None = None,
    emulated: bool = False,
) -> Evidence:
    return Evidence([samples], waiting, during, after, cpu_seconds, emulated)


def codes(verdict: Verdict) -> list[str]:
    assert all(reason.message and reason.remedy for reason in verdict.reasons)
    return [reason.code for reason in verdict.reasons]


def test_quiet_machine_is_valid() -> None:
    running = [state(0, busy=0), state(1, busy=0)]
    verdict = judge(evidence(waiting=running, after=[state(11, busy=10 / 11)], cpu_seconds=10.0))
    assert verdict == Verdict("valid")


def test_machine_that_shows_nothing_is_valid() -> None:
    nothing = [BoardState(), BoardState()]
    assert judge(evidence(waiting=nothing, during=nothing, after=nothing, cpu_seconds=3.0)) == Verdict("valid")
    assert judge(evidence(waiting=[], cpu_seconds=3.0)) == Verdict("valid")


def test_emulated_is_emulated_whatever_else() -> None:
    verdict = judge(evidence(STEADY[:3], emulated=True))
    assert verdict.status == "emulated"
    assert codes(verdict) == ["emulated", "few-samples"]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (evidence(STEADY[:9]), "few-samples"),
        (evidence(waiting=[state(0), state(1, busy=0.5)]), "load-before"),
        (evidence(after=[state(11, busy=1.5)], cpu_seconds=10.0), "load-during"),
        (evidence(after=[state(11, busy=0.9, stolen=0.2)]), "stolen-time"),
        (evidence([10_000_000, 13_000_000] * 15), "spread"),
        (evidence([13_000_000] * 10 + [10_000_000] * 30), "warming-up"),
        (evidence([10_000_000] * 30 + [13_000_000] * 10), "slowing-down"),
    ],
)
def test_rules(given: Evidence, code: str) -> None:
    verdict = judge(given)
    assert verdict.status == "degraded"
    assert codes(verdict) == [code]


def test_picture_by_picture() -> None:
    """A picture with many objects takes longer than one with none: that is no spread."""
    two = Evidence([STEADY, [3 * ns for ns in STEADY]], [], [], [])
    assert judge(two).status == "valid"


def test_frequency_of_busy_cores_must_hold() -> None:
    during = [state(s, busy=1.8, frequency_khz={"cpu0": 2_400_000 if s < 3 else 1_500_000}) for s in range(6)]
    verdict = judge(evidence(during=during))
    assert codes(verdict) == ["frequency-changed"]
    assert "1.50 and 2.40 GHz" in verdict.reasons[0].message


def test_frequency_of_idle_cores_may_change() -> None:
    during = [state(s, busy=0.1, frequency_khz={"cpu0": 2_400_000 if s < 3 else 600_000}) for s in range(6)]
    assert judge(evidence(during=during)).status == "valid"


@pytest.mark.parametrize(
    ("values", "hit"),
    [
        ({"throttle count cpu0": (7, 7)}, False),
        ({"throttle count cpu0": (7, 8)}, True),
        ({"cooling cooling_device1 cpufreq-cpu0": (0, 0)}, False),
        ({"cooling cooling_device1 cpufreq-cpu0": (1, 0)}, True),
        ({"firmware flags": (0x50000, 0x50000)}, False),
        ({"firmware flags": (0x50000, 0x50004)}, True),
        ({"firmware flags": (0x10000, 0x50000)}, True),
    ],
)
def test_throttling(values: dict[str, tuple[int, int]], hit: bool) -> None:
    states = [state(s + 1, throttle={name: pair[s] for name, pair in values.items()}) for s in range(2)]
    verdict = judge(evidence(waiting=[], during=states))
    assert codes(verdict) == (["throttled"] if hit else [])
