"""cmake/FindPaddleLite.cmake: each thing that can be wrong with a Paddle Lite folder is said, with what to do."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

MODULE = Path(__file__).parents[2] / "cmake"
PROJECT = f"""
cmake_minimum_required(VERSION 3.20)
project(finds LANGUAGES NONE)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
list(APPEND CMAKE_MODULE_PATH "{MODULE}")
find_package(PaddleLite REQUIRED)
message("found version ${{PaddleLite_VERSION}}")
"""
LIBRARY = Path("cxx/lib/libpaddle_light_api_shared.so")
HEADER = Path("cxx/include/paddle_api.h")
# The library's strings stand between zeros, as a compiler leaves them.
GOOD = b"\x7fELF" + bytes(14) + b"\xb7\x00" + bytes(44) + b"generate_proposals_v2\0v2.13-rc\0"

pytestmark = pytest.mark.skipif(
    shutil.which("cmake") is None, reason="cmake isn't installed: `make native` installs it"
)


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """``configure(library)`` lays out an archive with these bytes for its library; exit code and words of cmake."""

    def run(library: bytes | None = GOOD, *options: str, header: bool = True) -> tuple[int, str]:
        archive = tmp_path / "archive"
        for file, content in ((LIBRARY, library), (HEADER, b"" if header else None)):
            if content is not None:
                (archive / file).parent.mkdir(parents=True, exist_ok=True)
                (archive / file).write_bytes(content)
        (tmp_path / "CMakeLists.txt").write_text(PROJECT)
        words = ["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "build"), f"-DPADDLE_LITE_DIR={archive}", *options]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    return run


def test_a_good_archive(configure: Callable[..., tuple[int, str]]) -> None:
    code, said = configure()
    assert code == 0, said
    assert "found version 2.13rc0" in said


@pytest.mark.parametrize(
    ("library", "header", "expected"),
    [
        (None, True, "cxx/lib/libpaddle_light_api_shared.so in it"),
        (GOOD, False, "cxx/include/paddle_api.h"),
        (b"<html>not found</html>", True, "is not a shared library"),
        (GOOD.replace(b"\xb7\x00", b"\x28\x00"), True, "is for arm, but this build is for aarch64"),
        (GOOD.replace(b"\xb7\x00", b"\x3e\x00"), True, "is for x86_64, but this build is for aarch64"),
        (GOOD.replace(b"\xb7\x00", b"\xf3\x00"), True, "is for another processor (ELF machine f300)"),
        (GOOD.replace(b"generate_proposals_v2", b"conv2d"), True, "`with_extra` in its name"),
        (GOOD.replace(b"v2.13-rc", b"2023"), True, "-DPADDLE_LITE_VERSION=v2.13-rc"),
    ],
    ids=["no library", "no headers", "no ELF", "32-bit Arm", "x86", "RISC-V", "no extra kernels", "no version"],
)
def test_what_is_wrong_is_said(
    configure: Callable[..., tuple[int, str]], library: bytes | None, header: bool, expected: str
) -> None:
    code, said = configure(library, header=header)
    assert code != 0
    assert expected in said


def test_the_version_can_be_named(configure: Callable[..., tuple[int, str]]) -> None:
    code, said = configure(GOOD.replace(b"v2.13-rc", b"2023"), "-DPADDLE_LITE_VERSION=v2.12")
    assert code == 0, said
    assert "found version 2.12" in said
