"""The state of a machine while it is measured: load, frequencies, temperatures, throttling.

One small POSIX shell script reads it, so that a board needs nothing but a shell, and this machine and a far one are
read alike. It uses the shell's own ``read`` and ``printf``: starting a process for each of dozens of files would
disturb what is measured. What a machine doesn't show (a virtual machine shows little) is None.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from edge_seg.errors import EngineError, TargetError
from edge_seg.plain import LEFT_OUT_IF_NONE
from edge_seg.process.running import Limits, Running, Stopped
from edge_seg.targets import Target

INTERVAL_S: float = 1  # whole: a board's `sleep` may know no fractions
PROBE_LIMIT_S = 20.0
MOST_BYTES = 16 << 20
"""Of what a machine says of itself: 256 cores say less than 200 kB a snapshot."""
MOST_LINES = 20_000
LONGEST_LINE = 400
COLDEST_C, HOTTEST_C = -50.0, 150.0
"""Beyond these a sensor shows nothing; nor does one that shows exactly 0."""
LEAST_TRIP_C = 45.0

_CORE = re.compile(r"/sys/devices/system/cpu/(cpu[0-9]{1,5})/(.+)")
_STAT = re.compile(r"stat/cpu[0-9]{0,5}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
_WHOLE = re.compile(r"[0-9]{1,18}")
_FLAGS = re.compile(r"(0x)?[0-9a-fA-F]{1,15}")

# $1: root of the tree (empty but in tests)   $2: how many snapshots, 0 = until killed   $3: whole seconds between them
SCRIPT = r"""
r=$1
show() {
  v=
  { read -r v < "$1"; } 2>/dev/null
  if [ -n "$v" ]; then printf '%s=%s\n' "${1#"$r"}" "$v"; fi
}
vcgencmd=
if [ -z "$r" ]; then vcgencmd=$(command -v vcgencmd 2> /dev/null); fi
n=0
while :; do
  show "$r/proc/uptime"
  show "$r/proc/loadavg"
  if [ -r "$r/proc/stat" ]; then
    while read -r name rest; do
      case $name in cpu*) printf 'stat/%s=%s\n' "$name" "$rest" ;; *) break ;; esac
    done < "$r/proc/stat"
  fi
  for f in "$r"/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq \
           "$r"/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor \
           "$r"/sys/devices/system/cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq \
           "$r"/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_max_freq \
           "$r"/sys/devices/system/cpu/cpu[0-9]*/cpufreq/base_frequency \
           "$r"/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_driver \
           "$r"/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count \
           "$r"/sys/class/thermal/thermal_zone*/type "$r"/sys/class/thermal/thermal_zone*/temp \
           "$r"/sys/class/thermal/thermal_zone*/trip_point_*_type \
           "$r"/sys/class/thermal/thermal_zone*/trip_point_*_temp \
           "$r"/sys/class/thermal/cooling_device*/type "$r"/sys/class/thermal/cooling_device*/cur_state \
           "$r"/sys/class/hwmon/hwmon*/name "$r"/sys/class/hwmon/hwmon*/temp*_input \
           "$r"/sys/class/hwmon/hwmon*/temp*_crit \
           "$r"/sys/devices/platform/soc/soc:firmware/get_throttled; do
    if [ -r "$f" ]; then show "$f"; fi
  done
  # A Raspberry Pi's firmware alone knows its real frequency; older kernels show its flags nowhere either.
  if [ -n "$vcgencmd" ]; then
    printf 'firmware/%s\n' "$(vcgencmd get_throttled 2> /dev/null)"
    printf 'firmware/%s\n' "$(vcgencmd measure_clock arm 2> /dev/null)"
  fi
  echo .
  n=$((n + 1))
  if [ "$n" = "$2" ]; then break; fi
  sleep "$3"
done
"""

COOLERS_OF_CPUS = ("cpufreq", "thermal-cpufreq", "Processor")
"""Cooling devices whose state above 0 means a slower CPU; fans are cooling devices too, and harmless."""
SENSORS_OF_CPUS = ("coretemp", "k10temp", "zenpower")
"""Of x86 processors, whose critical temperature is the one at which they slow themselves down."""


@dataclass(frozen=True)
class Ticks:
    """A core's time so far, in the kernel's ticks: busy, idle, and stolen by the hypervisor for other machines."""

    busy: int
    idle: int
    stolen: int


@dataclass(frozen=True)
class BoardState:
    """One snapshot. Keys are ``cpu0``… for cores; ``ticks`` also has ``cpu``, the sum of all cores.

    ``throttle`` holds counters and flags by name (0 = not throttled), as :func:`parse_states` gathers them. ``trip_c``
    is, of each thermal zone that has one, the lowest temperature at which the kernel slows something down (a passive or
    hot trip point), and of an x86 processor's own sensor the critical one. ``max_frequency_khz`` is what the hardware
    can do, ``base_frequency_khz`` what it promises without a boost. ``driver`` sets the frequencies. ``firmware_khz``
    is the cores' clock as a Raspberry Pi's firmware reports it. ``runnable`` counts the threads that run or wait for a
    core, the reader included.
    """

    uptime_s: float | None = None
    load_average: tuple[float, float, float] | None = None
    governor: dict[str, str] | None = None
    frequency_khz: dict[str, int] | None = None
    temperature_c: dict[str, float] | None = None
    throttle: dict[str, int] | None = None
    ticks: dict[str, Ticks] | None = None
    max_frequency_khz: dict[str, int] | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    base_frequency_khz: dict[str, int] | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    driver: str | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    trip_c: dict[str, float] | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    firmware_khz: int | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    runnable: int | None = field(default=None, metadata=LEFT_OUT_IF_NONE)


def parse_states(lines: Iterable[str]) -> Iterator[BoardState]:
    """The snapshots in the script's output, each as soon as it is whole (its ``.`` line has come)."""
    block: list[str] = []
    for line in lines:
        if line == ".":
            yield _parse_state(block)
            block = []
        elif len(block) < MOST_LINES:
            block.append(line)


def _parse_state(block: list[str]) -> BoardState:
    values = {name: value.strip() for name, _, value in (line[:LONGEST_LINE].partition("=") for line in block)}
    uptime = values.get("/proc/uptime", "").split()
    load = values.get("/proc/loadavg", "").split()
    averages = [_number(word) for word in load[:3]]
    temperatures, trips = _temperatures(values)
    drivers = _per_core(values, "cpufreq/scaling_driver")
    return BoardState(
        uptime_s=_number(uptime[0]) if uptime else None,
        load_average=(averages[0], averages[1], averages[2])  # type: ignore[arg-type]
        if len(averages) == 3 and None not in averages
        else None,
        governor=_per_core(values, "cpufreq/scaling_governor") or None,
        frequency_khz=_frequencies(values, "cpufreq/scaling_cur_freq"),
        temperature_c=temperatures or None,
        throttle=_throttle(values) or None,
        ticks=_all_ticks(values) or None,
        max_frequency_khz=_frequencies(values, "cpufreq/cpuinfo_max_freq")
        or _frequencies(values, "cpufreq/scaling_max_freq"),
        base_frequency_khz=_frequencies(values, "cpufreq/base_frequency"),
        driver=next(iter(drivers.values()), None),
        trip_c=trips or None,
        firmware_khz=_firmware_khz(values),
        runnable=_whole(load[3].partition("/")[0]) if len(load) > 3 else None,
    )


def _per_core(values: dict[str, str], leaf: str) -> dict[str, str]:
    found = {}
    for name, value in values.items():
        match = _CORE.fullmatch(name)
        if match and match[2] == leaf and value:
            found[match[1]] = value[:80]
    return dict(sorted(found.items(), key=lambda item: int(item[0][3:])))


def _frequencies(values: dict[str, str], leaf: str) -> dict[str, int] | None:
    found = {core: _whole(value) for core, value in _per_core(values, leaf).items()}
    return {core: khz for core, khz in found.items() if khz} or None


def _firmware_khz(values: dict[str, str]) -> int | None:
    hertz = next((_whole(value) for name, value in values.items() if name.startswith("firmware/frequency(")), None)
    return hertz // 1000 if hertz else None


def _temperatures(values: dict[str, str]) -> tuple[dict[str, float], dict[str, float]]:
    found: dict[str, float] = {}
    trips: dict[str, float] = {}
    for name, value in values.items():
        folder, _, leaf = name.rpartition("/")
        degrees = _number(value)
        if degrees is None or degrees == 0:
            continue
        kind = values.get(f"{folder}/type", "")
        zone = f"{_last(folder)} {kind}".strip()
        if folder.startswith("/sys/class/thermal/thermal_zone") and leaf == "temp":
            found[zone] = _degrees(degrees)
        elif leaf.startswith("trip_point_") and values.get(f"{folder}/{leaf[:-4]}type") in ("passive", "hot"):
            # Drivers write 0 or less where a trip point is off, and fans begin far below what slows a CPU.
            if LEAST_TRIP_C < _degrees(degrees) < HOTTEST_C:
                trips[zone] = min(_degrees(degrees), trips.get(zone, HOTTEST_C))
        elif folder.startswith("/sys/class/hwmon/") and leaf.startswith("temp"):
            name = values.get(f"{folder}/name", "")
            sensor, _, what = leaf.rpartition("_")
            if what == "input":
                found[f"{_last(folder)} {name} {sensor}"] = degrees / 1000
            elif what == "crit" and name in SENSORS_OF_CPUS and LEAST_TRIP_C < degrees / 1000 < HOTTEST_C:
                trips[f"{_last(folder)} {name} {sensor}"] = degrees / 1000
    return {zone: value for zone, value in found.items() if COLDEST_C < value < HOTTEST_C}, trips


def _degrees(value: float) -> float:
    """°C of a thermal zone, which is in thousandths; old kernels of boards and phones write degrees or tenths."""
    return value if abs(value) <= 200 else value / 10 if abs(value) <= 2000 else value / 1000


def _throttle(values: dict[str, str]) -> dict[str, int]:
    found = {}
    for core, value in _per_core(values, "thermal_throttle/core_throttle_count").items():
        if (count := _whole(value)) is not None:
            found[f"throttle count {core}"] = count
    for name, value in values.items():
        folder, _, leaf = name.rpartition("/")
        kind = values.get(f"{folder}/type", "")
        if leaf == "cur_state" and kind.startswith(COOLERS_OF_CPUS) and (level := _whole(value)) is not None:
            found[f"cooling {_last(folder)} {kind}"] = level
        elif (leaf == "get_throttled" or name == "firmware/throttled") and _FLAGS.fullmatch(value):
            found["firmware flags"] = int(value, 16)
    return found


def _all_ticks(values: dict[str, str]) -> dict[str, Ticks]:
    found = {}
    for name, value in values.items():
        if _STAT.fullmatch(name):
            numbers = [_whole(word) for word in value.split()]
            if numbers and None not in numbers:
                found[name[5:]] = _ticks([number for number in numbers if number is not None])
    return found


def _ticks(numbers: list[int]) -> Ticks:
    user, nice, system, idle, iowait, irq, softirq, steal, *_ = numbers + [0] * 8
    # Guest time is within user time already; a core waiting for a disk is free for others.
    return Ticks(busy=user + nice + system + irq + softirq, idle=idle + iowait, stolen=steal)


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _number(text: str) -> float | None:
    """A plain decimal number; None for anything else, "nan" and "1e999" too."""
    return float(text) if _DECIMAL.fullmatch(text) else None


def _whole(text: str) -> int | None:
    return int(text) if _WHOLE.fullmatch(text) else None


def snapshots(target: Target, count: int, root: str = "") -> list[BoardState]:
    """``count`` snapshots, :data:`INTERVAL_S` apart; fewer, or empty ones, where the machine can't be read."""
    command = ["sh", "-c", SCRIPT, "sh", root or target.root, str(count), str(INTERVAL_S)]
    limits = Limits(bytes=MOST_BYTES, seconds=PROBE_LIMIT_S + count * INTERVAL_S)
    states: list[BoardState] = []
    try:
        with target.run(command) as running:
            for state in parse_states(running.lines(PROBE_LIMIT_S, limits)):
                states.append(state)
                if len(states) == count:
                    break
    except Stopped:
        raise
    except (EngineError, TargetError, TimeoutError):
        pass
    return states


class Sampler:
    """Takes snapshots in a thread from ``with`` to its end; :attr:`states` holds them then."""

    def __init__(self, target: Target, root: str = "") -> None:
        self.states: list[BoardState] = []
        self._target = target
        self._root = root or target.root
        self._running: Running | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Sampler:
        with contextlib.suppress(EngineError, TargetError):
            self._running = self._target.run(["sh", "-c", SCRIPT, "sh", self._root, "0", str(INTERVAL_S)])
            self._thread.start()
        return self

    def _read(self) -> None:
        assert self._running is not None
        begin = time.monotonic()
        with contextlib.suppress(TimeoutError, EngineError):
            for state in parse_states(self._running.lines(PROBE_LIMIT_S, Limits(lines=10**9, bytes=1 << 30))):
                self.states.append(state)
                # A board that floods is asked no more.
                if len(self.states) > 10 + 3 * (time.monotonic() - begin) / INTERVAL_S:
                    return

    def __exit__(self, *_: object) -> None:
        if self._running is not None:
            self._running.stop()
            self._thread.join(timeout=5)
