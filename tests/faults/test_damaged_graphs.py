"""Graphs that a stranger damaged, in bundles whose hashes were renewed and in models from elsewhere.

A library that dies of one ends a child process only, and the command tells it. The ordinary run tries some;
``EDGE_SEG_DAMAGED=300`` tries so many, ``EDGE_SEG_DAMAGED_SEED`` draws others.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge_seg.files import sha256
from edge_seg.process.child import Outcome
from edge_seg.process.guard import PIPE_VARIABLE
from tests.convert.importers.elsewhere import write_elsewhere
from tests.faults.damage import altered, damaged
from tests.faults.workplace import LIMIT_S, MORE_KIB, clear, contents, edge_seg, fault, peak, workplace

pytest.importorskip("paddle", reason="needs the extra 'train'")
pytestmark = pytest.mark.slow

COUNT = int(os.environ.get("EDGE_SEG_DAMAGED", "6"))
SEED = int(os.environ.get("EDGE_SEG_DAMAGED_SEED", "1"))
RECIPES = {"cpu-fp32": "paddle", "onnx-fp32": "onnxruntime", "ncnn-fp32": "ncnn", "x86-fp32": "paddlelite.lite"}
"""The bundles, each with the library that its graphs go to."""
PREDICT = ("predict", "it", "photo.png", "--out", "out")
CONVERT = ("convert", "it", "--recipe", "cpu-fp32", "--out", "out")
DEATHS = {signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGBUS, signal.SIGILL}
"""By which a library ends the process; nobody else sends them."""
TEXT = {".param", ".yml"}


@dataclass(frozen=True)
class Case:
    """A folder with a file that is damaged, and the command that reads it; ``renewed``: its hash is made to fit."""

    folder: str
    file: str
    words: tuple[str, ...]
    renewed: bool = True


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with workplace(tmp_path_factory.mktemp("graphs"), "edge_seg.runtime.segmenter", "edge_seg.paddle_env") as folder:
        yield folder


@pytest.fixture(scope="module")
def sound(work: Path, tiny_bundles: Path) -> Path:
    """A folder with a bundle of each of :data:`RECIPES` and a model from elsewhere."""
    folder = work.parent / "sound"
    for recipe in RECIPES:
        shutil.copytree(tiny_bundles / recipe, folder / recipe)
    write_elsewhere(folder / "elsewhere")
    return folder


def draw(rng: random.Random, number: int, sound: Path) -> Case:
    folder = [*RECIPES, "elsewhere", "elsewhere"][number % 6]
    if folder == "elsewhere":
        file = rng.choice(["model.pdmodel", "model.pdmodel", "model.pdiparams", "infer_cfg.yml", "infer_cfg.yml"])
        return Case(folder, file, CONVERT)
    pytest.importorskip(RECIPES[folder].split(".")[0], reason=f"{folder} needs it")
    graphs = json.loads((sound / folder / "manifest.json").read_text())["graphs"]
    files = [name for graph in graphs.values() for name in graph["files"]]
    # What says how the graph is built has fewer bytes, and more that can be wrong.
    file = rng.choice([*files, *(name for name in files if not name.endswith((".pdiparams", ".bin")))])
    return Case(folder, file, PREDICT, renewed=rng.random() < 0.85)


def damage(case: Case, work: Path, rng: random.Random) -> str:
    file = work / "it" / case.file
    content = file.read_bytes()
    parsers: dict[str, Callable[[], Any]] = {".onnx": _onnx, ".pdmodel": _program}
    way, made = "swapped", content
    if case.folder != "elsewhere" and rng.random() < 0.08:
        other = rng.choice([path for path in file.parent.iterdir() if path.is_file() and path != file])
        made = other.read_bytes()
    elif file.suffix in parsers and rng.random() < 0.6:
        message = parsers[file.suffix]()
        message.ParseFromString(content)
        altered(message, rng)
        way, made = "altered", message.SerializePartialToString()
    else:
        way, made = damaged(content, rng, file.suffix in TEXT)
    file.write_bytes(made)
    if case.renewed and case.words == PREDICT:
        manifest = json.loads((work / "it/manifest.json").read_text())
        for graph in manifest["graphs"].values():
            if case.file in graph["files"]:
                graph["files"][case.file] = sha256(file)
        (work / "it/manifest.json").write_text(json.dumps(manifest))
    return way if made != content else ""


def _onnx() -> Any:
    import onnx

    return onnx.ModelProto()


def _program() -> Any:
    from convert.program.protobuf import framework

    return framework().ProgramDesc()


def lay_out(case: Case, sound: Path, work: Path) -> None:
    clear(work)
    shutil.copytree(sound / case.folder, work / "it")
    shutil.copy(sound / "onnx-fp32/golden/image.png", work / "photo.png")


PEAKS: dict[str, int] = {}


def peak_of_sound(case: Case, sound: Path, work: Path) -> int:
    if case.folder not in PEAKS:
        lay_out(case, sound, work)
        done = edge_seg(*case.words)
        assert done.code == 0, done
        PEAKS[case.folder] = peak(work)
    return PEAKS[case.folder]


@pytest.mark.parametrize("number", range(COUNT))
def test_graphs(number: int, sound: Path, work: Path) -> None:
    rng = random.Random(f"{SEED} {number}")
    case = draw(rng, number, sound)
    most = peak_of_sound(case, sound, work)
    lay_out(case, sound, work)
    way = damage(case, work, rng)
    told = f"{way} of {case.folder}/{case.file} ({SEED} {number})"
    before = contents(work)
    done = edge_seg(*case.words)
    if done.code is not None and -done.code in DEATHS:
        took = peak(work)
        assert took <= most + MORE_KIB, f"{told}: {took >> 10} MiB, {most >> 10} MiB when it is sound\n{done}"
        # As a user has it: the command itself survives, and tells of the death, or of what was read this time.
        shutil.rmtree(work / "out", ignore_errors=True)
        environment = {name: value for name, value in os.environ.items() if name != PIPE_VARIABLE}
        words = [sys.executable, "-m", "edge_seg.cli", *case.words]
        whole = subprocess.run(
            words, env=environment, capture_output=True, text=True, errors="replace", timeout=2 * LIMIT_S
        )
        assert whole.returncode == 1, f"{told}\n{whole}"
        done = Outcome(whole.returncode, whole.stdout, whole.stderr, LIMIT_S)
    elif way and not case.renewed:
        assert done.code == 1, f"{told}: an altered file was taken\n{done}"
        assert "altered or damaged" in done.stderr, told
    wrong = fault(done, work, before, most)
    assert not wrong, f"{wrong}: {told}\n{done}"
    assert done.code or not re.search("^Error: ", done.stderr, re.MULTILINE), f"{told}\n{done}"
