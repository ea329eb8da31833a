"""The runner for Arm with Paddle Lite's library, on emulated boards: packed, deployed, asked, measured.

Needs `make native-aarch64` with PADDLE_LITE_DIR, and that variable still set.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_seg import cli
from edge_seg.boards.elf import read_elf
from edge_seg.boards.pack import LIGHT_LIBRARY
from edge_seg.data import synth
from edge_seg.errors import MissingDependencyError, UsageError
from edge_seg.records.board_state import snapshots
from edge_seg.records.machine import describe
from edge_seg.records.record import read
from edge_seg.runtime.parity import compare
from edge_seg.runtime.segmenter import Segmenter
from edge_seg.targets import open_target
from tests.boards.conftest import deploy
from tests.targets.sshd import Sshd

Run = Callable[..., tuple[int, dict[str, Any], str]]
BUILD = Path(__file__).parents[2] / "build" / "native" / "aarch64"
RUNNER, EMULATE, CPU = BUILD / "edge-seg-run", BUILD / "emulate", "cortex-a72"


@pytest.fixture(scope="module")
def library() -> Path:
    """Paddle Lite's library for aarch64, which the built runner is for."""
    elf = read_elf(RUNNER) if RUNNER.is_file() else None
    if elf is None or elf.identity is None or "paddle-lite" not in elf.identity[1]:
        pytest.skip("the native runner isn't built with Paddle Lite: PADDLE_LITE_DIR=… make native-aarch64")
    file = Path(os.environ.get("PADDLE_LITE_DIR", "")) / "cxx" / "lib" / LIGHT_LIBRARY
    if not file.is_file():
        pytest.skip("PADDLE_LITE_DIR isn't the folder of Paddle Lite's archive for armv8")
    return file


@pytest.fixture
def packed(library: Path, tiny_bundles: Path, run: Run, tmp_path: Path) -> Path:
    out = tmp_path / "board.tar.gz"
    words = ["--arch", "armv8", "--runner", RUNNER, "--library", library, "--out", out]
    code, said, _ = run("board", "pack", tiny_bundles / "arm-fp32", *words)
    assert (code, said["notes"]) == (0, []), said
    assert said["program_bytes"] < 12_000_000, "without the model"
    assert said["bytes"] - said["model_bytes"] < 12_000_000
    return out


@pytest.mark.slow
def test_what_is_packed_runs(packed: Path, tmp_path: Path) -> None:
    """The library that is found is the packed one: the archive holds all that is needed."""
    with tarfile.open(packed) as tarred:
        tarred.extractall(tmp_path / "there")
    (folder,) = (tmp_path / "there").iterdir()
    words = [EMULATE, CPU, folder / "edge-seg-run", "--bundle", folder / "bundle", "--self-test", "--json"]
    done = subprocess.run(
        [str(word) for word in words],
        env={**os.environ, "LD_LIBRARY_PATH": str(folder / "lib")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, lines
    assert next(line for line in lines if line["type"] == "self_test")["passed"]


@pytest.mark.slow
def test_deployed_with_the_emulator_between(
    packed: Path, library: Path, tiny_bundles: Path, run: Run, board: Sshd, tmp_path: Path
) -> None:
    """This machine can't start Arm programs by itself: the plain archive is refused, one with a script goes on."""
    code, said, _ = deploy(run, packed, board.name)
    assert (code, said["error"]["code"]) == (1, "wrong-architecture")
    script = tmp_path / "runner"
    path = f"PATH=$PATH:{shlex.quote(os.environ['PATH'])}"
    script.write_text(f'#!/bin/sh\n{path} exec {shlex.quote(str(EMULATE))} {CPU} {shlex.quote(str(RUNNER))} "$@"\n')
    words = ["--arch", "armv8", "--runner", script, "--library", library, "--out", packed]
    assert run("board", "pack", tiny_bundles / "arm-fp32", *words)[0] == 0
    code, said, _ = deploy(run, packed, board.name)
    assert code == 0, said
    assert said["self_test"]["passed"]
    assert said["self_test"]["matched"] == said["self_test"]["expected"] > 0
    assert (board.home / "edge-seg" / "run").exists()


@pytest.mark.slow
def test_segmenter_as_on_a_board(library: Path, tiny_bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("paddlelite", reason="needs the extra 'lite'")
    monkeypatch.setenv("EDGE_SEG_RUN", shlex.join([str(EMULATE), CPU, str(RUNNER)]))
    image = synth.draw(3, 128, 0)[0]
    with (
        Segmenter(tiny_bundles / "arm-fp32", engine="native", instances=5) as there,
        Segmenter(tiny_bundles / "x86-fp32", instances=5) as here,
    ):
        parity = compare(here(image), there(image))
    assert (parity.expected, parity.matched) == (5, 5)
    assert parity.box_px < 0.01
    assert parity.score < 1e-4
    assert parity.mask_iou > 0.99


@pytest.mark.slow
def test_records_are_marked(library: Path, tiny_bundles: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "records.jsonl"
    words = ["--target", f"emulated:{CPU}", "--repeat", "2", "--warmup", "0", "--instances", "1", "--threads", "1"]
    assert cli.main(["bench", "run", str(tiny_bundles / "arm-fp32"), *words, "--out", str(out)]) == 0
    ((record,), bad) = read(out)
    assert bad == []
    assert (record.target, record.verdict.status) == (f"emulated:{CPU}", "emulated")
    assert (record.machine.arch, record.machine.cpu) == ("aarch64", "4x Cortex-A72")
    assert (record.machine.kernel, record.cpu_seconds) == (None, None)
    capsys.readouterr()
    assert cli.main(["bench", "table", str(out)]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "random weights" in line)
    assert "ms" not in row, "an emulated processor fills no speed cell"


@pytest.mark.slow
def test_images_on_an_emulated_board(library: Path, tiny_bundles: Path, run: Run, tmp_path: Path) -> None:
    image = tiny_bundles / "arm-fp32" / "golden" / "image.png"
    words = ["--out", tmp_path / "out", "--score", "0.01", "--on", f"emulated:{CPU}"]
    code, said, _ = run("predict", tiny_bundles / "arm-fp32", image, *words)
    assert code == 0, said
    assert said["images"][0]["instances"] > 0


def test_boards_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGE_SEG_NATIVE_BUILDS", str(tmp_path))
    with pytest.raises(MissingDependencyError, match="make native-aarch64"):
        open_target("emulated:cortex-a72")
    with pytest.raises(UsageError, match="unknown kind of processor 'mips'"):
        open_target("emulated:mips/x")
    (tmp_path / "aarch64" / "boards" / "cortex-a72").mkdir(parents=True)
    for name in ("emulate", "edge-seg-run"):
        (tmp_path / "aarch64" / name).touch()
    with pytest.raises(UsageError, match="choose cortex-a72"):
        open_target("emulated:cortex-a99")
    with pytest.raises(UsageError, match="emulated here"):
        open_target("emulated:cortex-a72", folder="x")


def test_the_board_is_described_by_its_own_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGE_SEG_NATIVE_BUILDS", str(tmp_path))
    board = tmp_path / "armhf" / "boards" / "cortex-a53"
    (board / "proc").mkdir(parents=True)
    (board / "proc" / "cpuinfo").write_text("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd03\n\n")
    for name in ("emulate", "edge-seg-run"):
        (tmp_path / "armhf" / name).touch()
    with open_target("emulated:armhf/cortex-a53") as target:
        machine = describe(target)
        assert (machine.arch, machine.cpu, machine.kernel) == ("armv7l", "1x Cortex-A53", None)
        (state,) = snapshots(target, 1)
        assert state.load_average is None, "this machine's load is not the board's"
