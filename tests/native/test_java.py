"""Java's way to libedge_seg (android/): compiled with a JDK and run on this machine's Java."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco

from tests.conftest import ROOT
from tests.native.bundles import native
from tests.native.conftest import BUILDS
from tests.native.running import RUN, of_kind

SOURCES = ROOT / "android" / "edge_seg" / "src" / "main" / "java" / "edgeseg"
EXAMPLE = ROOT / "android" / "example" / "Segment.java"
CALLS = Path(__file__).parent / "Calls.java"
LIBRARY = BUILDS / "host" / "libedge_seg_jni.so"


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, its example and the tests' program, compiled as for Android: for Java 8."""
    for program in ("java", "javac"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} isn't here: `sh tools/setup_native.sh java` installs a JDK")
    if not LIBRARY.is_file():
        pytest.skip("the native runner isn't built with a JDK's jni.h: `make native` builds it")
    out = tmp_path_factory.mktemp("classes")
    command = ["javac", "--release", "8", "-Xlint:all,-options", "-Werror", "-encoding", "UTF-8", "-d", str(out)]
    sources = [str(file) for file in (*sorted(SOURCES.glob("*.java")), EXAMPLE, CALLS)]
    done = subprocess.run([*command, *sources], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def java(classes: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["java", "-Xcheck:jni", "-Xmx256m", "-Dfile.encoding=UTF-8", f"-Djava.library.path={LIBRARY.parent}"]
    environment = {**os.environ, "EDGE_SEG_ENGINE": "null"}
    return subprocess.run(
        [*command, "-cp", str(classes), *words], env=environment, capture_output=True, text=True, timeout=120
    )


def test_what_the_runner_finds_java_finds(classes: Path, folder: Path, local: list[str]) -> None:
    """From a file, from its bytes and from pixels; masks decoded in Java."""
    shutil.copytree("bundle", "Bündel 🍞")
    done = java(classes, "Calls", "Bündel 🍞", "pixel.png", "grey.png")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout, "-Xcheck:jni"
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for image in ("pixel.png", "grey.png"):
        _, expected = native(local, *RUN, "--repeat", "1", "--image", image, "--instances", "3")
        (result,) = of_kind(expected, "result")
        found = [line for line in lines if line.get("image") == image]
        assert {line["way"] for line in found} == {"file", "bytes", "pixels"}
        assert len(found) == 3 * len(result["instances"]) > 0
        for line in found:
            one = result["instances"][line["index"]]
            size = [result["height"], result["width"]]
            assert line["box"] == pytest.approx(one["box"])
            assert line["score"] == pytest.approx(one["score"])
            assert line["counts"] == one["segmentation"]["counts"]
            mask = coco.decode({"size": size, "counts": line["counts"].encode()})
            np.testing.assert_array_equal(np.array(list(line["mask"]), np.uint8), mask.ravel())


SHIM = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* Stands before the library's own: writes what arrives, and finds nothing. */
int edge_seg_segment(void *model, const uint8_t *pixels, int width, int height, size_t stride, int order) {
    FILE *file = fopen(getenv("PIXELS"), "wb");
    (void)model;
    fprintf(file, "%d %d %zu %d\n", width, height, stride, order);
    fwrite(pixels, stride, (size_t)height, file);
    fclose(file);
    return 0;
}
"""


def test_pixels_arrive_blue_first(classes: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The null engine doesn't look at them, so a function of the test's own does."""
    (tmp_path / "shim.c").write_text(SHIM)
    command = ["cc", "-shared", "-fPIC", "-o", str(tmp_path / "shim.so"), str(tmp_path / "shim.c")]
    subprocess.run(command, check=True, timeout=60)
    image = np.random.default_rng(3).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    cv2.imwrite("colours.png", image)
    monkeypatch.setenv("LD_PRELOAD", str(tmp_path / "shim.so"))
    monkeypatch.setenv("PIXELS", str(tmp_path / "pixels"))
    done = java(classes, "Calls", "bundle", "colours.png")
    assert done.returncode == 0, done.stdout + done.stderr
    said, _, content = (tmp_path / "pixels").read_bytes().partition(b"\n")
    assert said == b"7 5 21 0"
    np.testing.assert_array_equal(np.frombuffer(content, np.uint8).reshape(image.shape), image)


def test_errors_are_exceptions(classes: Path, folder: Path) -> None:
    done = java(classes, "Calls", "bundle", "broken.jpg", "none.png")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    errors = [(line["image"], line["way"], line["code"]) for line in lines if "code" in line]
    assert errors == [
        ("broken.jpg", "file", "image-unreadable"),
        ("broken.jpg", "bytes", "image-unreadable"),
        ("none.png", "file", "image-missing"),
        ("", "size", "IllegalArgumentException"),
        ("", "closed", "IllegalStateException"),
        ("", "bundle", "bundle-missing"),
        ("", "engine", "engine-unknown"),
    ]


def test_the_example(classes: Path, folder: Path) -> None:
    done = java(classes, "Segment", "bundle", "pixel.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "pixel.png"
    Path("bundle/mask.nb").write_bytes(b"altered")
    done = java(classes, "Segment", "bundle", "pixel.png")
    assert (done.returncode, "altered or damaged" in done.stderr) == (1, True), done.stderr


def test_every_native_method_is_there() -> None:
    """Compared without a JDK, which most machines lack."""
    text = (SOURCES / "Segmenter.java").read_text()
    declared = {line.split("(")[0].split()[-1] for line in text.splitlines() if " native " in line}
    given = (ROOT / "cmake/src/library/jni.cc").read_text().split("Java_edgeseg_Segmenter_")[1:]
    assert {part.split("(")[0] for part in given} == declared
    assert len(declared) == 12
