"""Board state and machine description, read from trees as boards have them, and from a machine that shows nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from edge_seg.records.board_state import BoardState, Sampler, Ticks, snapshots
from edge_seg.records.machine import Machine, describe
from edge_seg.targets.local import Local

RASPBERRY = {
    "proc/uptime": "1234.56 4000.00\n",
    "proc/loadavg": "0.52 0.58 0.59 1/389 4523\n",
    "proc/stat": "cpu  100 10 50 800 20 3 2 5 0 0\ncpu0 60 10 30 300 10 2 1 5 0 0\ncpu1 40 0 20 500 10 1 1 0 0 0\n"
    "intr 5\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "2400000\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "1500000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "ondemand\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "61300\n",
    "sys/class/thermal/cooling_device0/type": "pwm-fan\n",
    "sys/class/thermal/cooling_device0/cur_state": "3\n",
    "sys/class/thermal/cooling_device1/type": "cpufreq-cpu0\n",
    "sys/class/thermal/cooling_device1/cur_state": "1\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    "proc/cpuinfo": "".join(
        f"processor\t: {n}\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n"
        for n in range(4)
    ),
    "proc/meminfo": "MemTotal:        8245432 kB\nMemFree: 1 kB\n",
    "proc/self/status": "Name:\tsh\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3\n",
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0",
    "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
}


@pytest.fixture
def raspberry(tmp_path: Path) -> str:
    root = tmp_path / "a root with spaces"
    for name, content in RASPBERRY.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return str(root)


def test_state_of_a_board(raspberry: str) -> None:
    (state,) = snapshots(Local(), 1, raspberry)
    assert state.uptime_s == 1234.56
    assert state.load_average == (0.52, 0.58, 0.59)
    assert state.governor == {"cpu0": "ondemand", "cpu1": "ondemand"}
    assert state.frequency_khz == {"cpu0": 2400000, "cpu1": 1500000}
    assert state.temperature_c == {"thermal_zone0 cpu-thermal": 61.3}
    assert state.throttle == {"cooling cooling_device1 cpufreq-cpu0": 1, "firmware flags": 0x50005}
    assert state.ticks is not None
    assert state.ticks["cpu"] == Ticks(busy=165, idle=820, stolen=5)
    assert set(state.ticks) == {"cpu", "cpu0", "cpu1"}


def test_temperatures_in_other_units_and_of_dead_sensors(tmp_path: Path) -> None:
    """Old kernels write degrees or tenths; a processor's own sensor shows its limit as the critical temperature."""
    files = {
        **{f"class/thermal/thermal_zone{n}/type": f"zone-{n}\n" for n in range(5)},
        "class/thermal/thermal_zone0/temp": "84\n",
        "class/thermal/thermal_zone1/temp": "612\n",
        "class/thermal/thermal_zone2/temp": "84000\n",
        "class/thermal/thermal_zone3/temp": "0\n",
        "class/thermal/thermal_zone4/temp": "999000\n",
        "class/hwmon/hwmon0/name": "coretemp\n",
        "class/hwmon/hwmon0/temp1_input": "70000\n",
        "class/hwmon/hwmon0/temp1_crit": "100000\n",
        "class/hwmon/hwmon1/name": "nvme\n",
        "class/hwmon/hwmon1/temp1_input": "60000\n",
        "class/hwmon/hwmon1/temp1_crit": "64850\n",
    }
    for name, content in files.items():
        (tmp_path / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / name).write_text(content)
    (state,) = snapshots(Local(), 1, str(tmp_path))
    assert state.temperature_c == {
        "thermal_zone0 zone-0": 84.0,
        "thermal_zone1 zone-1": 61.2,
        "thermal_zone2 zone-2": 84.0,
        "hwmon0 coretemp temp1": 70.0,
        "hwmon1 nvme temp1": 60.0,
    }
    assert state.trip_c == {"hwmon0 coretemp temp1": 100.0}


def test_description_of_a_board(raspberry: str) -> None:
    machine = describe(Local(), raspberry)
    assert machine.cpu == "4x Cortex-A76"
    assert machine.soc == "brcm,bcm2712"
    assert machine.title == "Raspberry Pi 5 Model B Rev 1.0"
    assert machine.cores == 4
    assert machine.allowed_cores == "0-3"
    assert machine.memory_bytes == 8245432 * 1024
    assert machine.os == "Debian GNU/Linux 12 (bookworm)"


def test_mixed_and_unknown_cores_are_named(tmp_path: Path) -> None:
    cores = [(0x41, 0xD05)] * 2 + [(0x41, 0xFFF), (0x61, 0x22)]
    text = "".join(f"processor: {i}\nCPU implementer: {m:#x}\nCPU part: {p:#x}\n" for i, (m, p) in enumerate(cores))
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(text)
    assert describe(Local(), str(tmp_path)).cpu == "2x Cortex-A55 + 1x Arm part 0xfff + 1x maker 0x61 part 0x22"


def test_a_machine_that_shows_nothing_is_all_none(tmp_path: Path) -> None:
    assert snapshots(Local(), 1, str(tmp_path)) == [BoardState()]
    machine = describe(Local(), str(tmp_path))
    assert (machine.cpu, machine.soc, machine.cores, machine.memory_bytes, machine.os) == (None,) * 5


def test_damaged_values_are_left_out(tmp_path: Path) -> None:
    for name, content in {
        "proc/uptime": "soon",
        "sys/class/thermal/thermal_zone0/temp": "N/A",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "<unknown>",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "?",
        "proc/stat": "cpu  1 2\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (state,) = snapshots(Local(), 1, str(tmp_path))
    assert state == BoardState(ticks={"cpu": Ticks(3, 0, 0)})


def test_a_target_without_a_shell_is_all_none(monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert snapshots(Local(), 1) == []
    assert describe(Local()) == Machine()
    with Sampler(Local()) as sampler:
        pass
    assert sampler.states == []


def test_sampler_reads_until_it_is_left() -> None:
    with Sampler(Local()) as sampler:
        time.sleep(1.2)
    taken = len(sampler.states)
    assert taken >= 2
    time.sleep(1.1)
    assert len(sampler.states) == taken


def test_this_machine_is_described() -> None:
    machine = describe(Local())
    assert machine.arch
    assert machine.cores
