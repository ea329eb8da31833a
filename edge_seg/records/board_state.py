"""The state of a machine while it is measured: load, frequencies, temperatures, throttling.

One small POSIX shell script reads it, so that a board needs nothing but a shell, and this machine and a far one are
read alike. It uses the shell's own ``read`` and ``printf``: starting a process for each of dozens of files would
disturb what is measured. What a machine doesn't show (a virtual machine shows little) is None.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edge_seg.errors import EngineError
from edge_seg.process.running import Running
from edge_seg.targets import Target

INTERVAL_S: float = 1  # whole: a board's `sleep` may know no fractions
PROBE_LIMIT_S = 20.0

# $1: root of the tree (empty but in tests)   $2: how many snapshots, 0 = until killed   $3: whole seconds between them
SCRIPT = r"""
r=$1
show() {
  v=
  { read -r v < "$1"; } 2>/dev/null
  if [ -n "$v" ]; then printf '%s=%s\n' "${1#"$r"}" "$v"; fi
}
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
           "$r"/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count \
           "$r"/sys/class/thermal/thermal_zone*/type "$r"/sys/class/thermal/thermal_zone*/temp \
           "$r"/sys/class/thermal/cooling_device*/type "$r"/sys/class/thermal/cooling_device*/cur_state \
           "$r"/sys/class/hwmon/hwmon*/name "$r"/sys/class/hwmon/hwmon*/temp*_input \
           "$r"/sys/devices/platform/soc/soc:firmware/get_throttled; do
    if [ -r "$f" ]; then show "$f"; fi
  done
  echo .
  n=$((n + 1))
  if [ "$n" = "$2" ]; then break; fi
  sleep "$3"
done
"""

COOLERS_OF_CPUS = ("cpufreq", "thermal-cpufreq", "Processor")
"""Cooling devices whose state above 0 means a slower CPU; fans are cooling devices too, and harmless."""


@dataclass(frozen=True)
class Ticks:
    """A core's time so far, in the kernel's ticks: busy, idle, and stolen by the hypervisor for other machines."""

    busy: int
    idle: int
    stolen: int


@dataclass(frozen=True)
class BoardState:
    """One snapshot. Keys are ``cpu0``… for cores; ``ticks`` also has ``cpu``, the sum of all cores.

    ``throttle`` holds counters and flags by name (0 = not throttled), as :func:`parse_states` gathers them.
    """

    uptime_s: float | None = None
    load_average: tuple[float, float, float] | None = None
    governor: dict[str, str] | None = None
    frequency_khz: dict[str, int] | None = None
    temperature_c: dict[str, float] | None = None
    throttle: dict[str, int] | None = None
    ticks: dict[str, Ticks] | None = None


def parse_states(lines: Iterable[str]) -> Iterator[BoardState]:
    """The snapshots in the script's output, each as soon as it is whole (its ``.`` line has come)."""
    block: list[str] = []
    for line in lines:
        if line == ".":
            yield _parse_state(block)
            block = []
        else:
            block.append(line)


def _parse_state(block: list[str]) -> BoardState:
    values = dict(line.split("=", 1) for line in block if "=" in line)
    uptime = values.get("/proc/uptime", "").split()
    load = values.get("/proc/loadavg", "").split()
    return BoardState(
        uptime_s=_number(uptime[0]) if uptime else None,
        load_average=(float(load[0]), float(load[1]), float(load[2])) if len(load) >= 3 else None,
        governor=_per_core(values, "cpufreq/scaling_governor") or None,
        frequency_khz={
            core: int(value) for core, value in _per_core(values, "cpufreq/scaling_cur_freq").items() if value.isdigit()
        }
        or None,
        temperature_c=_temperatures(values) or None,
        throttle=_throttle(values) or None,
        ticks={name[5:]: _ticks(value) for name, value in values.items() if name.startswith("stat/")} or None,
    )


def _per_core(values: dict[str, str], leaf: str) -> dict[str, str]:
    start = "/sys/devices/system/cpu/"
    found = {
        name[len(start) :].split("/")[0]: value
        for name, value in values.items()
        if name.startswith(start) and name.endswith(f"/{leaf}")
    }
    return dict(sorted(found.items(), key=lambda item: int(item[0][3:])))


def _temperatures(values: dict[str, str]) -> dict[str, float]:
    found = {}
    for name, value in values.items():
        folder, _, leaf = name.rpartition("/")
        degrees = _number(value)
        if degrees is None:
            continue
        if folder.startswith("/sys/class/thermal/thermal_zone") and leaf == "temp":
            found[f"{_last(folder)} {values.get(f'{folder}/type', '')}".strip()] = degrees / 1000
        elif folder.startswith("/sys/class/hwmon/") and leaf.startswith("temp"):
            found[f"{_last(folder)} {values.get(f'{folder}/name', '')} {leaf[:-6]}"] = degrees / 1000
    return found


def _throttle(values: dict[str, str]) -> dict[str, int]:
    found = {}
    for core, value in _per_core(values, "thermal_throttle/core_throttle_count").items():
        if value.isdigit():
            found[f"throttle count {core}"] = int(value)
    for name, value in values.items():
        folder, _, leaf = name.rpartition("/")
        kind = values.get(f"{folder}/type", "")
        if leaf == "cur_state" and kind.startswith(COOLERS_OF_CPUS) and value.isdigit():
            found[f"cooling {_last(folder)} {kind}"] = int(value)
        elif leaf == "get_throttled":
            with contextlib.suppress(ValueError):
                found["firmware flags"] = int(value, 16)
    return found


def _ticks(line: str) -> Ticks:
    user, nice, system, idle, iowait, irq, softirq, steal, *_ = [int(word) for word in line.split()] + [0] * 8
    # Guest time is within user time already; a core waiting for a disk is free for others.
    return Ticks(busy=user + nice + system + irq + softirq, idle=idle + iowait, stolen=steal)


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def snapshots(target: Target, count: int, root: str = "") -> list[BoardState]:
    """``count`` snapshots, :data:`INTERVAL_S` apart; fewer, or empty ones, where the machine can't be read."""
    command = ["sh", "-c", SCRIPT, "sh", root or target.root, str(count), str(INTERVAL_S)]
    try:
        with target.run(command) as running:
            return list(parse_states(running.lines(PROBE_LIMIT_S)))
    except (EngineError, TimeoutError):
        return []


class Sampler:
    """Takes snapshots in a thread from ``with`` to its end; :attr:`states` holds them then."""

    def __init__(self, target: Target, root: str = "") -> None:
        self.states: list[BoardState] = []
        self._target = target
        self._root = root or target.root
        self._running: Running | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Sampler:
        with contextlib.suppress(EngineError):
            self._running = self._target.run(["sh", "-c", SCRIPT, "sh", self._root, "0", str(INTERVAL_S)])
            self._thread.start()
        return self

    def _read(self) -> None:
        assert self._running is not None
        with contextlib.suppress(TimeoutError):
            for state in parse_states(self._running.lines(PROBE_LIMIT_S)):
                self.states.append(state)

    def __exit__(self, *_: object) -> None:
        if self._running is not None:
            self._running.stop()
            self._thread.join(timeout=5)
