"""The native runner on Paddle Lite's Arm library, on emulated boards, against Paddle Inference on this machine.

Runs for the builds that hold Paddle Lite: `PADDLE_LITE_DIR=… make native-aarch64` for 64-bit Arm,
`PADDLE_LITE_DIR_ARMHF=… make native-armhf` for 32-bit, each with the folder of an unpacked archive. The same variables
must be set for the tests; without them they are skipped. ``EDGE_SEG_TEST_SEED`` draws other weights and images.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_seg import Segmenter
from edge_seg.runtime.parity import compare
from edge_seg.runtime.result import Instances
from tests.native.conftest import command_of

pytestmark = pytest.mark.slow

VARIABLES = {"aarch64": "PADDLE_LITE_DIR", "armhf": "PADDLE_LITE_DIR_ARMHF"}
SEED = int(os.environ.get("EDGE_SEG_TEST_SEED", "1"))
LIMIT_S = 3600  # an emulated image takes minutes
Lines = list[dict[str, Any]]


@pytest.fixture(scope="module", params=VARIABLES)
def command(request: pytest.FixtureRequest) -> list[str]:
    """The runner of a build that holds Paddle Lite, on an emulated Cortex-A72."""
    machine = request.param
    variable = VARIABLES[machine]
    if not os.environ.get(variable):
        pytest.skip(f"{variable} names no folder with Paddle Lite's library for {machine}")
    words = command_of(machine, "edge-seg-run")
    hello = said(words, "--bundle", "none", "--images", "none", code=1)[0]
    if "paddle-lite" not in hello["libraries"]:
        pytest.skip(f"the runner was built without Paddle Lite: `{variable}=… make native-{machine}` builds it with")
    return words


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three images of different forms, drawn from the seed."""
    folder = tmp_path_factory.mktemp("images")
    names = []
    for number, (height, width) in enumerate(((320, 320), (240, 400), (333, 201))):
        rng = np.random.default_rng([SEED, number])
        image = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), (0, 0), 5)
        for _ in range(6):
            x, y, side = (int(v) for v in rng.integers(20, min(height, width) - 20, 3))
            colour = tuple(int(v) for v in rng.integers(0, 256, 3))
            cv2.ellipse(image, ((x, y), (side / 2, side / 3), float(rng.integers(0, 180))), colour, -1)
        names.append(str(folder / f"{number}.png"))
        cv2.imwrite(names[-1], image)
    return names


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """``converted(model, size)``: folder of its bundles `arm-fp32` and `cpu-fp32`, random weights."""
    made: dict[str, Path] = {}

    def convert(model: str, size: str) -> Path:
        if model not in made:
            out = tmp_path_factory.mktemp(model) / "bundles"
            words = [model, "--random-weights", "--seed", str(SEED), "--recipe", "arm-fp32,cpu-fp32", "--size", size]
            subprocess.run(
                [sys.executable, "-m", "edge_seg.cli", "convert", *words, "--out", str(out)],
                check=True,
                capture_output=True,
                timeout=LIMIT_S,
            )
            made[model] = out
        return made[model]

    return convert


def said(command: list[str], *options: str, code: int = 0) -> Lines:
    """What the runner says, which must end with ``code``."""
    done = subprocess.run([*command, *options, "--json"], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def of_type(lines: Lines, kind: str) -> Lines:
    return [line for line in lines if line["type"] == kind]


def assert_same(bundles: Path, lines: Lines, instances: int | None) -> None:
    """Each `result` line against `cpu-fp32` on this machine; an image named twice must give the same bytes."""
    results = of_type(lines, "result")
    assert results
    with Segmenter(bundles / "cpu-fp32", instances=instances) as segmenter:
        for line in results:
            expected = segmenter(line["image"])
            found = Instances.from_json(line["instances"], line["height"], line["width"])
            parity = compare(expected, found)
            assert parity.matched == parity.expected == parity.found
            assert instances is None or parity.found == instances
            assert parity.box_px <= 0.01
            assert parity.score <= 1e-4
            # In a mask of a few pixels, one that lies on the threshold outweighs any share.
            assert parity.mask_iou >= 0.999 or parity.mask_pixels <= 1
    for line in results:
        again = [other["instances"] for other in results if other["image"] == line["image"]]
        assert all(other == line["instances"] for other in again)


@pytest.mark.parametrize("model", ["mask_rcnn_r18_fpn", "mask_rcnn_r50_fpn"])
def test_finds_what_this_machine_finds(command: list[str], converted: Any, images: list[str], model: str) -> None:
    bundles = converted(model, "320")
    options = ("--bundle", str(bundles / "arm-fp32"), "--warmup", "0", "--repeat", "1")
    lines = said(command, *options, "--images", images[0], images[0], "--instances", "10", "--self-test")
    assert of_type(lines, "self_test")[0]["passed"]
    assert_same(bundles, lines, 10)


@pytest.mark.parametrize("instances", [0, 1, 100, None])
def test_any_number_of_objects(command: list[str], converted: Any, images: list[str], instances: int | None) -> None:
    bundles = converted("mask_rcnn_tiny_fpn", "160x224")
    options = ["--bundle", str(bundles / "arm-fp32"), "--warmup", "0", "--repeat", "1"]
    if instances is not None:
        options += ["--instances", str(instances)]
    assert_same(bundles, said(command, *options, "--images", *images, *images), instances)


def test_a_bundle_that_needs_another_version(command: list[str], converted: Any, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(converted("mask_rcnn_tiny_fpn", "160x224") / "arm-fp32", bundle)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["engine_version"] = "2.12"
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    error = said(command, "--bundle", str(bundle), "--self-test", code=1)[-1]
    assert (error["type"], error["code"]) == ("error", "version-mismatch")
    assert "2.12" in error["message"]
    assert error["remedy"]
