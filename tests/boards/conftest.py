"""A bundle that the engine which computes nothing passes, a runner with that engine, and a board behind ssh."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_seg import cli
from edge_seg.runtime.segmenter import Segmenter
from tests.bundles.made import edit, make_bundle
from tests.targets.sshd import board, sshd

__all__ = ["board", "sshd"]

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "build" / "native" / "host" / "edge-seg-run"
INSTANCES = 4


def make_x86(folder: Path) -> Path:
    """A bundle for this machine whose golden result is the null engine's."""
    make_bundle(folder, target="x86", recipe="x86-fp32", name="shapes")
    edit(folder, lambda manifest: manifest["golden"].update(instances=INSTANCES))
    with Segmenter(folder, engine="null", instances=INSTANCES) as segmenter:
        found = segmenter(folder / "golden/image.png").as_json()
    return edit(folder, lambda golden: golden.update(instances=found), "golden/expected.json")


def make_runner(file: Path, *options: str) -> Path:
    """A script that starts the native runner where it is built (it starts in no time), else the Python one."""
    words = " ".join(options)
    start = f"PYTHONPATH='{ROOT}' exec '{sys.executable}' -m edge_seg.runtime.runner"
    if NATIVE.is_file():
        start = f"exec '{NATIVE}'"
    file.write_text(f'#!/bin/sh\n{start} "$@" {words}\n')
    return file


Run = Callable[..., tuple[int, dict[str, Any], str]]


def board_command(run: Run, verb: str, *words: str | Path) -> tuple[int, dict[str, Any], str]:
    """``edge-seg board VERB`` for one board: exit code, what is said of that board (or the error), stderr."""
    code, said, err = run("board", verb, *words)
    return code, said["boards"][0] if "boards" in said else said, err


def deploy(run: Run, *words: str | Path) -> tuple[int, dict[str, Any], str]:
    """``edge-seg board deploy ARCHIVE BOARD``."""
    return board_command(run, "deploy", *words)


@pytest.fixture
def x86(tmp_path: Path) -> Path:
    return make_x86(tmp_path / "x86-fp32")


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    return make_runner(tmp_path / "runner", "--engine null")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any], str]]:
    """``run("pack", …)`` gives the command's exit code, its JSON object and what it said on stderr."""

    def call(*words: str | Path) -> tuple[int, dict[str, Any], str]:
        capsys.readouterr()
        code = cli.main([*map(str, words), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out), err

    return call
