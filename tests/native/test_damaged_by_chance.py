"""Every file that the native runner reads, damaged by chance: a clear end in time and memory, and nothing left behind.

The engine is the one that computes nothing. The ordinary run tries some; ``EDGE_SEG_DAMAGED=500`` tries so many,
``EDGE_SEG_DAMAGED_SEED`` draws others.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge_seg.bundle import open_bundle
from edge_seg.bundles.sign import keygen, sign
from edge_seg.files import sha256
from tests.faults.damage import damaged
from tests.native.running import RUN
from tests.native.videos import clip

COUNT = int(os.environ.get("EDGE_SEG_DAMAGED", "60"))
SEED = int(os.environ.get("EDGE_SEG_DAMAGED_SEED", "1"))
LIMIT_S = 60.0
MORE_KIB = 1 << 20
"""What a damaged file may take in memory beyond a sound one."""
TEXT = {".json", ".pub"}
ONE = ("--repeat", "1", "--save", "out")


@dataclass(frozen=True)
class Input:
    """A file that is damaged, and what the runner is told; ``renewed``: the manifest gets its new hash."""

    file: str
    words: tuple[str, ...]
    renewed: bool = False


PHOTO = ("--image", "a photo.jpg", *ONE)
TEST = ("--self-test", *PHOTO)
INPUTS = (
    Input("bundle/manifest.json", PHOTO),
    Input("bundle/manifest.json", TEST),
    Input("three/manifest.json", ("--bundle", "three", *PHOTO)),
    Input("bundle/golden/expected.json", TEST, renewed=True),
    Input("bundle/golden/image.png", TEST, renewed=True),
    Input("bundle/golden/image.png", TEST),
    Input("bundle/detect.nb", PHOTO),
    Input("bundle/mask.nb", TEST, renewed=True),
    Input("signed/signature.json", ("--bundle", "signed", *PHOTO)),
    Input("signed/manifest.json", ("--bundle", "signed", "--public-key", "maker.pub", *PHOTO)),
    Input("maker.pub", ("--bundle", "signed", "--public-key", "maker.pub", *PHOTO)),
    Input("a photo.jpg", PHOTO),
    Input("progressive.jpg", ("--image", "progressive.jpg", *ONE)),
    Input("grey.png", ("--image", "grey.png", *ONE)),
    Input("images/1.png", ("--folder", "images", *ONE)),
    Input("clip.y4m", ("--video", "clip.y4m", "--save", "out")),
    Input("clip.mjpg", ("--video", "clip.mjpg", "--save", "out")),
)


@pytest.fixture
def here(folder: Path) -> Path:
    for name in ("maker", "other"):
        keygen(folder / name)
    (folder / "signed").mkdir()
    subprocess.run(["cp", "-r", "bundle/.", "signed"], check=True)
    sign(open_bundle(folder / "signed"), folder / "maker")
    image = cv2.imread("a photo.jpg")
    assert image is not None
    cv2.imwrite("progressive.jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    Path("images").mkdir()
    cv2.imwrite("images/1.png", image)
    cv2.imwrite("images/2.jpg", image)
    content, frames = clip()
    Path("clip.y4m").write_bytes(content)
    Path("clip.mjpg").write_bytes(b"".join(cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames))
    return folder


def run(command: list[str], words: tuple[str, ...]) -> tuple[int, str, str, int]:
    """Exit code (-9 when it took too long), stdout, stderr, and the most memory that it took, KiB."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen([*command, *RUN, *words], stdout=out, stderr=err)
        timer = threading.Timer(LIMIT_S, process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    return process.returncode, texts[0], texts[1], usage.ru_maxrss


def fault(code: int, stdout: str, stderr: str) -> str:
    """What is wrong with the runner's end; empty when it is as it should be."""
    if code not in (0, 1, 2):
        return f"ended with {code}"
    try:
        lines: list[dict[str, Any]] = [json.loads(line) for line in stdout.splitlines()]
    except ValueError:
        return "a line that is no JSON"
    errors = [line for line in lines if line["type"] == "error"]
    if len(errors) != (1 if code else 0):
        return f"{len(errors)} errors"
    if code and (errors[0]["code"] in ("", "bug", "crashed") or not errors[0]["message"] or not errors[0]["remedy"]):
        return "an error that says little"
    if not all(c.isprintable() or c == "\n" for c in stdout):
        return "control characters"
    if "Sanitizer" in stderr or "runtime error" in stderr:
        return "a finding of the sanitizers"
    return ""


def contents(folder: Path) -> set[tuple[str, int]]:
    """What there is, but for what is saved."""
    return {
        (str(path), path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_relative_to(folder / "out")
    }


def test_the_sound_ones_are_run(local: list[str], here: Path) -> None:
    for one in INPUTS:
        code, stdout, stderr, _ = run(local, one.words)
        assert (code, fault(code, stdout, stderr)) == (0, ""), (one, stdout, stderr)


@pytest.mark.parametrize("part", range(6))
def test_damaged_files(local: list[str], here: Path, part: int) -> None:
    whole = {one.file: (here / one.file).read_bytes() for one in INPUTS}
    manifest = (here / "bundle/manifest.json").read_bytes()
    *_, most = run(local, PHOTO)
    for number in range(part, COUNT, 6):
        rng = random.Random(f"{SEED} {number}")
        one = INPUTS[number % len(INPUTS)]
        file = here / one.file
        if rng.random() < 0.08:
            way, content = "swapped", rng.choice([other for name, other in whole.items() if name != one.file])
        else:
            way, content = damaged(whole[one.file], rng, file.suffix in TEXT)
        file.write_bytes(content)
        if one.renewed:
            plain = json.loads(manifest)
            for files in (plain["golden"]["files"], *(graph["files"] for graph in plain["graphs"].values())):
                if (name := one.file.partition("/")[2]) in files:
                    files[name] = sha256(file)
            (here / "bundle/manifest.json").write_text(json.dumps(plain))
        before = contents(here)
        code, stdout, stderr, took = run(local, one.words)
        told = f"{way} of {one.file} ({SEED} {number}): {' '.join(one.words)}\n{stdout}\n{stderr}"
        wrong = fault(code, stdout, stderr)
        assert not wrong, f"{wrong}: {told}"
        assert took <= most + MORE_KIB, f"{took >> 10} MiB: {told}"
        assert contents(here) == before, told
        file.write_bytes(whole[one.file])
        (here / "bundle/manifest.json").write_bytes(manifest)
