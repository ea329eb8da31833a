"""Whether a measurement may be quoted: ``valid``, ``degraded`` or ``unknown`` with reasons, or ``emulated``.

Each rule looks for one disturbance in the samples and in what the machine showed before, during and after them, and
names a remedy. Where the machine doesn't show what would rule a disturbance out, the verdict is ``unknown``.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from edge_seg.records.board_state import BoardState, Ticks
from edge_seg.records.machine import Machine
from edge_seg.records.record import TOTAL, Reason, Record, Sample, Verdict
from edge_seg.records.statistics import summarise, trend

FEWEST_SAMPLES = 10
LOAD_BEFORE_CORES = 0.2
LOAD_DURING_CORES = 0.15
LOAD_DURING_FAR_CORES = 0.3
"""On a far machine the runner's own CPU time is known of the samples alone."""
STOLEN_SHARE = 0.02
FREQUENCY_CHANGE = 0.05
BUSY_SHARE = 0.5
"""A core's frequency counts only while the core works this much: idle cores slow down by design."""
FULL_SPEED = 0.95
"""Of the highest frequency. An x86 processor reaches its highest on one core only: its base frequency counts there."""
X86_SPEED = 0.6
"""Of an x86 processor's highest frequency, where its base frequency isn't shown."""
SPREAD_SHARE = 0.10
OUTLIER_FACTOR = 1.2
OUTLIER_SHARE = 0.05
"""More runs than this that take over 1.2 times the median are no accident."""
DRIFT_SHARE = 0.03
DRIFT_P = 0.01
WAITING_SHARE = 0.05
"""A run on one thread whose CPU time is so much less than its wall time waited for a core (or for a disk)."""
CONTENTION_SHARE = 0.10
CONTENDED_RUNS = 0.10
CLOCK_SHARE, CLOCK_S = 0.10, 1.0
"""By how much the device's clock may differ from this machine's; lines come late now and then."""
SPARE_CORES = 0.5
"""CPU time is counted in ticks, and by another clock than wall time."""
TICK_NS = 1_000_000
FIRMWARE_NOW = 0xF
"""Raspberry Pi firmware: under-voltage, capped, throttled, soft temperature limit, now; << 16: since boot."""
TRIP_MARGIN_C = 5.0
HOT_C = 80.0
"""Where no trip point is shown: a Raspberry Pi slows down from 80 °C on, most devices between 80 and 100."""
CPU_ZONES = ("cpu", "soc", "core", "package", "pkg", "k10temp", "big", "little", "zenpower", "acpitz", "tsens")
OTHER_ZONES = ("nvme", "wifi", "wlan", "ath1", "mt7", "batt", "bms", "charger", "usb", "modem", "pa-therm")
"""Of boards and phones. All other thermal zones there are on the chip, whatever they are called."""
SLOW_GOVERNORS = ("powersave",)
OWN_POWERSAVE = ("intel_pstate", "amd-pstate", "amd_pstate")
"""Drivers whose "powersave" is the ordinary governor, which follows the load."""
UNKNOWN = "state-unknown"


@dataclass(frozen=True)
class Evidence:
    """What a verdict is made from.

    ``model_ns`` holds the samples of model time, a list for each image, in order; ``wall_ns`` and ``cpu_ns`` the same
    samples' totals and CPU times where the runner told them. ``waiting`` are the snapshots before the start, when
    nothing of ours ran; ``during`` those while it warmed up and measured; ``after`` the one at the end. ``cpu_seconds``
    is what the runner used from its start to its end. ``own_s`` and ``our_s`` are the seconds between the first and the
    last sample, by the device's clock and by that of the machine that read them; ``lapped`` says that ``own_s`` is
    only the least that it can be.
    """

    model_ns: Sequence[Sequence[int]]
    waiting: Sequence[BoardState]
    during: Sequence[BoardState]
    after: Sequence[BoardState]
    cpu_seconds: float | None = None
    emulated: bool = False
    wall_ns: Sequence[Sequence[int]] = ()
    cpu_ns: Sequence[Sequence[int]] = ()
    threads: int | None = None
    machine: Machine = dataclasses.field(default_factory=Machine)
    gpu: bool = False
    ended: str = ""
    own_s: float | None = None
    our_s: float | None = None
    lapped: bool = False

    @staticmethod
    def of(record: Record) -> Evidence:
        """The evidence that a record holds."""
        groups = record.by_image()
        return Evidence(
            model_ns=[[sample.model_ns for sample in group] for group in groups],
            waiting=record.before,
            during=record.during,
            after=record.after,
            cpu_seconds=record.cpu_seconds,
            emulated=record.verdict.status == "emulated" or record.target.startswith("emulated:"),
            wall_ns=[[sample.ns[TOTAL] for sample in group] for group in groups],
            cpu_ns=_cpu_ns(groups),
            threads=record.scenario.threads,
            machine=_machine(record),
            gpu=record.bundle.target.startswith("gpu"),
            ended=record.ended.message if record.ended else "",
            own_s=_own_seconds(record.samples),
            our_s=record.span_s,
            lapped=any(sample.start_ns is None for sample in record.samples),
        )

    @property
    def running(self) -> list[BoardState]:
        """The snapshots from the runner's start to its end."""
        return [*self.waiting[-1:], *self.during, *self.after]

    @property
    def states(self) -> list[BoardState]:
        """All snapshots."""
        return [*self.waiting, *self.during, *self.after]

    @property
    def clocks(self) -> list[Sequence[int]]:
        """Model times of each image, and the totals, which stand beside them in every table."""
        return [samples for samples in (*self.model_ns, *self.wall_ns) if samples]

    @property
    def own_cores(self) -> float | None:
        """How many cores the samples kept busy, on average; None where the runner doesn't tell."""
        cpu = sum(map(sum, self.cpu_ns))
        wall = sum(map(sum, self.wall_ns))
        return cpu / wall if cpu and wall else None


def _machine(record: Record) -> Machine:
    """The record's machine; whether it is virtual, the runner's flags say where the description doesn't."""
    cpu = record.runner.get("cpu")
    flags = cpu.get("flags") if isinstance(cpu, dict) else None
    if record.machine.virtual is None and isinstance(flags, list) and "hypervisor" in flags:
        return dataclasses.replace(record.machine, virtual=True)
    return record.machine


def _own_seconds(samples: Sequence[Sample]) -> float | None:
    """Seconds from the first sample's end to the last one's; without their starts the least that it can be."""
    if len(samples) < 2:
        return None
    first, last = samples[0], samples[-1]
    if first.start_ns is None or last.start_ns is None:
        return sum(sample.ns[TOTAL] for sample in samples[1:]) / 1e9
    return (last.start_ns + last.ns[TOTAL] - first.start_ns - first.ns[TOTAL]) / 1e9


def _cpu_ns(groups: Sequence[Sequence[Sample]]) -> list[list[int]]:
    if any(sample.cpu_ns is None for group in groups for sample in group):
        return []
    return [[sample.cpu_ns or 0 for sample in group] for group in groups]


def judge(evidence: Evidence) -> Verdict:
    """The verdict of all rules together."""
    reasons = [reason for rule in RULES for reason in rule(evidence)]
    if evidence.emulated:
        told = Reason(
            "emulated", "an emulated CPU: these are no milliseconds of a board", "measure on the board itself"
        )
        return Verdict("emulated", (told, *(reason for reason in reasons if reason.code != UNKNOWN)))
    if any(reason.code != UNKNOWN for reason in reasons):
        return Verdict("degraded", tuple(reasons))
    return Verdict("unknown" if reasons else "valid", tuple(reasons))


def trusted(record: Record) -> Verdict:
    """The record's verdict by today's rules, whatever it says of itself: records are only text, and rules grow.

    What was degraded or emulated when it was measured stays so.
    """
    verdict = judge(Evidence.of(record))
    reasons, status = list(verdict.reasons), verdict.status
    if record.self_test is not None and record.self_test.get("passed") is not True:
        reasons.append(Reason("self-test-failed", "its self-test didn't pass", "copy the bundle again"))
        status = "emulated" if status == "emulated" else "degraded"
    known = {reason.code for reason in reasons}
    reasons += [reason for reason in record.verdict.reasons if reason.code not in known]
    worst = max(status, record.verdict.status, key=lambda word: _WORSE.get(word, len(_WORSE)))
    return Verdict(worst if worst in _WORSE else "degraded", tuple(reasons))


_WORSE = {"valid": 0, "unknown": 1, "degraded": 2, "emulated": 3}


def _ended_early(evidence: Evidence) -> Iterator[Reason]:
    if evidence.ended:
        yield Reason(
            "partial",
            f"it ended before all samples were taken: {evidence.ended}",
            "give the same command again: it measures what is missing",
        )


def _few_samples(evidence: Evidence) -> Iterator[Reason]:
    fewest = min((len(samples) for samples in evidence.model_ns), default=0)
    if fewest < FEWEST_SAMPLES:
        yield Reason(
            "few-samples",
            f"{fewest} samples an image: too few for a median with a spread",
            f"measure with --repeat {FEWEST_SAMPLES} or more",
        )


def _load_before(evidence: Evidence) -> Iterator[Reason]:
    busy = _busy_cores(evidence.waiting)
    if busy is None:
        # The reader of the state is runnable itself.
        runnable = [state.runnable - 1 for state in evidence.waiting if state.runnable]
        busy = float(min(runnable)) if runnable else None
    if busy is None and evidence.waiting and evidence.waiting[0].load_average is not None:
        busy = max(0.0, evidence.waiting[0].load_average[0] - (evidence.threads or 1))
    if busy is not None and busy > LOAD_BEFORE_CORES:
        yield Reason(
            "load-before",
            f"other programs used {busy:.1f} cores before the start",
            "stop them (`top` shows which), or wait until they are done",
        )


def _load_during(evidence: Evidence) -> Iterator[Reason]:
    seconds = _seconds(evidence.running)
    if evidence.cpu_seconds is not None:
        busy, own, limit = _busy_cores(evidence.running), None, LOAD_DURING_CORES
        if seconds is not None and seconds >= 1:
            own = evidence.cpu_seconds / seconds
    else:
        # A runner that doesn't tell its CPU time has at most as many cores busy as it has threads.
        own = evidence.own_cores if evidence.own_cores is not None else evidence.threads
        busy, limit = _busy_cores(evidence.during), LOAD_DURING_FAR_CORES
    if busy is not None and own is not None and busy - own > limit:
        yield Reason(
            "load-during",
            f"other programs used {busy - own:.1f} cores during the measurement",
            "stop them (`top` shows which) and measure again",
        )
        return
    # Where the kernel shows no ticks, what is runnable says how many threads share the cores; the reader is one more.
    runnable = [state.runnable for state in evidence.during if state.runnable is not None]
    if busy is None and evidence.threads and len(runnable) > 1:
        others = statistics.median(runnable) - 1 - evidence.threads
        if others >= 1:
            yield Reason(
                "load-during",
                f"{others:.0f} threads of other programs ran during the measurement",
                "stop them (`top` shows which) and measure again",
            )


def _clock(evidence: Evidence) -> Iterator[Reason]:
    """The device's clocks against each other, and against the one that read its lines."""
    own, ours = evidence.own_s, evidence.our_s
    if own is not None and ours is not None:
        allowed = CLOCK_SHARE * max(own, ours) + CLOCK_S
        if own - ours > allowed or (ours - own > allowed and not evidence.lapped):
            yield Reason(
                "clock",
                f"by the device's clock the samples took {own:.1f} s, by this machine's {ours:.1f} s",
                "look whether the device's clock is right (an emulator's isn't), and measure again",
            )
            return
    cores = evidence.machine.cores
    busy = evidence.own_cores
    if cores and busy is not None and busy > cores + SPARE_CORES:
        yield Reason(
            "clock",
            f"the runs claim {busy:.1f} busy cores of {cores}: CPU time and wall time contradict each other",
            "use a runner of the same version as this edge-seg, and measure again",
        )
        return
    uptimes = [state.uptime_s for state in evidence.states if state.uptime_s is not None]
    if any(later < earlier for earlier, later in itertools.pairwise(uptimes)):
        yield Reason(
            "clock",
            "the device's uptime went back during the measurement: it was started anew, or its state is another's",
            "measure again, and look at its power supply if it happens again",
        )


def _contention(evidence: Evidence) -> Iterator[Reason]:
    """CPU time against wall time of each run: what waits for a core shows here, on far machines too."""
    if evidence.gpu or not evidence.cpu_ns:
        return  # a run that waits for a GPU uses little CPU time by design
    for wall, cpu in zip(evidence.wall_ns, evidence.cpu_ns, strict=True):
        shares = [c / w for c, w in zip(cpu, wall, strict=True) if w]
        if not shares:
            continue
        coarse = all(ns % TICK_NS == 0 for ns in cpu)  # counted in the kernel's ticks: one run says nothing
        waited = 1 - sum(cpu) / sum(wall)
        best = sorted(shares)[len(shares) * 9 // 10]
        contended = sum(share < (1 - CONTENTION_SHARE) * best for share in shares) / len(shares)
        if evidence.threads == 1 and waited > WAITING_SHARE:
            what = f"the runs waited for a core {waited:.0%} of their time (CPU time against wall time)"
        elif not coarse and contended > CONTENDED_RUNS:
            what = f"{contended:.0%} of the runs had fewer cores than the others (CPU time against wall time)"
        else:
            continue
        yield Reason("contention", what, "stop other programs (`top` shows which), or measure on free --cores")
        return


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


FIX_FREQUENCY = "fix it: `echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor`"


def _governor(evidence: Evidence) -> Iterator[Reason]:
    for state in evidence.running:
        slow = sorted({name for name in (state.governor or {}).values() if name in SLOW_GOVERNORS})
        if slow and not (state.driver or "").startswith(OWN_POWERSAVE):
            yield Reason("governor", f"the governor {slow[0]} holds the CPU at a low frequency", FIX_FREQUENCY)
            return


def _slow_clock(evidence: Evidence) -> Iterator[Reason]:
    """The frequency of the cores that work, against what they could do."""
    seen = _busy_frequencies(evidence)
    for core, values in seen.items():
        full = _full_speed(core, evidence)
        usual = statistics.median(values)
        if full is not None and usual < full:
            highest = _highest(core, evidence) or full
            yield Reason(
                "slow-clock",
                f"{core} ran at {usual / 1e6:.2f} GHz of its {highest / 1e6:.2f} GHz",
                FIX_FREQUENCY + "; where it doesn't help, look for heat and a limit (scaling_max_freq)",
            )
            return
    firmware = [state.firmware_khz for state in evidence.during if state.firmware_khz]
    highest = max((khz for state in evidence.states for khz in (state.max_frequency_khz or {}).values()), default=0)
    if firmware and highest and statistics.median(firmware) < FULL_SPEED * highest:
        yield Reason(
            "slow-clock",
            f"the firmware ran the cores at {statistics.median(firmware) / 1e6:.2f} GHz of their"
            f" {highest / 1e6:.2f} GHz, whatever the kernel shows",
            "cool the board or strengthen its power supply (`vcgencmd get_throttled` says which), measure again",
        )


def _frequency(evidence: Evidence) -> Iterator[Reason]:
    seen = _busy_frequencies(evidence)
    core, values = max(seen.items(), key=lambda item: max(item[1]) - min(item[1]), default=("", [0]))
    if max(values) - min(values) > FREQUENCY_CHANGE * max(values):
        yield Reason(
            "frequency-changed",
            f"the frequency of {core} went between {min(values) / 1e6:.2f} and {max(values) / 1e6:.2f} GHz",
            FIX_FREQUENCY,
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
            shown = ", ".join(f"{v:#x}" if name == "firmware flags" else str(v) for v in dict.fromkeys(values[:8]))
            yield Reason(
                "throttled",
                f"the CPU was slowed down ({name}: {shown})",
                "cool the board or strengthen its power supply, let it rest, measure again",
            )
            return


def _hot(evidence: Evidence) -> Iterator[Reason]:
    """The hottest zone against its trip point; without one, the CPU's zones against what slows most devices."""
    worst: tuple[float, str, float, str] | None = None
    for state in evidence.states:
        trips = state.trip_c or {}
        for zone, degrees in (state.temperature_c or {}).items():
            if zone in trips:
                limit, kind = trips[zone] - TRIP_MARGIN_C, f"slows down at {trips[zone]:.0f} °C"
            elif _is_of_cpu(zone, evidence.machine):
                limit, kind = HOT_C, "shows no trip point, and such devices slow down about there"
            else:
                continue
            if degrees >= limit and (worst is None or degrees - limit > worst[0]):
                worst = (degrees - limit, zone, degrees, kind)
    if worst is not None:
        yield Reason(
            "hot",
            f"{worst[1]} reached {worst[2]:.0f} °C; it {worst[3]}",
            "cool it (heat sink, fan), let it rest, measure again",
        )


def _is_of_cpu(zone: str, machine: Machine) -> bool:
    """Whether a sensor without a trip point shows the processor's heat, by its name."""
    name = zone.lower()
    if any(word in name for word in CPU_ZONES):
        return True
    return name.startswith("thermal_zone") and not machine.is_x86 and not any(word in name for word in OTHER_ZONES)


def _outliers(evidence: Evidence) -> Iterator[Reason]:
    worst = max((_outlier_share(samples) for samples in evidence.clocks), default=0.0)
    if worst > OUTLIER_SHARE:
        yield Reason(
            "outliers",
            f"{worst:.0%} of the runs took over {OUTLIER_FACTOR:g} times the median",
            "stop what runs now and then (updates, indexing, a desktop), and measure again",
        )


def _spread(evidence: Evidence) -> Iterator[Reason]:
    worst = max((_relative_spread(samples) for samples in evidence.clocks), default=0.0)
    if worst > SPREAD_SHARE:
        yield Reason(
            "spread",
            f"the middle half of the samples spans {worst:.0%} of the median",
            "close other programs, fix the CPU's frequency, and measure again with more runs",
        )


def _drift(evidence: Evidence) -> Iterator[Reason]:
    for samples in evidence.clocks:
        if len(samples) < FEWEST_SAMPLES:
            continue
        found = trend(samples)
        change = max(found.change, _step(samples), key=abs)
        if abs(change) <= DRIFT_SHARE or found.p >= DRIFT_P:
            continue
        if change < 0:
            yield Reason(
                "warming-up",
                f"the runs became {-change:.0%} faster from the first to the last: the warm-up was too short",
                "raise --warmup",
            )
        else:
            yield Reason(
                "slowing-down",
                f"the runs became {change:.0%} slower from the first to the last",
                "look for heat (`edge-seg bench show` has the temperatures) or other programs, and measure again",
            )
        return


def _step(samples: Sequence[int]) -> float:
    """The last third's median against the first one's: a step, which has hardly a slope by Theil and Sen."""
    third = len(samples) // 3
    first = statistics.median(samples[:third])
    return statistics.median(samples[-third:]) / first - 1 if first else 0.0


def _unknown(evidence: Evidence) -> Iterator[Reason]:
    """What an engineer would want to see before believing the figure, and the machine doesn't show."""
    states = evidence.states
    ticks = _busy_cores(states) is not None
    if not ticks and not evidence.cpu_ns and not any(state.load_average or state.runnable for state in states):
        yield Reason(
            UNKNOWN,
            "whether other programs ran isn't known: no /proc/stat, and the runner tells no CPU time",
            "measure where /proc is mounted, or with a runner of this version",
        )
    if evidence.machine.virtual:  # the hypervisor shows neither clock nor heat; stolen time, drift and outliers do
        if not ticks:
            yield Reason(
                UNKNOWN,
                "whether the hypervisor gave time to others isn't known: the virtual machine shows no /proc/stat",
                "measure where /proc is mounted",
            )
        return
    if not any(state.frequency_khz and state.max_frequency_khz for state in states):
        yield Reason(
            UNKNOWN,
            "whether the CPU ran at its full clock isn't known: the system shows no frequency",
            "mount /sys, or use a kernel with cpufreq; else compare with a machine that shows it",
        )
    if not any(state.temperature_c or state.throttle for state in states):
        yield Reason(
            UNKNOWN,
            "whether the device was hot or throttled isn't known: it shows neither temperatures nor throttling",
            "mount /sys, or use a kernel with the board's thermal driver",
        )
    board = evidence.machine.board or ""
    if board.startswith("Raspberry Pi") and not any("firmware flags" in (s.throttle or {}) for s in states):
        yield Reason(
            UNKNOWN,
            "whether the firmware throttled isn't known: a Raspberry Pi's kernel hides it from scaling_cur_freq",
            "install vcgencmd (apt install raspi-utils), or use Raspberry Pi's own kernel",
        )


RULES: tuple[Callable[[Evidence], Iterator[Reason]], ...] = (
    _ended_early,
    _few_samples,
    _load_before,
    _load_during,
    _clock,
    _contention,
    _stolen,
    _governor,
    _slow_clock,
    _frequency,
    _throttled,
    _hot,
    _outliers,
    _spread,
    _drift,
    _unknown,
)


def _relative_spread(samples: Sequence[int]) -> float:
    summary = summarise(samples)
    return summary.iqr / summary.median if summary.median > 0 else 0.0


def _outlier_share(samples: Sequence[int]) -> float:
    limit = OUTLIER_FACTOR * statistics.median(samples)
    outliers = sum(sample > limit for sample in samples)
    return outliers / len(samples) if outliers > 1 else 0.0  # one slow run in a few happens anywhere


def _busy_frequencies(evidence: Evidence) -> dict[str, list[int]]:
    """Frequencies of each core at the snapshots at which it worked, or at all where that isn't known."""
    seen: dict[str, list[int]] = {}
    states = evidence.during if len(evidence.during) > 1 else evidence.states
    for earlier, state in itertools.pairwise(states):
        for core, frequency in (state.frequency_khz or {}).items():
            share = _core_busy_share(core, earlier, state)
            if share is None or share >= BUSY_SHARE:
                seen.setdefault(core, []).append(frequency)
    return seen


def _highest(core: str, evidence: Evidence) -> int | None:
    return _largest([state.max_frequency_khz or {} for state in evidence.states], core)


def _full_speed(core: str, evidence: Evidence) -> float | None:
    """The frequency below which the core counts as slow, kHz."""
    highest = _highest(core, evidence)
    if not evidence.machine.is_x86:
        return None if highest is None else FULL_SPEED * highest
    base = _largest([state.base_frequency_khz or {} for state in evidence.states], core)
    if base is not None:
        return FULL_SPEED * base
    return None if highest is None else X86_SPEED * highest


def _largest(values: Sequence[Mapping[str, int]], core: str) -> int | None:
    return max((each[core] for each in values if core in each), default=None)


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
    return max(0.0, (last.busy - first.busy) / whole * cores) if whole > 0 else None


def _core_busy_share(core: str, earlier: BoardState, later: BoardState) -> float | None:
    if not earlier.ticks or not later.ticks or core not in earlier.ticks or core not in later.ticks:
        return None
    before, after = earlier.ticks[core], later.ticks[core]
    whole = after.busy + after.idle + after.stolen - before.busy - before.idle - before.stolen
    return (after.busy - before.busy) / whole if whole > 0 else None
