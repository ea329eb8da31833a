"""docs/boards: every command there is run, but for names word for word, or is named here with the reason why not."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.boards.conftest import NATIVE, make_x86
from tests.boards.test_pack import LIBRARY, LITE, program
from tests.conftest import ROOT, Finished
from tests.targets.sshd import Sshd

PAGES = sorted((ROOT / "docs" / "boards").glob("*.md"))
ELSEWHERE = {
    "make native-aarch64 native-armhf native-x86-64": ".ci/run",
    "make wheels": ".ci/run",
    "make native-aarch64": ".ci/run",
    "make native-armhf": ".ci/run",
    "pip wheel": "test_short_way.py",
    "python3 -m venv edge": "test_short_way.py",
    "edge/bin/pip install": "test_short_way.py",
    "edge/bin/edge-seg": "test_short_way.py",
    "edge-seg convert my_run --recipe ncnn-fp32": "tests/runtime/test_ncnn.py",
    "edge-seg board fetch-library": "test_library.py, from a server of its own",
    "edge-seg bench run my_bundles/arm-fp32 --on emulated:cortex-a72": "test_emulated.py, where Paddle Lite is",
    "edge-seg predict my_bundles/arm-fp32 photo.jpg --on emulated:cortex-a72": "test_emulated.py, where Paddle Lite is",
    "edge-seg verify": "tests/convert/verify/test_device.py",
}
"""Commands by how they begin, and which test runs them."""
NOT_RUN = {
    "scp": "needs a board's address; the emulated one gets the files with its system",
    "ssh user@server": "pip on another machine; test_short_way.py runs the same there",
    "ssh-copy-id": "changes whom a machine lets in",
    "adb devices": "needs a phone; tests/targets/test_adb.py speaks its protocol",
    "edge-seg board deploy phone.tar.gz adb:SERIAL": "needs a phone",
    "edge-seg predict my_bundles/arm-fp32 photo.jpg --on adb:SERIAL": "needs a phone",
    "edge-seg bench run my_bundles/arm-fp32 --on adb:SERIAL": "needs a phone",
    "edge-seg board pack my_bundles/arm-fp32 --arch android-armv8": "needs Android's NDK",
    "sudo": "needs systemd",
    "cp photo.jpg /var/lib/edge-seg/new/": "needs the service",
    "journalctl": "needs systemd",
    "export": "sets a variable",
}
RUN = (
    "edge-seg board pack",
    "edge-seg board deploy",
    "edge-seg board add",
    "edge-seg board status",
    "edge-seg board rollback",
    "edge-seg board clean",
    "edge-seg predict my_bundles/arm-fp32 photos --on ssh:",
    "edge-seg bench run my_bundles/arm-fp32 --on ssh:",
    "edge-seg bench run my_bundles/onnx-fp32 --on ssh:",
)


def commands(page: Path) -> list[str]:
    """Each command of the page's shell blocks on one line, without its comment."""
    text = page.read_text(encoding="utf-8")
    lines = "".join(re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)).replace("\\\n", " ").splitlines()
    return [" ".join(line.split("  #")[0].split()) for line in lines if line.strip()]


def begins(command: str, starts: Iterable[str]) -> bool:
    return any(command.startswith(start) for start in starts)


def is_run(command: str) -> bool:
    return begins(command, RUN) and not begins(command, [*ELSEWHERE, *NOT_RUN])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_is_known(page: Path) -> None:
    for command in commands(page):
        assert begins(command, [*ELSEWHERE, *NOT_RUN, *RUN]), f"{page.name}: {command}"
        if command.startswith("make "):
            makefile = (ROOT / "Makefile").read_text() + (ROOT / "cmake" / "native.mk").read_text()
            for target in command.split("make ")[1].split():
                assert re.search(rf"^(?:[\w-]+ )*{target}(?: [\w-]+)*:", makefile, re.MULTILINE), target


def test_every_reason_is_needed() -> None:
    every = [command for page in PAGES for command in commands(page)]
    for start in (*ELSEWHERE, *NOT_RUN, *RUN):
        assert any(command.startswith(start) for command in every), start


def test_the_pages_name_what_is_not_run() -> None:
    text = (ROOT / "docs" / "boards" / "README.md").read_text(encoding="utf-8")
    said = text.split("## What was tried, and what wasn't")[1]
    for word in ("`scp`", "`ssh-copy-id`", "`adb`", "systemd", "cpufreq"):
        assert word in said, word


@pytest.fixture
def here(tmp_path: Path, tiny_bundles: Path, board: Sshd, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the commands name: bundles, images, a runner that computes nothing, and a library."""
    if not NATIVE.is_file():
        pytest.skip("the native runner isn't built: `make native` builds it")
    folder = tmp_path / "here"
    make_x86(folder / "my_bundles" / "arm-fp32")
    shutil.copytree(tiny_bundles / "onnx-fp32", folder / "my_bundles" / "onnx-fp32")
    image = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    (folder / "photos").mkdir()
    cv2.imwrite(str(folder / "photo.jpg"), image)
    cv2.imwrite(str(folder / "photos" / "one.jpg"), image)
    for build in ("aarch64", "armhf"):
        runner = folder / "build" / "native" / build / "edge-seg-run"
        runner.parent.mkdir(parents=True)
        runner.write_text(f'#!/bin/sh\nexec "{NATIVE}" "$@" --engine null\n')
    library = folder / "lite" / "cxx" / "lib" / LIBRARY
    library.parent.mkdir(parents=True)
    program(library, machine=62, interpreter="", engines=LITE)
    python = board.home / "edge" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("PADDLE_LITE_DIR", "lite")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return folder


@pytest.mark.slow
def test_they_run(here: Path, board: Sshd, edge_seg: Callable[..., Finished]) -> None:
    """On this machine behind ssh: it is no Arm board, so the archive is for x86."""
    named = re.compile(r"ssh://[\w@]+(?::22)?")
    packing: list[str] = []

    def run(*words: str, why: str) -> None:
        done = edge_seg(*words, cwd=here)
        assert done.returncode == 0, f"{why}\n{shlex.join(words)}\n{done.stdout}{done.stderr}"

    for name in ("hall", "attic"):  # the pages add the kitchen's alone
        run("board", "add", name, board.name, "--dir", str(board.home / name), why="a board for the pages")
    for page in PAGES:
        for command in commands(page):
            if not is_run(command):
                continue
            words = shlex.split(command.replace("$PADDLE_LITE_DIR", "lite"))[1:]
            words = [named.sub(board.name, word) for word in words]
            for place, word in enumerate(words):
                if word == "--arch":
                    words[place + 1] = "x86"
            if words[:2] == ["board", "add"]:
                # Boards that are one machine have a folder each.
                words += ["--dir", str(board.home / words[2])]
            if words[:2] == ["board", "rollback"]:
                # There must be another version to come from.
                with (here / "lite" / "cxx" / "lib" / LIBRARY).open("ab") as file:
                    file.write(b"another")
                run(*packing, why="a second version")
                run("board", "deploy", "board.tar.gz", words[2], why="a second version")
            if "--runner" in words and "--cores" in (runner := words[words.index("--runner") + 1]):
                words[words.index(runner)] = f"{runner.split('--cores')[0]}--cores 0"
            if words[:2] == ["board", "pack"]:
                packing = words
            if words[:2] == ["bench", "run"]:
                words += ["--repeat", "2", "--warmup", "1"]  # the pages' measurements last minutes
            run(*words, why=f"{page.name}: {command}")
