"""The commands of docs/boards, "The short way", on an emulated Debian 12 for arm64 with Python, word for word."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from edge_seg import __version__
from tests.conftest import ROOT
from tests.targets.emulated_board import QEMU, EmulatedBoard
from tools.board_wheels import download

SYSTEM = ROOT / "build" / "board-python"
LIMIT_S = 3600


def commands() -> list[str]:
    """Those to be given on the board."""
    page = (ROOT / "docs" / "boards" / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^There:\n\n```sh\n(.*?)```", page, re.DOTALL | re.MULTILINE)
    assert block is not None
    return block[1].splitlines()


def test_the_page_names_this_version() -> None:
    assert re.findall(r"edge_seg-[\w.]+-py3", "\n".join(commands())) == [f"edge_seg-{__version__}-py3"]


@pytest.mark.slow
def test_from_a_bare_system_to_a_record(tiny_bundles: Path, tmp_path: Path) -> None:
    if QEMU is None or not (SYSTEM / "initrd").is_file():
        pytest.skip("no emulated Debian was made: `make board-python` makes and tests it")
    files = tmp_path / "files"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", files, ROOT], check=True, timeout=600)
    download(files / "wheels", "3.11", ("ncnn",))
    shutil.copytree(tiny_bundles / "ncnn-fp32", files / "ncnn-fp32")
    image = cv2.imread(str(tiny_bundles / "ncnn-fp32/golden/image.png"))
    cv2.imwrite(str(files / "photo.jpg"), image)
    # What stands for a package index: the board has no network but the one to this machine.
    pip_answers = "PIP_NO_INDEX=1 PIP_FIND_LINKS=/root/wheels HOME=/root"
    with EmulatedBoard(tmp_path / "board", SYSTEM, 4096, files) as board:
        ssh = ["ssh", *board.options.split(), "-p", str(board.port), "root@127.0.0.1"]
        assert "aarch64" in subprocess.run([*ssh, "uname -m; python3 --version"], capture_output=True, text=True).stdout
        assert subprocess.run([*ssh, "command -v gcc cc g++ clang"], capture_output=True).stdout == b""
        for command in commands():
            begin = time.monotonic()
            done = subprocess.run(
                [*ssh, f"export {pip_answers}; {command}"], capture_output=True, text=True, timeout=LIMIT_S
            )
            print(f"{time.monotonic() - begin:6.1f} s  {command}", flush=True)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        record = subprocess.run([*ssh, "cat records.jsonl"], capture_output=True, text=True, check=True).stdout
        made = json.loads(record.splitlines()[0])
        assert made["samples"]
        assert subprocess.run([*ssh, "ls found"], capture_output=True, text=True).stdout.split() == [
            "photo.jpg",
            "predictions.json",
        ]
