"""Thirty photos, from the file to the masks: the native side and Python see the same bits all the way."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_seg.data.synth import draw
from edge_seg.manifest import PreprocessSpec
from edge_seg.runtime.image import read_image
from edge_seg.runtime.preprocess import preprocess
from edge_seg.runtime.segmenter import Segmenter
from tests.native.probe import Probe

DEMO = Path(__file__).parents[2] / "docs" / "demo.jpg"
SIZES = ((320, 320), (640, 640), (416, 320))
ENCODINGS: tuple[tuple[str, tuple[int, ...]], ...] = (
    (".jpg", (cv2.IMWRITE_JPEG_QUALITY, 92)),
    (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_QUALITY, 60)),
    (".jpg", (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)),
    (".png", ()),
    (".png", (cv2.IMWRITE_PNG_COMPRESSION, 9)),
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The photo of the documentation and generated scenes: sides from 90 to 900, upright and lying, all encodings."""
    folder = tmp_path_factory.mktemp("photos")
    demo = cv2.imread(str(DEMO))
    files = [DEMO]
    for number in range(1, 30):
        side = (900, 640, 500, 333, 90)[number % 5]
        image = draw(number, side, 0)[0] if number % 3 else cv2.resize(demo, (side, side // 2 + number))
        image = image[: side * (2 + number % 3) // 4]
        if number % 4 == 0:
            image = np.ascontiguousarray(image.transpose(1, 0, 2))
        suffix, options = ENCODINGS[number % len(ENCODINGS)]
        files.append(folder / f"{number}{suffix}")
        cv2.imwrite(str(files[-1]), image, options)
    return files


def test_photos_are_read_and_preprocessed_alike(probe: Probe, photos: list[Path]) -> None:
    for number, file in enumerate(photos):
        answer, (content,) = probe("read", path=str(file))
        image = read_image(file)
        assert (answer["height"], answer["width"], content) == (*image.shape[:2], image.tobytes())
        spec = PreprocessSpec(SIZES[number % len(SIZES)])
        _, (found,) = probe(
            "preprocess",
            image,
            width=image.shape[1],
            height=image.shape[0],
            size=spec.size,
            rgb=spec.color == "RGB",
            mean=spec.mean,
            std=spec.std,
            pad=spec.pad,
            threads=number % 3 + 1,
        )
        assert found == preprocess(image, spec)[0].tobytes(), file.name


@pytest.mark.parametrize("threads", ["1", "3"])
def test_photos_give_the_same_instances(command: list[str], folder: Path, photos: list[Path], threads: str) -> None:
    options = [
        "--bundle",
        "bundle",
        "--engine",
        "null",
        "--json",
        "--warmup",
        "0",
        "--repeat",
        "1",
        "--instances",
        "17",
    ]
    images = [str(file) for file in photos]
    finished = subprocess.run(
        [*command, *options, "--threads", threads, "--images", *images], capture_output=True, check=True, timeout=120
    )
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    results = {line["image"]: line["instances"] for line in lines if line["type"] == "result"}
    assert len(results) == len(photos) == 30
    with Segmenter("bundle", engine="null", instances=17) as segmenter:
        for file in photos:
            assert results[str(file)] == segmenter(file).as_json(), file.name
