"""The real engines, on real bundles of a tiny untrained model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_seg.bundle import open_bundle
from edge_seg.files import sha256
from edge_seg.runtime.parity import compare
from edge_seg.runtime.segmenter import Segmenter
from edge_seg.runtime.selftest import self_test

LIBRARIES = {"x86-fp32": "paddlelite.lite", "cpu-fp32": "paddle", "onnx-fp32": "onnxruntime", "ncnn-fp32": "ncnn"}


@pytest.fixture(scope="module", params=LIBRARIES)
def bundle(request: pytest.FixtureRequest, tiny_bundles: Path) -> Path:
    pytest.importorskip(LIBRARIES[request.param])
    return tiny_bundles / str(request.param)


@pytest.fixture(scope="module")
def segmenter(bundle: Path) -> Any:
    with Segmenter(bundle, threads=1) as segmenter:
        yield segmenter


@pytest.fixture
def options(segmenter: Segmenter) -> Any:
    """The segmenter, whose score and instances may be changed for one test."""
    yield segmenter
    segmenter.score = segmenter.instances = None


def test_self_test_passes(segmenter: Segmenter, bundle: Path) -> None:
    tested = self_test(segmenter, open_bundle(bundle))
    assert tested.faults == ()
    assert tested.parity.expected > 0


@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_any_number_of_objects(options: Segmenter, photo: np.ndarray, count: int) -> None:
    options.instances = count
    found = options(photo)
    assert len(found) == count
    assert found.masks.shape == (count, 120, 200)


def test_threshold_from_none_to_more_than_top_k(options: Segmenter, photo: np.ndarray) -> None:
    numbers = []
    for score in (1.0, 0.5, 0.0):
        options.score = score
        numbers.append(len(options(photo)))
    assert numbers[0] == 0
    assert 0 < numbers[1] <= numbers[2] <= options.postprocess.keep


def test_same_image_twice_gives_the_same_bytes(options: Segmenter, photo: np.ndarray) -> None:
    first = options(photo).as_json()
    options.instances = 3
    options(photo[::2])  # another image and number in between
    options.instances = None
    assert options(photo).as_json() == first
    assert first


def test_outputs_are_copies(segmenter: Segmenter) -> None:
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(1, 3, 128, 128)).astype(np.float32) for _ in range(2)]
    first = segmenter.engine.run("detect", {"image": images[0]})
    kept = {name: value.copy() for name, value in first.items()}
    segmenter.engine.run("detect", {"image": images[1]})
    for name, value in kept.items():
        np.testing.assert_array_equal(first[name], value)
        # A capsule is memory that came with the array and goes with it.
        assert first[name].flags.owndata or type(first[name].base).__name__ == "PyCapsule"


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (3000, 4)])
def test_odd_images(options: Segmenter, shape: tuple[int, int]) -> None:
    options.instances = 4
    assert len(options(np.full((*shape, 3), 120, np.uint8))) == 4


@pytest.mark.parametrize("recipe", ["x86-fp32", "onnx-fp32", "ncnn-fp32"])
def test_engines_find_the_same(tiny_bundles: Path, photo: np.ndarray, recipe: str) -> None:
    pytest.importorskip(LIBRARIES[recipe])
    found = []
    for name in (recipe, "cpu-fp32"):
        with Segmenter(tiny_bundles / name, threads=1) as segmenter:
            found.append(segmenter(photo))
    parity = compare(*found)
    assert parity.expected > 0
    assert parity.share >= 0.99
    assert parity.box_px <= 0.02  # of the image, whose pixels are smaller than the input's
    assert parity.score <= 1e-4


def test_an_arm_bundle_is_refused_here(edge_seg: Any, tiny_bundles: Path, tmp_path: Path, photo: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    done = edge_seg("predict", tiny_bundles / "arm-fp32", "photo.png", "--out", "out", "--json")
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "target-mismatch"
    assert "x86-fp32" in error["remedy"]
    assert not (tmp_path / "out").exists()


def damage(file: Path, how: str) -> None:
    content = file.read_bytes()
    if how == "missing":
        file.unlink()
    else:
        middle = len(content) // 2
        edited = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        file.write_bytes({"empty": b"", "truncated": content[:middle], "edited": edited}[how])


@pytest.mark.parametrize("how", ["missing", "empty", "truncated", "edited"])
@pytest.mark.parametrize("name", ["x86-fp32/trunk.nb", "cpu-fp32/mask_head.pdiparams", "cpu-fp32/golden/image.png"])
def test_a_damaged_bundle_is_refused_before_the_library_sees_it(
    tiny_bundles: Path, tmp_path: Path, name: str, how: str
) -> None:
    recipe, _, file = name.partition("/")
    shutil.copytree(tiny_bundles / recipe, tmp_path / "bundle")
    damage(tmp_path / "bundle" / file, how)
    with pytest.raises(Exception, match=Path(file).name) as caught:
        Segmenter(tmp_path / "bundle")
    assert getattr(caught.value, "code", "") in ("file-missing", "hash-mismatch")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("x86-fp32/mask_head.nb", "crashed"),
        ("cpu-fp32/trunk.pdmodel", "engine-failed"),
        ("onnx-fp32/mask.onnx", "engine-failed"),
        ("ncnn-fp32/trunk.bin", "graph-damaged"),
        ("ncnn-fp32/mask_head.param", "graph-damaged"),
    ],
)
def test_a_file_that_the_library_dies_of(
    edge_seg: Any, tiny_bundles: Path, tmp_path: Path, photo: np.ndarray, name: str, code: str
) -> None:
    # The manifest vouches for the damaged file, as when the damage was done before the bundle was made.
    recipe, _, file = name.partition("/")
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundles / recipe, bundle)
    damage(bundle / file, "truncated")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["graphs"][Path(file).stem]["files"][file] = sha256(bundle / file)
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    done = edge_seg("predict", bundle, "photo.png", "--out", "out", "--json")
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["code"] == code
    assert str(bundle) in error["message"]
    assert not (tmp_path / "out").exists()


def test_predict_on_a_real_bundle(
    edge_seg: Callable[..., Any], tiny_bundles: Path, tmp_path: Path, exif_jpeg: bytes
) -> None:
    (tmp_path / "turned.jpg").write_bytes(exif_jpeg)
    done = edge_seg("predict", tiny_bundles / "x86-fp32", "turned.jpg", "--out", "out", "--score", "0.3", "--json")
    assert done.returncode == 0, done.stderr
    (image,) = json.loads(done.stdout)["images"]
    results = json.loads((tmp_path / "out/predictions.json").read_text())
    assert image["instances"] == len(results) > 0
    assert min(r["score"] for r in results) > 0.3
    assert results[0]["segmentation"]["size"] == [200, 120]  # upright: height, width
