"""No process of ours runs what lies in the current folder, or another's package of the name of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_seg.process.child import run_module
from edge_seg.process.python import PACKAGES, code_command, module_command
from tests.conftest import ROOT

# convert and bench are ours; the others are the standard library's, of which our modules and children import much.
NAMES = ("convert", "bench", "json", "typing", "dataclasses", "subprocess", "cv2", "click", "numpy", "paddle", "tests")
TRAP = "print('hijacked by', __name__)\nraise SystemExit(99)\n"


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder with modules that print and exit."""
    folder = tmp_path / "trap"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(TRAP)
    return folder


def environment(path: str = "") -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | (
        {"PYTHONPATH": path} if path else {}
    )


def run(words: list[str], folder: Path, path: str = "") -> str:
    done = subprocess.run(words, cwd=folder, env=environment(path), capture_output=True, text=True, timeout=300)
    assert "hijacked" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_of_ours_ignore_the_current_folder(trap: Path) -> None:
    assert run(module_command("convert.backends.opt", "version"), trap).startswith("v2.13")
    code = "import json, sys, numpy; print(numpy.__name__, sys.argv[1:])"
    assert run(code_command(code, "a", "b"), trap) == "numpy ['a', 'b']\n"


def test_arguments_and_exit_code_are_those_of_python_m(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run_module("edge_seg.cli", "no such command", "--json", limit_s=60)
    assert done.code == 2
    assert json.loads(done.stdout)["error"]["code"] == "usage"


@pytest.mark.parametrize("options", [["-m"], ["-u", "-m"], ["-X", "utf8", "-m"]])
@pytest.mark.parametrize("module", ["edge_seg", "edge_seg.cli"])
def test_python_m_edge_seg_ignores_the_current_folder(trap: Path, options: list[str], module: str) -> None:
    assert "arm-fp32" in run([sys.executable, *options, module, "recipes"], trap, str(PACKAGES))


def test_a_folder_that_holds_the_environment_is_no_checkout(tmp_path: Path) -> None:
    packages = tmp_path / "lib"
    packages.mkdir()
    for name in ("edge_seg", "convert", "bench"):
        (packages / name).symlink_to(PACKAGES / name)
    (tmp_path / "json.py").write_text(TRAP)
    assert "edge-seg" in run([sys.executable, "-m", "edge_seg", "--help"], tmp_path, str(packages))


def test_another_package_on_the_path_is_not_taken_for_ours(trap: Path, tmp_path: Path) -> None:
    for name in NAMES:
        if name not in ("convert", "bench"):
            (trap / f"{name}.py").unlink()
    path = f"{trap}{os.pathsep}{ROOT}"
    assert "arm-fp32" in run([sys.executable, "-m", "edge_seg", "recipes"], tmp_path, path)
    assert run(module_command("convert.backends.opt", "version"), tmp_path, path).startswith("v2.13")


@pytest.mark.slow
def test_every_command_from_such_a_folder(trap: Path, tiny_bundles: Path) -> None:
    edge_seg = [sys.executable, "-m", "edge_seg"]
    bundle = str(tiny_bundles / "x86-fp32")
    model = ["mask_rcnn_tiny_fpn", "--random-weights", "--classes", "2", "--size", "64"]
    for words in (
        ["data", "synth", "shapes", "--images", "4", "--size", "64"],
        ["data", "check", "shapes"],
        ["zoo"],
        ["recipes"],
        ["train", "mask_rcnn_tiny_fpn", "--data", "shapes", "--out", "run", "--epochs", "1", "--size", "64"],
        ["eval", "run", "--data", "shapes"],
        ["convert", *model, "--recipe", "arm-fp32,x86-fp32,onnx-fp32", "--out", "bundles"],
        ["verify", bundle],
        ["bundle", "check", bundle],
        ["predict", bundle, f"{bundle}/golden/image.png", "--out", "images"],
        ["bench", "run", bundle, "--repeat", "1", "--warmup", "0"],
        ["bench", "table", "records.jsonl"],
        ["doctor", bundle],
        ["doctor"],
    ):
        run([*edge_seg, *words], trap, str(PACKAGES))
    assert sorted(path.name for path in (trap / "bundles").iterdir()) == ["arm-fp32", "onnx-fp32", "x86-fp32"]
