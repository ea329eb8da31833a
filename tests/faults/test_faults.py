"""The commands on a machine that lacks something, or while it fails: a clear end, and nothing left behind."""

from __future__ import annotations

import functools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edge_seg.bundles.check import open_sound
from edge_seg.bundles.pack import unpack
from edge_seg.data import synth
from edge_seg.partial import MARK
from edge_seg.records.record import read
from edge_seg.train.run import WEIGHTS
from tests.boards.conftest import make_runner, make_x86
from tests.boards.test_pack import program
from tests.conftest import ROOT
from tests.targets.sshd import Sshd, board, sshd

__all__ = ["board", "sshd"]

Finished = subprocess.CompletedProcess[str]
QUICK = ["--size", "64", "--epochs", "1", "--max-steps", "2", "--eval-every", "0", "--weights", "none"]
NOBODY = 65534
KILLS = int(os.environ.get("EDGE_SEG_KILLS", "0"))
"""Moments at which commands are killed, in all; 0: three each."""


class World:
    """What the commands work with; the parts that take long are made when the first command asks for them."""

    def __init__(self, folder: Path, bundles: Path) -> None:
        self.folder, self.bundles = folder, bundles
        self.data = folder / "shapes"
        synth.make(self.data, images=6, size=64, seed=2)

    @functools.cached_property
    def run(self) -> Path:
        done = run(["train", "mask_rcnn_tiny_fpn", "--data", str(self.data), "--out", str(self.folder / "run"), *QUICK])
        assert done.returncode == 0, done.stderr
        return self.folder / "run"

    @functools.cached_property
    def archive(self) -> Path:
        """For a board that computes nothing."""
        library = program(self.folder / "libballast.so", machine=62, interpreter="")
        runner = make_runner(self.folder / "runner", "--engine null")
        words = ["--arch", "x86", "--runner", str(runner), "--library", str(library)]
        out = self.folder / "board.tar.gz"
        done = run(["board", "pack", str(make_x86(self.folder / "x86-fp32")), *words, "--out", str(out)])
        assert done.returncode == 0, done.stderr
        return out


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_bundles: Path) -> World:
    return World(tmp_path_factory.mktemp("faults"), tiny_bundles)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the commands write."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


Command = list[str]


@pytest.fixture
def words(name: str, world: World, place: Path, request: pytest.FixtureRequest) -> Command:
    """The command line of that name, which writes into ``place``, or to a board behind ssh."""
    data, bundles, out = str(world.data), world.bundles, str(place / "out")
    photo = str(sorted((world.data / "images").iterdir())[0])
    if name == "tune":
        words = [str(world.run), "--data", data, "--out", out, "--points", "1", "--images", "1", "--sizes", "64"]
        return ["tune", *words]
    if name == "deploy":
        behind: Sshd = request.getfixturevalue("board")
        return ["board", "deploy", str(world.archive), behind.name]
    return {
        "synth": ["data", "synth", out, "--images", "6", "--size", "64"],
        "predict": ["predict", str(bundles / "onnx-fp32"), photo, "--out", out],
        "bench": ["bench", "run", str(bundles / "onnx-fp32"), "--out", f"{out}.jsonl", "--repeat", "2"],
        "train": ["train", "mask_rcnn_tiny_fpn", "--data", data, "--out", out, "--resume", *QUICK],
        "convert": [
            *("convert", "mask_rcnn_tiny_fpn", "--random-weights", "--size", "64", "--classes", "2"),
            *("--recipe", "onnx-fp32", "--out", out),
        ],
        "pack": ["bundle", "pack", str(bundles / "onnx-fp32"), "--out", f"{out}.tar.gz"],
    }[name]


NAMES = ["synth", "predict", "bench", "train", "convert", "pack", "tune", "deploy"]
FAST = {"pack"}
"""The others take more than five seconds: they import paddle or open a library."""
every_command = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow]) for name in NAMES]
)


def run(
    words: list[str], prepare: Callable[[], None] | None = None, before: Sequence[str] = (), **environment: str | None
) -> Finished:
    merged = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [*before, sys.executable, "-m", "edge_seg.cli", *words],
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
def test_without_a_home_and_in_plain_c(name: str, words: Command, place: Path) -> None:
    done = run(words, HOME=None, XDG_CONFIG_HOME=None, XDG_CACHE_HOME=None, LANG="C", LC_ALL="C", TERM=None)
    clear_end(done, place, (0,))


@every_command
@pytest.mark.parametrize("limit", [0, 20_000])
def test_a_full_disk(name: str, limit: int, words: Command, place: Path) -> None:
    def prepare() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = run(words, prepare)
    clear_end(done, place, (0, 1) if limit or name == "deploy" else (1,))  # deploy writes to the board


@every_command
def test_few_open_files(name: str, words: Command, place: Path) -> None:
    done = run(words, lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)))
    clear_end(done, place, (0, 1))


@every_command
def test_little_memory(name: str, words: Command, place: Path) -> None:
    bytes_ = 600 << 20
    done = run(words, lambda: resource.setrlimit(resource.RLIMIT_AS, (bytes_, bytes_)))
    clear_end(done, place, (0, 1))


@every_command
def test_nobody_reads_what_is_printed(name: str, words: Command, place: Path) -> None:
    def prepare() -> None:
        os.close(1)

    clear_end(run(words, prepare), place, (0,))


@every_command
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_in_a_read_only_folder(name: str, words: Command, world: World, place: Path) -> None:
    def prepare() -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)

    for folder in (world.folder, world.bundles, place):
        for path in (folder, *folder.parents):
            if path.is_relative_to("/tmp") and path != Path("/tmp"):
                path.chmod(path.stat().st_mode | 0o755)
    try:
        subprocess.run([sys.executable, "-c", "import edge_seg"], cwd=ROOT, preexec_fn=prepare, check=True)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("other users can't run this interpreter or read this checkout")
    done = run(words, prepare, HOME="/nonexistent")
    clear_end(done, place, (1, 2))
    assert "ermission denied" in done.stderr
    assert list(place.iterdir()) == []


@every_command
def test_without_shared_memory(name: str, words: Command, place: Path) -> None:
    """As in a container whose /dev/shm can't be written."""
    alone = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o ro none /dev/shm && exec "$@"', "sh"]
    tried = subprocess.run([*alone, "true"], capture_output=True)
    if tried.returncode:
        pytest.skip("this user can't mount anything (unshare --mount)")
    clear_end(run(words, before=alone), place, (0,))


def is_whole(name: str, place: Path, board: Path | None) -> bool:
    """Whether the command's result is there; fails when it is there in part."""
    if board is not None:
        runner = board / "edge-seg" / "run"
        if not runner.exists():
            return False
        done = subprocess.run([runner, "--self-test", "--json"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done
        return True
    out = place / {"bench": "out.jsonl", "pack": "out.tar.gz"}.get(name, "out")
    if not out.exists():
        return False
    if name == "bench":
        records, bad = read(out)
        assert not bad
        return bool(records)
    if name == "pack":
        unpack(out, place / "unpacked")
    elif name == "convert":
        open_sound(out)
    elif name == "predict":
        assert json.loads((out / "predictions.json").read_text()) is not None
    elif name == "synth":
        assert run(["data", "check", str(out)]).returncode == 0
    return True


@every_command
def test_killed_at_any_moment(name: str, words: Command, place: Path, request: pytest.FixtureRequest) -> None:
    """What was there is there afterwards, or what replaces it, whole; and the same command does its work."""
    board = request.getfixturevalue("board").home if name == "deploy" else None
    chance = random.Random(name)
    begun = time.monotonic()
    clear_end(run(words), place, (0,))
    lasts = time.monotonic() - begun
    assert is_whole(name, place, board)
    there = name not in ("synth", "train")  # they write into a new folder only
    for _ in range(KILLS // len(NAMES) or 3):
        finished = {"synth": place / "out", "train": place / "out" / WEIGHTS}.get(name)
        if finished is not None and finished.exists():
            shutil.rmtree(place / "out")
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_seg.cli", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(chance.uniform(0.1, 1.1) * lasts)
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        time.sleep(0.2)  # a guarded command's child is told by the kernel
        assert is_whole(name, place, board) or not there
    if name == "synth" and (place / "out").exists():
        shutil.rmtree(place / "out")
    clear_end(run(words), place, (0,))
