"""The Python runner: its lines, their order, and every failure as an `error` line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_seg.files import sha256
from edge_seg.runtime.segmenter import Segmenter

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "edge_seg.runtime.runner"]
STAGES = ["pre", "detect", "nms", "mask", "post"]

Runner = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """``runner("--bundle", …)`` gives the exit code and the lines."""

    def run(*words: Any) -> tuple[int, list[dict[str, Any]]]:
        done = subprocess.run(
            [*COMMAND, *map(str, words), "--json"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=120,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture
def image(tmp_path: Path, photo: np.ndarray) -> Path:
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    return tmp_path / "photo.png"


def test_a_run_from_hello_to_done(runner: Runner, make_bundle: Callable[..., Path], image: Path) -> None:
    words = ("--bundle", make_bundle(), "--engine", "null", "--images", image, image.name, "--instances", 3)
    code, lines = runner(*words, "--warmup", 1, "--repeat", 4, "--threads", 1, "--save", "out")
    assert code == 0
    kinds = [line["type"] for line in lines]
    one = [*["sample"] * 4, "result"]
    assert kinds == ["hello", "load", "first_run", *one, *one, "memory", "done"]
    hello, load, first, memory = (next(x for x in lines if x["type"] == k) for k in (*kinds[:3], "memory"))
    assert hello["runner"] == "python"
    assert hello["cpu"]["cores"] >= 1
    assert hello["libraries"]["numpy"] == np.__version__
    assert load["engine"]["name"] == "null"
    assert load["ns"] > 0
    assert memory["peak_bytes"] >= memory["load_bytes"] > 10_000_000
    assert memory["huge_bytes"] is None or memory["peak_bytes"] >= memory["huge_bytes"] >= 0
    samples = [line for line in lines if line["type"] == "sample"]
    assert [(s["image"], s["repeat"]) for s in samples] == [
        (name, r) for name in (str(image), "photo.png") for r in range(4)
    ]
    for sample in [first, *samples]:
        assert sample["instances"] == 3
        assert list(sample["ns"]) == [*STAGES, "total"]
    result = next(line for line in lines if line["type"] == "result")
    assert (result["width"], result["height"]) == (200, 120)
    assert sorted(result["instances"][0]) == ["box", "class", "score", "segmentation"]
    assert len(list(image.with_name("out").iterdir())) >= 1


def test_stages_add_up(runner: Runner, make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((720, 1280, 3), np.uint8))
    words = ("--bundle", make_bundle(), "--engine", "null", "--images", "large.png", "--instances", 8)
    _, lines = runner(*words, "--repeat", 20)
    shares = sorted(
        sum(line["ns"][stage] for stage in STAGES) / line["ns"]["total"] for line in lines if line["type"] == "sample"
    )
    assert shares[10] > 0.95  # the null engine leaves under a millisecond; with a real one it is above 0.99
    assert shares[-1] <= 1


def test_self_test(runner: Runner, make_bundle: Callable[..., Path]) -> None:
    code, lines = runner("--bundle", make_bundle(), "--engine", "null", "--self-test")
    assert code == 0
    assert [line["type"] for line in lines] == ["hello", "load", "self_test", "memory", "done"]
    assert lines[2]["passed"] is True


def test_failed_self_test(runner: Runner, make_bundle: Callable[..., Path]) -> None:
    bundle = make_bundle()
    with Segmenter(bundle, engine="null", instances=2) as segmenter:
        expected = segmenter(bundle / "golden/image.png").as_json()
    (bundle / "golden/expected.json").write_text(json.dumps({"instances": expected}))
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["golden"]["files"]["golden/expected.json"] = sha256(bundle / "golden/expected.json")
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    code, lines = runner("--bundle", bundle, "--engine", "null", "--self-test")
    assert code == 1
    assert lines[-2]["passed"] is False
    assert lines[-2]["faults"] == ["0 instances matched of 2 expected and 0 found"]
    assert lines[-1]["code"] == "self-test-failed"


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (["--images", "missing.png"], "image-missing", 1),
        (["--images", "/dev/zero"], "image-unreadable", 1),
        (["--images", "photo.png", "--threads", "1025"], "usage", 2),
        (["--images", "photo.png", "--engine", "abacus"], "engine-unknown", 2),
        (["--images", "photo.png", "--repeat", "0"], "usage", 2),
        (["--images", "photo.png", "--repeat", "x"], "usage", 2),
        (["--images", "photo.png", "--instances", "9"], "usage", 2),
        (["--images", "photo.png", "--power-mode", "high"], "usage", 2),
        (["--images", "photo.png", "--save", "photo.png/below"], "enotdir", 1),
        (["--images", "photo.png", "--save", "."], "usage", 2),
        ([], "usage", 2),
    ],
)
def test_failures_are_error_lines(
    runner: Runner, make_bundle: Callable[..., Path], image: Path, words: list[str], code: str, exit_code: int
) -> None:
    found, lines = runner("--bundle", make_bundle(), "--engine", "null", *words)
    assert lines[-1]["type"] == "error"
    assert (lines[-1]["code"], found) == (code, exit_code)
    assert lines[-1]["message"]


def test_bundle_that_is_not_there(runner: Runner, image: Path) -> None:
    code, lines = runner("--bundle", "nowhere", "--images", image)
    assert [line["type"] for line in lines] == ["hello", "error"]
    assert (code, lines[-1]["code"]) == (1, "bundle-missing")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_in_the_middle(
    make_bundle: Callable[..., Path], image: Path, tmp_path: Path, number: signal.Signals
) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip(f"{number.name} is ignored here (nohup)")
    words = ["--bundle", make_bundle(), "--engine", "null", "--images", image, "--repeat", 10_000_000, "--json"]
    process = subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if '"sample"' in line:
            break
    process.send_signal(number)
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(rest.splitlines()[-1]) == {
        "type": "error", "code": "interrupted", "message": "stopped", "remedy": ""
    }  # fmt: skip
    assert "Traceback" not in errors


def test_lines_for_people(make_bundle: Callable[..., Path], image: Path) -> None:
    words = ["--bundle", make_bundle(), "--engine", "null", "--images", image, "--repeat", 1]
    done = subprocess.run(
        [*COMMAND, *map(str, words)], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        "hello", "load", "first_run", "sample", "result", "memory", "done"
    ]  # fmt: skip
