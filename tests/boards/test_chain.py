"""Which libraries go along with a runner, what a board must have for an archive, and who is told before anything is
sent."""

from __future__ import annotations

import contextlib
import shutil
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_seg.boards.elf import Elf, read_elf
from edge_seg.boards.pack import LIGHT_LIBRARY, requirements
from edge_seg.boards.package import Package, check_board
from edge_seg.boards.state import State
from edge_seg.bundle import open_bundle
from edge_seg.errors import TargetError, UsageError
from tests.boards.test_pack import LITE, NATIVE, program
from tests.bundles.made import edit, make_bundle

Run = Callable[..., tuple[int, dict[str, Any], str]]
SYSROOT = NATIVE / "sysroot" / "arm64"
LIBRARIES = SYSROOT / "usr" / "lib" / "aarch64-linux-gnu"
FP16 = [0x4E5F0C41, 0x4F351883, 0x4F0F13FF]
"""FMLA of eight halves by vector and by element, as GNU as encodes it."""


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "arm-fp32")


@pytest.fixture
def inference(tmp_path: Path) -> Path:
    """A real Arm library that needs libgcc_s beside the C library, in place of Paddle Lite's."""
    if not (SYSROOT / "edge-seg-ready").is_file():
        pytest.skip("the libraries for Arm aren't here: `make native-aarch64` gathers them")
    (tmp_path / "lite").mkdir()
    return Path(shutil.copy(LIBRARIES / "libstdc++.so.6", tmp_path / "lite" / LIGHT_LIBRARY))


def test_what_a_library_needs_goes_along(run: Run, arm: Path, inference: Path, tmp_path: Path) -> None:
    runner, out = program(tmp_path / "edge-seg-run", engines=LITE), tmp_path / "board.tar.gz"
    words = ["board", "pack", arm, "--arch", "armv8", "--runner", runner, "--library", inference, "--out", out]
    code, said, _ = run(*words)
    assert (code, said["error"]["code"]) == (2, "library-missing")
    assert "needs libgcc_s.so.1, which a minimal board lacks" in said["error"]["message"]
    assert not out.exists()
    (tmp_path / "lib").mkdir()
    shutil.copy(SYSROOT / "lib" / "aarch64-linux-gnu" / "libgcc_s.so.1", tmp_path / "lib")
    code, said, _ = run(*words)
    assert (code, said["libraries"]) == (0, ["libgcc_s.so.1", LIGHT_LIBRARY]), said
    assert said["glibc"] == "2.18"
    with tarfile.open(out) as tarred:
        assert {name.partition("/")[2] for name in tarred.getnames()} >= {"lib/libgcc_s.so.1", f"lib/{LIGHT_LIBRARY}"}


def test_a_library_for_another_processor_in_the_chain(run: Run, arm: Path, inference: Path, tmp_path: Path) -> None:
    runner, out = program(tmp_path / "edge-seg-run", engines=LITE), tmp_path / "board.tar.gz"
    program(inference.parent / "libgcc_s.so.1", machine=62, interpreter="")
    words = ["--arch", "armv8", "--runner", runner, "--library", inference, "--out", out]
    code, said, _ = run("board", "pack", arm, *words)
    assert (code, said["error"]["code"]) == (1, "wrong-architecture")


def with_code(file: Path, words: list[int], repeats: int) -> Path:
    """A library of one segment of machine code."""
    code = struct.pack(f"<{len(words)}I", *words) * repeats
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header += struct.pack("<HHIQQQIHHHHHH", 3, 183, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    header += struct.pack("<IIQQQQQQ", 1, 5, 120, 0, 0, len(code), len(code), 4)
    file.write_bytes(header + code)
    return file


def test_a_library_without_fp16_is_refused_for_fp16(run: Run, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "arm-fp16")
    edit(bundle, lambda manifest: manifest.update(precision="fp16", optimizer={"requires": ["extra", "fp16"]}))
    runner, library = program(tmp_path / "edge-seg-run", engines=LITE), tmp_path / LIGHT_LIBRARY
    words = ["--arch", "armv8", "--runner", runner, "--library", library, "--out", tmp_path / "board.tar.gz"]
    with_code(library, FP16, 3)
    code, said, _ = run("board", "pack", bundle, *words)
    assert (code, said["error"]["code"]) == (1, "requirement-missing")
    assert "built with fp16, and this one isn't" in said["error"]["message"]
    with_code(library, FP16, 100)
    assert run("board", "pack", bundle, *words)[0] == 0


def test_what_a_bundle_requires(arm: Path) -> None:
    def needs(**changes: Any) -> frozenset[str]:
        edit(arm, lambda manifest: manifest.update(changes))
        return requirements(open_bundle(arm).manifest)

    assert needs(optimizer={"requires": ["extra"]}) == {"extra"}
    assert needs(precision="fp16") == {"extra", "fp16"}
    assert needs(optimizer={"requires": ["extra", "opencl"]}) == {"extra", "opencl"}
    assert needs(optimizer={}, precision="fp32") == frozenset()


def test_damaged_programs(tmp_path: Path) -> None:
    """Every cut, and every byte of the headers changed: an answer or a clear error, and never another exception."""
    sound = program(tmp_path / "p", engines=LITE).read_bytes()
    file = tmp_path / "damaged"
    for cut in range(4, len(sound)):
        file.write_bytes(sound[:cut])
        _read(file)
    for place in range(4, 180):
        for value in (0, 1, 0x7F, 0xFF):
            file.write_bytes(sound[:place] + bytes([value]) + sound[place + 1 :])
            _read(file)


def _read(file: Path) -> None:
    with contextlib.suppress(UsageError):
        read_elf(file)


AARCH64 = Elf("aarch64", 64, False, "/lib/ld-linux-aarch64.so.1", b"")
ARMV8 = State("aarch64", None, None, (), 64, (2, 36), True, frozenset({"fp", "asimd"}))


def state(**changes: Any) -> State:
    return State(**{**vars(ARMV8), **changes})


def package(program: Elf | None = AARCH64, glibc: tuple[int, ...] | None = (2, 31), fp16: bool = False) -> Package:
    return Package("1", Path(), program, glibc, fp16)


@pytest.mark.parametrize(
    ("found", "archive", "code", "words"),
    [
        (state(machine="x86_64"), package(), "wrong-architecture", "the board is x86_64"),
        (state(bits=32, loader=False), package(), "wrong-word-size", "programs have 32 bits"),
        (state(bits=None, loader=False), package(), "loader-missing", "ld-linux-aarch64.so.1"),
        (state(glibc=(2, 28)), package(), "glibc-too-old", "needs glibc 2.31, the board has 2.28"),
        (ARMV8, package(fp16=True), "requirement-missing", "fp16"),
    ],
)
def test_boards_that_can_not_run_it(found: State, archive: Package, code: str, words: str) -> None:
    with pytest.raises(TargetError) as caught:
        check_board("kitchen", found, archive)
    assert (caught.value.code, words in caught.value.message) == (code, True)
    assert "nothing was changed" in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("found", "archive"),
    [
        (ARMV8, package()),
        (state(bits=None, glibc=None, features=None), package(fp16=True)),
        (state(features=frozenset({"asimdhp"})), package(fp16=True)),
        (state(machine="x86_64", loader=False), package(program=None, fp16=True)),
    ],
)
def test_boards_that_may(found: State, archive: Package) -> None:
    check_board("kitchen", found, archive)


def test_a_runner_says_which_glibc_it_needs() -> None:
    file = NATIVE / "aarch64" / "edge-seg-run"
    elf = read_elf(file) if file.is_file() else None
    if elf is None:
        pytest.skip("the native runner isn't built for aarch64: `make native-aarch64` builds it")
    assert elf.glibc is not None
    assert (2, 17) <= elf.glibc <= (2, 31)
