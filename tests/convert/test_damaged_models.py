"""Damaged runs, exported models and bundles through the commands that read them: a clear error, and nothing left.

Each is damaged by chance. The ordinary run tries some; ``EDGE_SEG_DAMAGED=200`` tries so many, and
``EDGE_SEG_DAMAGED_SEED`` draws others.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.artifacts import ExportedGraph, Job
from convert.job import layers
from edge_seg.manifest import PostprocessSpec
from edge_seg.process.child import Outcome, run_module
from edge_seg.process.forks import warm
from edge_seg.process.guard import PIPE_VARIABLE
from edge_seg.train.run import GOLDEN, WEIGHTS, RunConfig, TrainSettings, write_config
from edge_seg.train.weights import write_arrays
from tests.convert.importers.elsewhere import write_elsewhere

pytest.importorskip("paddlelite", reason="needs the extra 'lite'")
pytestmark = pytest.mark.slow

COUNT = int(os.environ.get("EDGE_SEG_DAMAGED", "12"))
SEED = int(os.environ.get("EDGE_SEG_DAMAGED_SEED", "1"))
LIMIT_S = 120.0
KINDS = ("run", "model", "bundle", "elsewhere")
Rng = np.random.Generator


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, job: Job, small: ExportedGraph, tiny_bundles: Path) -> Path:
    """A folder with a whole ``run``, ``model``, ``bundle``, and a model from ``elsewhere``."""
    folder = tmp_path_factory.mktemp("sound")
    run, model = folder / "run", folder / "model"
    run.mkdir()
    model.mkdir()
    settings = TrainSettings(epochs=1, batch=1, lr=0.001, warmup_steps=1, decay_epochs=(1.0,), seed=1)
    config = RunConfig(
        job.zoo_model, job.classes, job.category_ids, job.preprocess, PostprocessSpec(), settings, "data", "0" * 64
    )
    write_config(run, config)
    write_arrays(run / WEIGHTS, layers(job).network.state_dict())
    cv2.imwrite(str(run / GOLDEN), job.image)
    for file in (small.program, small.weights):
        shutil.copy(file, model)
    shutil.copytree(tiny_bundles / "x86-fp32", folder / "bundle")
    write_elsewhere(folder / "elsewhere")
    return folder


@pytest.fixture(scope="module")
def children() -> Iterator[None]:
    """Commands are forked with their libraries loaded, and as a guarded command's child: a death is seen as such."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PIPE_VARIABLE, "2")
        with warm(["edge_seg.cli"], "edge_seg.paddle_env", "cv2", "pycocotools.mask"):
            yield


def damage(folder: Path, rng: Rng) -> str:
    """Does something to one or two of the files in ``folder``; says what."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    file, other = (files[number] for number in rng.choice(len(files), 2, replace=False))
    content = bytearray(file.read_bytes())
    way = rng.choice(["flip", "flip", "flip", "cut", "cut", "swap", "rename", "empty", "noise", "doubled", "hole"])
    if way == "flip":
        # The beginning of a file is where its structure lies.
        end = len(content) if rng.random() < 0.5 else min(len(content), 2000)
        for place in rng.integers(0, end, int(rng.integers(1, 9))):
            content[place] ^= int(rng.integers(1, 256))
    elif way == "cut":
        del content[int(rng.integers(0, len(content))) :]
    elif way == "hole":
        start = int(rng.integers(0, len(content)))
        del content[start : start + int(rng.integers(1, 1 + len(content) // 2))]
    elif way == "noise":
        content = bytearray(rng.bytes(len(content)))
    elif way == "doubled":
        content *= 2
    file.write_bytes(b"" if way == "empty" else content)
    if way == "swap":
        shutil.copy(other, file)
        other.write_bytes(content)
    elif way == "rename":
        file.rename(file.with_name("x" + file.name))
    return f"{way} {file.relative_to(folder)}" + (f", {other.relative_to(folder)}" if way == "swap" else "")


def commands(kind: str, broken: Path, out: Path, image: Path) -> list[list[str]]:
    """The command lines that read what is ``broken``."""
    lines = {
        "run": [["convert", broken, "--recipe", "x86-fp32", "--out", out], ["doctor", broken, "--arch", "x86"]],
        "model": [["doctor", broken], ["convert", broken, "--raw", "--out", out.with_suffix(".nb")]],
        "elsewhere": [["doctor", broken], ["convert", broken, "--recipe", "x86-fp32", "--out", out]],
        "bundle": [["verify", broken], ["doctor", broken], ["predict", broken, image, "--out", out]],
    }
    return [[str(word) for word in line] for line in lines[kind]]


def fault(outcome: Outcome, out: Path) -> str:
    """What is wrong with a command's answer; empty when it is as it should be."""
    if outcome.code not in (0, 1, 2):
        return outcome.ending()
    said = outcome.stdout + outcome.stderr
    if "Traceback" in said or "internal error" in said.lower():
        return "a traceback"
    errors = re.findall(r"^Error: .{10,}", outcome.stderr, re.MULTILINE)
    reported = outcome.code == 1 and bool(outcome.stdout.strip())  # by doctor and verify
    if outcome.code and len(errors) != (0 if reported else 1):
        return f"{len(errors)} errors"
    if outcome.code and (out.exists() or out.with_suffix(".nb").exists()):
        return "files left"
    return ""


@pytest.mark.parametrize("number", range(COUNT))
def test_what_is_damaged_gives_a_clear_error(
    number: int, sound: Path, children: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng([SEED, number])
    kind = KINDS[number % len(KINDS)]
    broken, out = tmp_path / "broken", tmp_path / "out"
    shutil.copytree(sound / kind, broken)
    what = damage(broken, rng)
    before = {path: path.stat().st_size for path in broken.rglob("*") if path.is_file()}
    for line in commands(kind, broken, out, sound / "run" / GOLDEN):
        outcome = run_module("edge_seg.cli", *line, limit_s=LIMIT_S)
        told = f"{what}\n{line}\n{outcome}"
        assert not fault(outcome, out), f"{fault(outcome, out)}: {told}"
        assert sorted(path.name for path in tmp_path.iterdir()) in (
            ["broken"],
            ["broken", "out"],
            ["broken", "out.nb"],
        ), told
        assert {path: path.stat().st_size for path in broken.rglob("*") if path.is_file()} == before, told
        shutil.rmtree(out, ignore_errors=True)
        out.with_suffix(".nb").unlink(missing_ok=True)


def test_the_sound_ones_pass(sound: Path, children: None) -> None:
    for kind in ("model", "bundle"):
        outcome = run_module("edge_seg.cli", "doctor", sound / kind, "--arch", "x86", limit_s=LIMIT_S)
        assert outcome.code == 0, outcome
