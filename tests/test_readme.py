"""README.md: every command in it runs, in its order, and its table is the one that its records make."""

from __future__ import annotations

import base64
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from edge_seg.data import synth

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECORDS = ROOT / "docs" / "records.jsonl"
TABLE = ("--size", "640", "--instances", "5", "--show-degraded")
"""The README's table is short: one input size, one number of objects."""

# The same commands on a smaller model and shorter: the README's would take hours here.
SMALLER = {"mask_rcnn_r18_fpn": "mask_rcnn_tiny_fpn", "320": "96", "320x320": "96x96", "12": "1"}
MORE: dict[tuple[str, ...], list[str]] = {
    ("bench", "run"): ["--repeat", "2", "--warmup", "1"],
    ("tune", "my_run"): ["--points", "2", "--images", "2"],
}
MAKE = {"make demo", "make test"}  # tests/test_demo.py runs the demo's steps; this test is part of the other


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def test_every_line_is_a_command_that_this_test_knows() -> None:
    assert {" ".join(words) for words in commands() if words[0] != "edge-seg"} == MAKE
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for words in MAKE:
        assert f"\n{words.removeprefix('make ')}:" in makefile


@pytest.mark.slow
def test_the_tour_runs(tmp_path: Path, edge_seg: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    pytest.importorskip("paddlelite", reason="needs the extra 'lite'")
    labelme(tmp_path / "my_labelme", 8)
    image, _ = synth.draw(9, 128, 0)
    cv2.imwrite(str(tmp_path / "photo.jpg"), image)
    for words in commands():
        if words[0] != "edge-seg":
            continue
        arguments = [SMALLER.get(word, word) for word in words[1:]] + MORE.get(tuple(words[1:3]), [])
        done = edge_seg(*arguments)
        assert done.returncode == 0, f"{shlex.join(arguments)}\n{done.stdout}{done.stderr}"
        if "--json" in words:
            assert isinstance(json.loads(done.stdout), dict)
    for code in blocks("python"):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def labelme(folder: Path, count: int) -> None:
    """A folder as labelme leaves it: a JSON file with the outlines beside each image."""
    folder.mkdir()
    for index in range(count):
        image, instances = synth.draw(7, 128, index)
        name = f"{index}.png"
        cv2.imwrite(str(folder / name), image)
        shapes = []
        for instance in instances:
            outlines, _ = cv2.findContours(instance.mask.astype("uint8"), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            points = max(outlines, key=len)[:, 0].tolist()
            if len(points) > 2:
                label = synth.CLASSES[instance.label]
                shapes.append({"label": label, "points": points, "shape_type": "polygon", "flags": {}})
        data = {
            "version": "5.4.1",
            "flags": {},
            "shapes": shapes,
            "imagePath": name,
            "imageData": base64.b64encode((folder / name).read_bytes()).decode(),
            "imageHeight": 128,
            "imageWidth": 128,
        }
        (folder / f"{index}.json").write_text(json.dumps(data))


def test_the_table_is_what_its_records_make(edge_seg: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = edge_seg("bench", "table", RECORDS, *TABLE)
    assert done.returncode == 0, done.stderr
    between = README.split(f"docs/records.jsonl {' '.join(TABLE)}` -->\n")[1].split("\n<!-- table end -->")[0]
    assert between.strip() == done.stdout.strip()
