"""The native programs, as far as they are built: on this machine, and for Arm in the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.native.probe import Probe

BUILDS = Path(__file__).parents[2] / "build" / "native"
# The folder of a build: the target of `make` that makes it, and the processor that it is tested on.
MACHINES = {
    "host": ("native", ""),
    "aarch64": ("native-aarch64", "cortex-a72"),
    "armhf": ("native-armhf", "cortex-a72"),
}


def built(program: str) -> list[str]:
    """The builds that hold ``program``; ``host`` in any case, so that its tests say that they were skipped."""
    return [machine for machine in MACHINES if machine == "host" or (BUILDS / machine / program).is_file()]


def command_of(machine: str, program: str) -> list[str]:
    """How ``program`` of that build is started; skips the test when it isn't built."""
    target, cpu = MACHINES[machine]
    folder = BUILDS / machine
    if not (folder / program).is_file():
        pytest.skip(f"the native runner isn't built: `make {target}` builds it")
    emulator = [str(folder / "emulate"), cpu] if cpu else []
    return [*emulator, str(folder / program)]


@pytest.fixture(scope="module", params=built("edge-seg-probe"))
def probe(request: pytest.FixtureRequest) -> Iterator[Probe]:
    """The native core's functions, by name: ``probe("resize", image, width=…)``."""
    with Probe(command_of(request.param, "edge-seg-probe")) as running:
        yield running
