"""The native programs, as far as they are built: on this machine, and for Arm in the emulator."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.native.bundles import make_bundle, make_convolutions, make_three_graphs
from tests.native.probe import Probe

BUILDS = Path(__file__).parents[2] / "build" / "native"
# The folder of a build: the target of `make` that makes it, and the processor that it is tested on.
MACHINES = {
    "host": ("native", ""),
    "sanitize": ("native-sanitize", ""),
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


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner notes in the user's cache what it has hashed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("native")
    make_bundle(folder / "bundle")
    make_bundle(folder / "three")
    make_three_graphs(folder / "three")
    make_bundle(folder / "four")
    make_convolutions(folder / "four")
    rng = np.random.default_rng(2)
    image = cv2.GaussianBlur(rng.integers(0, 256, (120, 200, 3), dtype=np.uint8), (0, 0), 2)
    cv2.imwrite(str(folder / "a photo.jpg"), image)
    cv2.imwrite(str(folder / "grey.png"), rng.integers(0, 65536, (33, 21), dtype=np.uint16))
    cv2.imwrite(str(folder / "pixel.png"), image[:1, :1])
    (folder / "broken.jpg").write_bytes((folder / "a photo.jpg").read_bytes()[:500])
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for each test, with images and a bundle of each form, and the current one."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture(params=built("edge-seg-run"))
def command(request: pytest.FixtureRequest) -> list[str]:
    return command_of(request.param, "edge-seg-run")


@pytest.fixture(params=[machine for machine in built("edge-seg-run") if not MACHINES[machine][1]])
def local(request: pytest.FixtureRequest) -> list[str]:
    """The runner as built for this machine: for tests with so many runs that the emulator would take too long."""
    return command_of(request.param, "edge-seg-run")
