"""The commands that write, each with a command line of its own, and what it works with and writes to."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edge_seg.data import synth
from edge_seg.partial import MARK
from edge_seg.train.run import WEIGHTS
from tests.boards.conftest import make_runner, make_x86
from tests.boards.test_pack import program
from tests.bundles.made import make_bundle
from tests.conftest import ROOT
from tests.targets.sshd import Sshd

Finished = subprocess.CompletedProcess[str]
Command = list[str]
QUICK = ["--size", "64", "--epochs", "1", "--max-steps", "2", "--eval-every", "0", "--weights", "none"]
MODEL = "mask_rcnn_tiny_fpn"


class World:
    """What the commands work with; the parts that take long are made when the first command asks for them."""

    def __init__(self, folder: Path, bundles: Path) -> None:
        self.folder, self.bundles = folder, bundles
        self.data = folder / "shapes"
        synth.make(self.data, images=6, size=64, seed=2)

    @functools.cached_property
    def run(self) -> Path:
        self._make("train", MODEL, "--data", self.data, "--out", self.folder / "run", *QUICK)
        return self.folder / "run"

    @functools.cached_property
    def archive(self) -> Path:
        """For a board that computes nothing."""
        library = program(self.folder / "libballast.so", machine=62, interpreter="")
        runner = make_runner(self.folder / "runner", "--engine null")
        words: list[str | Path] = ["--arch", "x86", "--runner", runner, "--library", library]
        out = self.folder / "board.tar.gz"
        self._make("board", "pack", make_x86(self.folder / "x86-fp32"), *words, "--out", out)
        return out

    @functools.cached_property
    def annotated(self) -> Path:
        """A folder of labelme's files."""
        self._make("data", "export", "labelme", self.data, self.folder / "labelme")
        return self.folder / "labelme"

    @functools.cached_property
    def packed(self) -> Path:
        """A packed bundle."""
        self._make("bundle", "pack", self.bundles / "onnx-fp32", "--out", self.folder / "bundle.tar.gz")
        return self.folder / "bundle.tar.gz"

    @functools.cached_property
    def key(self) -> Path:
        """The private one of a pair."""
        self._make("bundle", "keygen", self.folder / "maker")
        return self.folder / "maker"

    @functools.cached_property
    def records(self) -> Path:
        """A file with two records."""
        words: list[str | Path] = ["--out", self.folder / "records.jsonl", "--repeat", "2"]
        for _ in range(2):
            self._make("bench", "run", self.bundles / "onnx-fp32", *words)
        return self.folder / "records.jsonl"

    def _make(self, *words: str | Path) -> None:
        done = run([*map(str, words)])
        assert done.returncode == 0, done.stderr


def command_of(name: str, world: World, place: Path, request: pytest.FixtureRequest) -> Command:
    """The command line of that name, which writes into ``place``, or to a board behind ssh."""
    data, bundles, out = str(world.data), world.bundles, str(place / "out")
    photo = str(sorted((world.data / "images").iterdir())[0])
    if name == "deploy":
        behind: Sshd = request.getfixturevalue("board")
        return ["board", "deploy", str(world.archive), behind.name]
    if name == "sign" and not (place / "out").exists():
        make_bundle(place / "out")
    lines: dict[str, Callable[[], list[str]]] = {
        "synth": lambda: ["data", "synth", out, "--images", "6", "--size", "64"],
        "predict": lambda: ["predict", str(bundles / "onnx-fp32"), photo, "--out", out],
        "bench": lambda: ["bench", "run", str(bundles / "onnx-fp32"), "--out", f"{out}.jsonl", "--repeat", "2"],
        "train": lambda: ["train", MODEL, "--data", data, "--out", out, "--resume", *QUICK],
        "convert": lambda: [
            *("convert", MODEL, "--random-weights", "--size", "64", "--classes", "2"),
            *("--recipe", "onnx-fp32", "--out", out),
        ],
        "pack": lambda: ["bundle", "pack", str(bundles / "onnx-fp32"), "--out", f"{out}.tar.gz"],
        "tune": lambda: [
            *("tune", str(world.run), "--data", data, "--out", out, "--points", "1", "--images", "1", "--sizes", "64")
        ],
        "labelme": lambda: ["data", "import", "labelme", str(world.annotated), out],
        "split": lambda: ["data", "split", str(world.data / "train.json"), out],
        "weights": lambda: [
            *("weights", "import", str(world.run / WEIGHTS), "--model", MODEL, "--size", "64", "--out", out),
            *("--classes", "disc,star,square"),
        ],
        "prune": lambda: ["prune", str(world.run), "--data", data, "--out", out, "--images", "1", "--flops", "0.9"],
        "sign": lambda: ["bundle", "sign", out, "--key", str(world.key)],
        "keygen": lambda: ["bundle", "keygen", out],
        "unpack": lambda: ["bundle", "unpack", str(world.packed), "--out", out],
        "records": lambda: ["bench", "import", str(world.records), "--out", f"{out}.jsonl"],
        "page": lambda: ["bench", "report", str(world.records), "--html", f"{out}.html"],
    }
    return lines[name]()


def run(
    words: Sequence[str],
    prepare: Callable[[], None] | None = None,
    before: Sequence[str] = (),
    **environment: str | None,
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
    left = left_behind(place)
    assert left == [], left
