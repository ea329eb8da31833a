"""What the builds refuse, and in which words."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_seg.boards.elf import C_LIBRARY, read_elf
from tests.native.conftest import BUILDS

SOURCES = Path(__file__).parents[2] / "cmake"


def configure(preset: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    for program in ("cmake", "ninja", "g++"):
        if shutil.which(program) is None:
            pytest.skip(f"the program {program} isn't here: `make native` installs it")
    environment = {name: value for name, value in os.environ.items() if "ANDROID" not in name} | settings
    command = ["cmake", "--preset", preset, "-B", str(folder), "-S", str(SOURCES)]
    return subprocess.run(command, cwd=SOURCES, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("preset", ["android-arm64", "android-armv7"])
def test_android_needs_its_ndk(tmp_path: Path, preset: str) -> None:
    without = configure(preset, tmp_path / "a")
    assert without.returncode != 0
    assert "ANDROID_NDK_HOME isn't set" in " ".join(without.stderr.split())
    wrong = configure(preset, tmp_path / "b", ANDROID_NDK_HOME=str(tmp_path))
    assert wrong.returncode != 0
    assert "Set it to the folder of an unpacked NDK" in " ".join(wrong.stderr.split())


def test_paddle_lite_must_be_there(tmp_path: Path) -> None:
    refused = configure("host", tmp_path / "a", PADDLE_LITE_DIR=str(tmp_path / "none"))
    assert refused.returncode != 0
    assert str(tmp_path / "none") in " ".join(refused.stderr.split())


OLDEST_GLIBC = (2, 31)
"""Debian 11's, which vendors' systems for boards still are."""


@pytest.mark.parametrize("name", ["edge-seg-run", "libedge_seg.so"])
@pytest.mark.parametrize("machine", ["aarch64", "armhf"])
def test_boards_with_an_old_c_library_are_served(machine: str, name: str) -> None:
    """Every symbol version that program and library ask of theirs, and that they ask no other libraries."""
    program = BUILDS / machine / name
    if not program.is_file():
        pytest.skip(f"the native runner isn't built for {machine}: `make native-{machine}` builds it")
    elf = read_elf(program)
    assert elf is not None
    versions = [name for asked in elf.versions.values() for name in asked]
    assert {name.partition("_")[0] for name in versions} == {"GLIBC"}
    numbers = [tuple(int(part) for part in name.removeprefix("GLIBC_").split(".")) for name in versions]
    assert max(numbers) <= OLDEST_GLIBC
    # Paddle Lite's own library beside them, where the build has it.
    assert set(elf.needed) - {"libpaddle_light_api_shared.so"} <= C_LIBRARY


def test_every_preset_has_its_toolchain() -> None:
    toolchains = SOURCES / "toolchains"
    for file in toolchains.glob("*.cmake"):
        assert len(file.read_text().splitlines()) <= 35, file.name
    for preset in ("android-arm64", "android-armv7", "aarch64-linux-gnu", "arm-linux-gnueabihf"):
        assert (toolchains / f"{preset}.cmake").is_file()
