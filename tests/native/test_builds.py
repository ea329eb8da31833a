"""What the builds refuse, and in which words."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

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


def test_every_preset_has_its_toolchain() -> None:
    toolchains = SOURCES / "toolchains"
    for file in toolchains.glob("*.cmake"):
        assert len(file.read_text().splitlines()) <= 30, file.name
    for preset in ("android-arm64", "android-armv7", "aarch64-linux-gnu", "arm-linux-gnueabihf"):
        assert (toolchains / f"{preset}.cmake").is_file()
