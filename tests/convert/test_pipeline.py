"""Bundles: the same bytes for the same job, and whole or not there."""

from __future__ import annotations

import dataclasses
import filecmp
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convert import pipeline
from convert.artifacts import Job
from convert.pipeline import make_bundles
from convert.recipe import find_recipe, parse
from edge_seg.bundle import open_bundle
from edge_seg.errors import ConversionError, UsageError


def same_tree(a: Path, b: Path) -> bool:
    names = sorted(str(path.relative_to(a)) for path in a.rglob("*"))
    assert names == sorted(str(path.relative_to(b)) for path in b.rglob("*"))
    files = [name for name in names if (a / name).is_file()]
    return filecmp.cmpfiles(a, b, files, shallow=False)[0] == files


def test_the_same_job_gives_the_same_bytes(job: Job, tiny_bundles: Path, tmp_path: Path) -> None:
    # Those were made by another process, for three recipes at once.
    make_bundles(job, parse("arm-fp32,cpu-fp32"), tmp_path)
    assert same_tree(tiny_bundles / "arm-fp32", tmp_path / "arm-fp32")
    assert same_tree(tiny_bundles / "cpu-fp32", tmp_path / "cpu-fp32")
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_bundle_says_of_itself(tiny_bundles: Path) -> None:
    arm, x86, cpu = (open_bundle(tiny_bundles / name).manifest for name in ("arm-fp32", "x86-fp32", "cpu-fp32"))
    assert (arm.target, x86.target, cpu.target) == ("arm", "x86", "cpu")
    assert (arm.engine, arm.engine_version) == ("paddle-lite", "2.13rc0")
    assert (cpu.engine, cpu.engine_version) == ("paddle-inference", "2.6.2")
    assert arm.optimizer["version"] == "v2.13-rc"
    assert arm.verification["checked_by"] == x86.verification["checked_by"] == "x86-fp32"
    assert arm.random_weights
    assert arm.source["seed"] == 1
    assert arm.graphs["trunk"].inputs == cpu.graphs["trunk"].inputs == x86.graphs["trunk"].inputs
    assert (arm.canonical_size, cpu.canonical_size, x86.canonical_size) == (112, 112, 112)
    text = "".join(path.read_text() for path in tiny_bundles.rglob("*.json"))
    assert str(tiny_bundles) not in text


def test_a_failure_leaves_nothing_behind(
    job: Job, tmp_path: Path, left_behind: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(assembled: Any) -> Any:
        raise ConversionError("out of tolerance")

    monkeypatch.setattr(pipeline, "CHECK", dataclasses.replace(pipeline.CHECK, run=refuse))
    with pytest.raises(ConversionError, match="out of tolerance"):
        make_bundles(job, parse("cpu-fp32,x86-fp32"), tmp_path / "out")
    assert left_behind() == []


def test_an_older_bundle_is_replaced(job: Job, tiny_bundles: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(tiny_bundles / "cpu-fp32", out)
    make_bundles(job, [find_recipe("x86-fp32")], out)
    assert same_tree(tiny_bundles / "x86-fp32", out)


def test_nothing_else_is_replaced(job: Job, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="stays as it is"):
        make_bundles(job, [find_recipe("cpu-fp32")], tmp_path)
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_a_bundle_does_not_become_a_folder_of_bundles(job: Job, tiny_bundles: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(tiny_bundles / "cpu-fp32", out)
    with pytest.raises(UsageError, match="2 recipes make a folder of bundles"):
        make_bundles(job, parse("cpu-fp32,onnx-fp32"), out)
    assert same_tree(tiny_bundles / "cpu-fp32", out)
