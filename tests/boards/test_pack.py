"""edge-seg pack: what is in the file, and what is refused before it is written."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_seg.boards.elf import read_elf
from edge_seg.files import sha256
from tests.bundles.made import make_bundle

Run = Callable[..., tuple[int, dict[str, Any], str]]
NATIVE = Path(__file__).parents[2] / "build" / "native"
LIBRARY = "libpaddle_light_api_shared.so"


def program(
    file: Path, machine: int = 183, interpreter: str = "/lib/ld-linux-aarch64.so.1", flags: int = 0, engines: str = ""
) -> Path:
    """The header of a 64-bit program with its loader's name, and the words by which edge-seg-run is known."""
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, flags, 64, 56, 1, 0, 0, 0)
    name = interpreter.encode() + b"\0"
    header += struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(name), len(name), 1)
    identity = f"edge-seg-run version=0.1.0 protocol=1 engines={engines}\0".encode() if engines else b""
    file.write_bytes(header + name + identity)
    return file


LITE = "paddle-lite=2.13rc0,null=1"


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "arm-fp32")


def test_what_is_in_it(run: Run, x86: Path, runner: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "board.tar.gz"
    code, said, _ = run("board", "pack", x86, "--arch", "x86", "--runner", runner, "--out", out)
    assert code == 0
    assert (said["bytes"], said["sha256"]) == (out.stat().st_size, sha256(out))
    assert said["model_bytes"] == 4000
    assert "self-test on the board" in said["notes"][0], "a script's architecture can't be known"
    with tarfile.open(out) as tarred:
        modes = {entry.name: entry.mode for entry in tarred.getmembers()}
    bundle = ["detect.nb", "golden/expected.json", "golden/image.png", "manifest.json", "mask.nb"]
    assert modes == {
        "shapes/run": 0o755,
        "shapes/edge-seg-run": 0o755,
        **{f"shapes/bundle/{name}": 0o644 for name in bundle},
    }


def test_the_same_files_give_the_same_bytes(run: Run, x86: Path, runner: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    shutil.copytree(x86, other)
    (other / "stray").touch()
    for file in other.rglob("*"):
        os.utime(file, (1, 1))
        file.chmod(0o700)
    first, second = tmp_path / "a.tar.gz", tmp_path / "b.tar.gz"
    for bundle, out in ((x86, first), (other, second)):
        assert run("board", "pack", bundle, "--arch", "x86", "--runner", runner, "--out", out)[0] == 0
        os.utime(runner, (2, 2))
    assert first.read_bytes() == second.read_bytes()


def test_it_runs_where_it_is_unpacked(run: Run, x86: Path, runner: Path, tmp_path: Path) -> None:
    out = tmp_path / "board.tar.gz"
    assert run("board", "pack", x86, "--arch", "x86", "--runner", runner, "--out", out)[0] == 0
    place = tmp_path / "a place with 'quotes' and\nmore"
    place.mkdir()
    subprocess.run(["tar", "-xzf", out, "-C", place], check=True)
    (tmp_path / "link").symlink_to("other link")
    (tmp_path / "other link").symlink_to(place / "shapes" / "run")
    done = subprocess.run([tmp_path / "link", "--self-test", "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '"passed":true' in done.stdout.replace(" ", "")


@pytest.mark.parametrize(
    ("changes", "target", "code", "words"),
    [
        ({"machine": 62, "interpreter": "/lib64/ld-linux-x86-64.so.2"}, "armv8", "wrong-architecture", "is for x86_64"),
        ({"machine": 40}, "armv7hf", "wrong-architecture", "without hardware floating point"),
        ({"interpreter": "/system/bin/linker64"}, "armv8", "wrong-architecture", "is for Android"),
        ({}, "android-armv8", "wrong-architecture", "is for Linux"),
        ({"engines": ""}, "armv8", "runner-unknown", "not an edge-seg-run"),
        ({"engines": "null=1"}, "armv8", "engine-mismatch", "no Paddle Lite in it"),
        (
            {"engines": "paddle-lite=2.12,null=1"},
            "armv8",
            "version-mismatch",
            "2.12, but the bundle was made for",
        ),
        ({}, "x86", "target-mismatch", "the bundle is for arm"),
    ],
)
def test_what_does_not_fit_is_refused(
    run: Run, arm: Path, tmp_path: Path, changes: dict[str, Any], target: str, code: str, words: str
) -> None:
    runner = program(tmp_path / "edge-seg-run", **{"engines": LITE, **changes})
    out = tmp_path / "board.tar.gz"
    exit_code, said, _ = run("board", "pack", arm, "--arch", target, "--runner", runner, "--out", out)
    assert (exit_code in (1, 2), said["error"]["code"]) == (True, code)
    assert words in said["error"]["message"]
    assert said["error"]["remedy"]
    assert not out.exists()


def test_the_library_is_asked_for_and_looked_at(run: Run, arm: Path, tmp_path: Path) -> None:
    runner = program(tmp_path / "edge-seg-run", engines=LITE)
    with runner.open("ab") as file:
        file.write(LIBRARY.encode() + b"\0")
    words = ["board", "pack", arm, "--arch", "armv8", "--runner", runner, "--out", tmp_path / "board.tar.gz"]
    assert run(*words)[1]["error"]["code"] == "library-missing"
    library = program(tmp_path / LIBRARY, machine=62, interpreter="")
    assert run(*words, "--library", library)[1]["error"]["code"] == "wrong-architecture"
    program(library, interpreter="")
    code, said, _ = run(*words, "--library", library)
    assert (code, said["notes"]) == (0, [])
    with tarfile.open(tmp_path / "board.tar.gz") as tarred:
        assert f"shapes-256x256-arm-fp32/lib/{LIBRARY}" in tarred.getnames()


def test_files_that_are_no_programs(run: Run, x86: Path, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no program")
    cut = tmp_path / "cut"
    cut.write_bytes(b"\x7fELF\x02\x01")
    for file, words in ((text, "neither a program"), (cut, "cut short"), (tmp_path / "none", "no such file")):
        code, said, _ = run("board", "pack", x86, "--arch", "x86", "--runner", file, "--out", tmp_path / "board.tar.gz")
        assert code in (1, 2)
        assert words in said["error"]["message"]


def test_an_altered_bundle_is_refused(run: Run, x86: Path, runner: Path, tmp_path: Path) -> None:
    (x86 / "mask.nb").write_bytes(b"altered")
    out = tmp_path / "board.tar.gz"
    code, said, _ = run("board", "pack", x86, "--arch", "x86", "--runner", runner, "--out", out)
    assert (code, said["error"]["code"], out.exists()) == (1, "hash-mismatch", False)


@pytest.mark.parametrize(("build", "machine"), [("host", "x86_64"), ("aarch64", "aarch64"), ("armhf", "arm")])
def test_real_runners_are_known(build: str, machine: str) -> None:
    file = NATIVE / build / "edge-seg-run"
    if not file.is_file():
        pytest.skip(f"the native runner isn't built for {build}")
    elf = read_elf(file)
    assert elf is not None
    if build != "host":
        assert elf.machine == machine
    assert elf.hard_float == (build == "armhf")
    assert not elf.android
    assert elf.identity is not None
    version, engines = elf.identity
    assert version
    assert "null" in engines
    assert file.stat().st_size < 6_000_000, "with Paddle Lite's library (6 MB at most) an archive stays below 12 MB"


def test_no_input_is_overwritten(run: Run, x86: Path, arm: Path, runner: Path, tmp_path: Path) -> None:
    native, library = program(tmp_path / "edge-seg-run", engines=LITE), program(tmp_path / LIBRARY, interpreter="")
    link = tmp_path / "link"
    link.symlink_to(runner)
    for_x86 = ["board", "pack", x86, "--arch", "x86", "--runner", runner]
    for_arm = ["board", "pack", arm, "--arch", "armv8", "--runner", native, "--library", library]
    new = x86 / "board.tar.gz"
    inputs = [runner, native, library, x86 / "manifest.json"]
    before = [sha256(file) for file in inputs]
    for words, out in [(for_x86, runner), (for_x86, link), (for_x86, new), (for_x86, inputs[-1]), (for_arm, library)]:
        code, said, _ = run(*words, "--out", out)
        assert (code, said["error"]["code"]) == (2, "overwrites-input")
        assert str(out) in said["error"]["message"]
        assert said["error"]["remedy"]
    assert [sha256(file) for file in inputs] == before
    assert not new.exists()
