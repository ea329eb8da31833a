"""The commands on a machine that lacks something, or while it fails: a clear end, and nothing left behind."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_seg.data import synth
from edge_seg.partial import MARK
from tests.conftest import ROOT

Finished = subprocess.CompletedProcess[str]
QUICK = ["--size", "64", "--epochs", "1", "--max-steps", "2", "--eval-every", "0", "--weights", "none"]
NOBODY = 65534


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "shapes"
    synth.make(folder, images=6, size=64, seed=2)
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the commands write."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def commands(data: Path, bundles: Path, place: Path) -> dict[str, list[str]]:
    photo = sorted((data / "images").iterdir())[0]
    return {
        "synth": ["data", "synth", str(place / "out"), "--images", "6", "--size", "64"],
        "predict": ["predict", str(bundles / "onnx-fp32"), str(photo), "--out", str(place / "out")],
        "bench": ["bench", "run", str(bundles / "onnx-fp32"), "--out", str(place / "out.jsonl"), "--repeat", "2"],
        "train": ["train", "mask_rcnn_tiny_fpn", "--data", str(data), "--out", str(place / "out"), *QUICK],
        "convert": [
            *("convert", "mask_rcnn_tiny_fpn", "--random-weights", "--size", "64", "--classes", "2"),
            *("--recipe", "onnx-fp32", "--out", str(place / "out")),
        ],
        "pack": ["bundle", "pack", str(bundles / "onnx-fp32"), "--out", str(place / "out.tar.gz")],
    }


NAMES = ["synth", "predict", "bench", "train", "convert", "pack"]
FAST = {"pack"}
"""The others take more than five seconds: they import paddle or open a library."""
every_command = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow]) for name in NAMES]
)


def run(words: list[str], prepare: Callable[[], None] | None = None, **environment: str | None) -> Finished:
    merged = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, "-m", "edge_seg.cli", *words],
        env={name: value for name, value in merged.items() if value is not None},
        preexec_fn=prepare,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=500,
    )


def left_behind(place: Path) -> list[str]:
    return [path.name for path in place.rglob("*") if path.name.startswith((MARK, ".edge-seg"))]


def clear_end(done: Finished, place: Path, codes: tuple[int, ...]) -> None:
    assert done.returncode in codes, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert "this is a bug" not in done.stderr, done.stderr
    if done.returncode:
        assert "Error: " in done.stderr
    assert left_behind(place) == []


@every_command
def test_without_a_home_and_in_plain_c(name: str, data: Path, tiny_bundles: Path, place: Path) -> None:
    words = commands(data, tiny_bundles, place)[name]
    done = run(words, HOME=None, XDG_CONFIG_HOME=None, XDG_CACHE_HOME=None, LANG="C", LC_ALL="C", TERM=None)
    clear_end(done, place, (0,))


@every_command
@pytest.mark.parametrize("limit", [0, 20_000])
def test_a_full_disk(name: str, limit: int, data: Path, tiny_bundles: Path, place: Path) -> None:
    def prepare() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = run(commands(data, tiny_bundles, place)[name], prepare)
    clear_end(done, place, (0, 1) if limit else (1,))


@every_command
def test_few_open_files(name: str, data: Path, tiny_bundles: Path, place: Path) -> None:
    done = run(commands(data, tiny_bundles, place)[name], lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)))
    clear_end(done, place, (0, 1))


@every_command
def test_little_memory(name: str, data: Path, tiny_bundles: Path, place: Path) -> None:
    bytes_ = 600 << 20
    done = run(
        commands(data, tiny_bundles, place)[name], lambda: resource.setrlimit(resource.RLIMIT_AS, (bytes_, bytes_))
    )
    clear_end(done, place, (0, 1))


@every_command
def test_nobody_reads_what_is_printed(name: str, data: Path, tiny_bundles: Path, place: Path) -> None:
    def prepare() -> None:
        os.close(1)

    clear_end(run(commands(data, tiny_bundles, place)[name], prepare), place, (0,))


@every_command
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_in_a_read_only_folder(name: str, data: Path, tiny_bundles: Path, place: Path) -> None:
    def prepare() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)

    for folder in (data, tiny_bundles, place):
        for path in (folder, *folder.parents):
            if path.is_relative_to("/tmp") and path != Path("/tmp"):
                path.chmod(path.stat().st_mode | 0o755)
    try:
        subprocess.run([sys.executable, "-c", "import edge_seg"], cwd=ROOT, preexec_fn=prepare, check=True)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("other users can't run this interpreter or read this checkout")
    done = run(commands(data, tiny_bundles, place)[name], prepare, HOME="/nonexistent")
    clear_end(done, place, (1, 2))
    assert "ermission denied" in done.stderr
    assert list(place.iterdir()) == []


@every_command
def test_killed_at_any_moment(name: str, data: Path, tiny_bundles: Path, place: Path) -> None:
    """What is there afterwards is whole, and the same command does its work."""
    words = commands(data, tiny_bundles, place)[name]
    chance = random.Random(name)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_seg.cli", *words],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(chance.uniform(0.2, 8))
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        time.sleep(0.2)  # a guarded command's child is told by the kernel
        if name in ("train", "synth") and (place / "out").exists():
            shutil.rmtree(place / "out")  # a whole run or dataset, which isn't replaced
    done = run(words)
    clear_end(done, place, (0,))
