"""Wheels of the native runner: named for what they need, installed by pip, and found by edge-seg."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edge_seg import __version__
from edge_seg.errors import EdgeSegError
from tests.conftest import ROOT
from tests.native.bundles import native
from tests.native.conftest import BUILDS
from tests.native.running import of_kind
from tools.make_wheels import MACHINES, RUNNER, Wheel, make_wheel

OLDEST_GLIBC = (2, 31)
EMULATED = {"aarch64": "cortex-a72", "armhf": "cortex-a9"}


@pytest.fixture(scope="module", params=MACHINES)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Wheel]:
    name = request.param
    if not (BUILDS / name / RUNNER).is_file():
        pytest.skip(f"the native runner isn't built for {name}: `make native-{name}` builds it")
    if importlib.util.find_spec("auditwheel") is None:
        pytest.skip("needs auditwheel: pip install auditwheel")
    return name, make_wheel(BUILDS / name, MACHINES[name], tmp_path_factory.mktemp(name))


def test_the_platform_is_one_that_old_boards_take(built: tuple[str, Wheel]) -> None:
    name, wheel = built
    _, major, minor, *machine = wheel.platform.split("_")
    assert (int(major), int(minor)) <= OLDEST_GLIBC
    assert "_".join(machine) == MACHINES[name]
    assert wheel.file.name == f"edge_seg_runner-{__version__}-py3-none-{wheel.platform}.whl"
    assert "null" in wheel.engines


def test_the_same_build_gives_the_same_bytes(built: tuple[str, Wheel], tmp_path: Path) -> None:
    name, wheel = built
    assert make_wheel(BUILDS / name, MACHINES[name], tmp_path).file.read_bytes() == wheel.file.read_bytes()


def test_pip_installs_it_and_it_runs(built: tuple[str, Wheel], folder: Path) -> None:
    name, wheel = built
    words = ["--target", "site", "--no-deps", "--no-index", "--only-binary=:all:", "--platform", wheel.platform]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q", *words, str(wheel.file)]
    subprocess.run(pip, check=True, timeout=120)
    program = Path("site/edge_seg_runner/edge-seg-run").resolve()
    if name in EMULATED:
        command = [str(BUILDS / name / "emulate"), EMULATED[name], str(program)]
    else:
        find = "from edge_seg.runtime.engines.native import find; print(*find())"
        paths = os.pathsep.join([str(Path("site").resolve()), str(ROOT)])
        environment = {**os.environ, "PYTHONPATH": paths, "PATH": "/usr/bin:/bin"}
        found = subprocess.run(
            [sys.executable, "-c", find], env=environment, capture_output=True, text=True, check=True
        )
        assert found.stdout.strip() == str(program)
        main = [sys.executable, "-c", "import edge_seg_runner; edge_seg_runner.main()", "--version"]
        said = subprocess.run(main, env=environment, capture_output=True, text=True, check=True)
        assert said.stdout.strip() == __version__
        command = [str(program)]
    code, lines = native(command, "--bundle", "bundle", "--engine", "null", "--json", "--self-test")
    assert code == 0
    assert of_kind(lines, "self_test")[0]["passed"]


def test_a_program_that_needs_what_is_nowhere_is_refused(built: tuple[str, Wheel], tmp_path: Path) -> None:
    name, _ = built
    program = (BUILDS / name / RUNNER).read_bytes()
    (tmp_path / RUNNER).write_bytes(program.replace(b"libm.so.6\0", b"libx.so.6\0"))
    with pytest.raises(EdgeSegError, match=r"needs libx\.so\.6, which isn't beside it"):
        make_wheel(tmp_path, MACHINES[name], tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.whl"))


def test_wheels_hold_no_more_than_they_must(built: tuple[str, Wheel]) -> None:
    with zipfile.ZipFile(built[1].file) as archive:
        names = {Path(name).name for name in archive.namelist()}
    expected = {"__init__.py", RUNNER, "METADATA", "WHEEL", "RECORD", "LICENSE", "entry_points.txt"}
    if built[1].engines == ("null",):
        assert names == expected
    else:
        assert names >= expected
