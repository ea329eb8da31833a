"""Whether a measurement may be quoted: ``valid``, ``degraded`` with reasons, or ``emulated``.

A rule looks at what was seen before, during and after; where a machine doesn't show a thing, its rule is silent. Each
reason says what to do about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edge_seg.records.board_state import BoardState, Ticks
from edge_seg.records.record import Reason, Verdict
from edge_seg.records.statistics import summarise

FEWEST_SAMPLES = 10
LOAD_BEFORE_CORES = 0.2
LOAD_DURING_CORES = 0.15
STOLEN_SHARE = 0.02
FREQUENCY_CHANGE = 0.05
BUSY_SHARE = 0.5
"""A core's frequency counts only while the core works this much: idle cores slow down by design."""
SPREAD_SHARE = 0.10
TREND_SHARE = 0.05
FIRMWARE_NOW = 0xF
"""Raspberry Pi firmware: under-voltage, capped, throttled, soft temperature limit, now; << 16: since boot."""


@dataclass(frozen=True)
class Evidence:
    """What a verdict is made from. ``model_ns`` holds the samples of model time, a list for each picture, in order.

    ``waiting`` are the snapshots before the start, when nothing of ours ran; ``during`` those while it warmed up and
    measured; ``after`` the one at the end. ``cpu_seconds`` is what the runner used from its start to its end.
    """

    model_ns: Sequence[Sequence[int]]
    waiting: Sequence[BoardState]
    during: Sequence[BoardState]
    after: Sequence[BoardState]
    cpu_seconds: float | None = None
    emulated: bool = False

    @property
    def running(self) -> list[BoardState]:
        """The snapshots from the runner's start to its end."""
        return [*self.waiting[-1:], *self.during, *self.after]


def judge(evidence: Evidence) -> Verdict:
    """The verdict of all rules together."""
    reasons = tuple(reason for rule in RULES for reason in rule(evidence))
    if evidence.emulated:
        told = Reason(
            "emulated", "an emulated CPU: these are no milliseconds of a board", "measure on the board itself"
        )
        return Verdict("emulated", (told, *reasons))
    return Verdict("degraded" if reasons else "valid", reasons)


def _few_samples(evidence: Evidence) -> Iterator[Reason]:
    fewest = min((len(samples) for samples in evidence.model_ns), default=0)
    if fewest < FEWEST_SAMPLES:
        yield Reason(
            "few-samples",
            f"{fewest} samples a picture: too few for a median with a spread",
            f"measure with --repeat {FEWEST_SAMPLES} or more",
        )


def _load_before(evidence: Evidence) -> Iterator[Reason]:
    busy = _busy_cores(evidence.waiting)
    if busy is not None and busy > LOAD_BEFORE_CORES:
        yield Reason(
            "load-before",
            f"other programs used {busy:.1f} cores before the start",
            "stop them (`top` shows which), or wait until they are done",
        )


def _load_during(evidence: Evidence) -> Iterator[Reason]:
    if evidence.cpu_seconds is None:
        return
    seconds = _seconds(evidence.running)
    busy = _busy_cores(evidence.running)
    if seconds is None or busy is None or seconds < 1:
        return
    others = busy - evidence.cpu_seconds / seconds
    if others > LOAD_DURING_CORES:
        yield Reason(
            "load-during",
            f"other programs used {others:.1f} cores during the measurement",
            "stop them (`top` shows which) and measure again",
        )


def _stolen(evidence: Evidence) -> Iterator[Reason]:
    first, last = _ends(evidence.running)
    if first is None or last is None:
        return
    whole = last.busy + last.idle + last.stolen - first.busy - first.idle - first.stolen
    share = (last.stolen - first.stolen) / whole if whole > 0 else 0.0
    if share > STOLEN_SHARE:
        yield Reason(
            "stolen-time",
            f"the hypervisor gave {share:.0%} of this virtual machine's time to others",
            "measure again when the host is quiet, or on a machine of its own",
        )


def _frequency(evidence: Evidence) -> Iterator[Reason]:
    seen: dict[str, list[int]] = {}
    for earlier, state in zip(evidence.during, evidence.during[1:], strict=False):
        for core, frequency in (state.frequency_khz or {}).items():
            share = _core_busy_share(core, earlier, state)
            if share is None or share >= BUSY_SHARE:
                seen.setdefault(core, []).append(frequency)
    core, values = max(seen.items(), key=lambda item: max(item[1]) - min(item[1]), default=("", [0]))
    if max(values) - min(values) > FREQUENCY_CHANGE * max(values):
        yield Reason(
            "frequency-changed",
            f"the frequency of {core} went between {min(values) / 1e6:.2f} and {max(values) / 1e6:.2f} GHz",
            "fix it: `echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor`",
        )


def _throttled(evidence: Evidence) -> Iterator[Reason]:
    states = [state.throttle for state in evidence.running if state.throttle]
    for name in sorted({name for state in states for name in state}):
        values = [state[name] for state in states if name in state]
        if name == "firmware flags":
            hit = any(value & FIRMWARE_NOW for value in values) or (values[-1] & ~values[0]) >> 16 != 0
        elif name.startswith("cooling"):
            hit = any(value > 0 for value in values)
        else:
            hit = values[-1] > values[0]
        if hit:
            yield Reason(
                "throttled",
                f"the CPU was slowed down ({name}: {', '.join(str(value) for value in dict.fromkeys(values))})",
                "cool the board or strengthen its power supply, let it rest, measure again",
            )
            return


def _spread(evidence: Evidence) -> Iterator[Reason]:
    worst = max((_relative_spread(samples) for samples in evidence.model_ns if samples), default=0.0)
    if worst > SPREAD_SHARE:
        yield Reason(
            "spread",
            f"the middle half of the samples spans {worst:.0%} of the median",
            "close other programs, fix the CPU's frequency, and measure again with a higher --repeat",
        )


def _trend(evidence: Evidence) -> Iterator[Reason]:
    for samples in evidence.model_ns:
        third = len(samples) // 3
        if third < 3:
            continue
        start, end = summarise(samples[:third]), summarise(samples[-third:])
        change = end.median / start.median - 1 if start.median > 0 else 0.0
        # A change within the thirds' own spread is noise, which the rule above judges.
        if abs(change) <= TREND_SHARE or abs(end.median - start.median) <= max(start.iqr, end.iqr):
            continue
        if change < 0:
            yield Reason(
                "warming-up",
                f"the last third of the samples is {-change:.0%} faster than the first: the warm-up was too short",
                "raise --warmup",
            )
        else:
            yield Reason(
                "slowing-down",
                f"the last third of the samples is {change:.0%} slower than the first",
                "look for heat (board state in the record) or other programs, and measure again",
            )
        return


RULES: tuple[Callable[[Evidence], Iterator[Reason]], ...] = (
    _few_samples,
    _load_before,
    _load_during,
    _stolen,
    _frequency,
    _throttled,
    _spread,
    _trend,
)


def _relative_spread(samples: Sequence[int]) -> float:
    summary = summarise(samples)
    return summary.iqr / summary.median if summary.median > 0 else 0.0


def _ends(states: Sequence[BoardState]) -> tuple[Ticks | None, Ticks | None]:
    totals = [state.ticks["cpu"] for state in states if state.ticks and "cpu" in state.ticks]
    return (totals[0], totals[-1]) if len(totals) >= 2 else (None, None)


def _seconds(states: Sequence[BoardState]) -> float | None:
    times = [state.uptime_s for state in states if state.uptime_s is not None]
    return times[-1] - times[0] if len(times) >= 2 else None


def _busy_cores(states: Sequence[BoardState]) -> float | None:
    """Cores in use between the first and the last snapshot, on average."""
    first, last = _ends(states)
    if first is None or last is None:
        return None
    cores = len([name for name in (states[-1].ticks or {}) if name != "cpu"])
    whole = last.busy + last.idle + last.stolen - first.busy - first.idle - first.stolen
    return (last.busy - first.busy) / whole * cores if whole > 0 else None


def _core_busy_share(core: str, earlier: BoardState, later: BoardState) -> float | None:
    if not earlier.ticks or not later.ticks or core not in earlier.ticks or core not in later.ticks:
        return None
    before, after = earlier.ticks[core], later.ticks[core]
    whole = after.busy + after.idle + after.stolen - before.busy - before.idle - before.stolen
    return (after.busy - before.busy) / whole if whole > 0 else None
