"""`edge-seg predict`, with the null engine and by its parts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from edge_seg.errors import ImageError, UsageError
from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from edge_seg.runtime.image import read_image
from edge_seg.runtime.overlay import draw
from edge_seg.runtime.predict import check_folder, find_images, predict
from edge_seg.runtime.result import Instances
from edge_seg.runtime.segmenter import Segmenter

ROOT = Path(__file__).parents[2]


@pytest.fixture
def images(tmp_path: Path, photo: np.ndarray) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("b.png", "a.jpg", "c.bmp"):
        cv2.imwrite(str(folder / name), photo)
    (folder / "notes.txt").write_text("not an image")
    return folder


def run(engine: Any, images: Path, out: Path) -> tuple[Any, list[str]]:
    segmenter = Segmenter.over(engine, PreprocessSpec((64, 96)), PostprocessSpec(keep=8), classes=("circle", "star"))
    lines: list[str] = []
    return predict(segmenter, find_images([images], out), out, (3, 7), lines.append), lines


def test_results_are_what_pycocotools_reads(fake_engine: Any, images: Path, tmp_path: Path) -> None:
    report, lines = run(fake_engine(3), images, tmp_path / "out")
    results = json.loads((tmp_path / "out/predictions.json").read_text())
    assert [(r["image_id"], r["file_name"]) for r in results[::3]] == [(1, "a.jpg"), (2, "b.png"), (3, "c.bmp")]
    assert [r["category_id"] for r in results[:3]] == [3, 7, 3]
    truth = COCO()
    entries = [{"id": i, "height": 120, "width": 200} for i in (1, 2, 3)]
    truth.dataset = {"images": entries, "categories": [{"id": 3}, {"id": 7}], "annotations": []}
    truth.createIndex()
    loaded = truth.loadRes(results)
    assert loaded.annToMask(loaded.anns[1]).shape == (120, 200)
    assert report.exit_code == 0
    assert [line.split(" (")[0] for line in lines] == [f"{n}: 2 circle, 1 star" for n in ("a.jpg", "b.png", "c.bmp")]
    assert str(report).startswith("9 objects in 3 images → ")


def test_an_overlay_for_each_image(fake_engine: Any, images: Path, tmp_path: Path) -> None:
    run(fake_engine(3), images, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.jpg", "b.png", "c.png", "predictions.json"]
    assert not np.array_equal(read_image(tmp_path / "out/b.png"), read_image(images / "b.png"))


@pytest.mark.parametrize("overlays", ["jpg", "png"])
def test_overlays_of_one_format(fake_engine: Any, images: Path, tmp_path: Path, overlays: str) -> None:
    (images / "a.jpg").rename(images / "b.jpg")
    found = find_images([images], tmp_path / "out", overlays)
    assert [p.overlay.name for p in found] == [f"b.{overlays}", f"b-2.{overlays}", f"c.{overlays}"]
    segmenter = Segmenter.over(fake_engine(3), PreprocessSpec((64, 96)), PostprocessSpec(keep=8), classes=("a", "b"))
    predict(segmenter, found, tmp_path / "out", (3, 7), lambda line: None)
    for image in found:
        expected = draw(read_image(image.file), segmenter(image.file), ("a", "b"))
        apart = np.abs(read_image(image.overlay).astype(int) - expected)
        assert apart.mean() < (6 if overlays == "jpg" else 1e-9)


def test_an_overlay_that_can_not_be_written_ends_the_command(
    fake_engine: Any, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, image: Any) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("edge_seg.runtime.predict.write_image", full)
    with pytest.raises(OSError, match=r"a\.jpg"):
        run(fake_engine(1), images, tmp_path / "out")
    assert not (tmp_path / "out/predictions.json").exists()


def test_nothing_found_is_an_empty_list(fake_engine: Any, images: Path, tmp_path: Path) -> None:
    _, lines = run(fake_engine(0), images, tmp_path / "out")
    assert json.loads((tmp_path / "out/predictions.json").read_text()) == []
    assert "a.jpg: nothing" in lines[0]


def test_nothing_above_the_threshold_names_the_best_score(fake_engine: Any, images: Path, tmp_path: Path) -> None:
    engine = fake_engine(3)  # with scores of its own
    spec = PostprocessSpec(keep=8)
    plain = Segmenter.over(engine, PreprocessSpec((64, 96)), spec, classes=("circle", "star"))
    best = float(plain(images / "a.jpg").scores.max())
    high = Segmenter.over(engine, PreprocessSpec((64, 96)), spec, classes=("circle", "star"), score=0.999)
    report = predict(high, find_images([images], tmp_path), tmp_path / "out", (3, 7), lambda line: None)
    assert json.loads((tmp_path / "out/predictions.json").read_text()) == []
    assert report.best_below is not None
    assert report.best_below.score == pytest.approx(best)
    assert report.best_below.threshold == 0.999
    advice = float(str(report).split("--score ")[1].split()[0])
    assert best - 0.02 < advice < best
    assert high.score == 0.999


def test_bad_images_are_named_and_the_others_done(fake_engine: Any, images: Path, tmp_path: Path) -> None:
    (images / "b.png").write_bytes(b"broken")
    report, lines = run(fake_engine(1), images, tmp_path / "out")
    assert report.exit_code == 1
    assert "b.png: left out" in lines[1]
    assert "1 image could not be used: b.png" in str(report)
    assert [f["file_name"] for f in report.as_json()["failed"]] == ["b.png"]
    results = json.loads((tmp_path / "out/predictions.json").read_text())
    assert [r["image_id"] for r in results] == [1, 3]  # the number is the image's, whether it could be used or not


def test_images_of_one_name_from_several_folders(images: Path, tmp_path: Path, photo: np.ndarray) -> None:
    (tmp_path / "more").mkdir()
    cv2.imwrite(str(tmp_path / "more/b.png"), photo)
    found = find_images([images, tmp_path / "more", images / "b.png"], tmp_path / "out")
    assert [p.overlay.name for p in found] == ["b.png", "a.jpg", "b-2.png", "c.png"]
    assert [p.name for p in found] == [str(tmp_path / "more/b.png"), "a.jpg", str(images / "b.png"), "c.bmp"]


def test_images_are_never_overwritten(images: Path) -> None:
    with pytest.raises(UsageError, match="would be overwritten"):
        find_images([images], images)


def test_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such image or folder"):
        find_images([tmp_path / "missing"], tmp_path / "out")
    with pytest.raises(ImageError, match="no images in this folder"):
        find_images([tmp_path], tmp_path / "out")


def test_what_a_mac_leaves_is_no_image(images: Path, tmp_path: Path) -> None:
    before = [image.name for image in find_images([images], tmp_path / "out")]
    (images / "._a.jpg").write_bytes(b"\0\5\x16\7")
    assert [image.name for image in find_images([images], tmp_path / "out")] == before


def test_out_must_be_a_folder_to_be(tmp_path: Path) -> None:
    check_folder(tmp_path / "new/deeper")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(NotADirectoryError):
            check_folder(path)


def test_command_with_json(edge_seg: Any, make_bundle: Callable[..., Path], images: Path, tmp_path: Path) -> None:
    done = edge_seg("predict", make_bundle(), images, "--engine", "null", "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [p["file_name"] for p in answer["images"]] == ["a.jpg", "b.png", "c.bmp"]
    assert answer["failed"] == []
    assert json.loads(Path(answer["predictions"]).read_text()) == []


def test_a_bundle_is_no_place_for_images(edge_seg: Any, make_bundle: Callable[..., Path], images: Path) -> None:
    bundle = make_bundle()
    before = (bundle / "golden/image.png").read_bytes()
    (images / "a.jpg").rename(images / "image.png")
    done = edge_seg("predict", bundle, images / "image.png", "--engine", "null", "--out", bundle / "golden")
    assert (done.returncode, (bundle / "golden/image.png").read_bytes() == before) == (2, True), done.stderr


def test_command_with_a_bad_image(
    edge_seg: Any, make_bundle: Callable[..., Path], images: Path, tmp_path: Path
) -> None:
    (images / "a.jpg").write_bytes(b"")
    done = edge_seg("predict", make_bundle(), images, "--engine", "null", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "a.jpg: empty file" in done.stderr
    assert (tmp_path / "out/predictions.json").is_file()


def test_command_with_what_is_no_file(edge_seg: Any, make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = edge_seg("predict", make_bundle(), "/dev/zero", "pipe", "--engine", "null", "--out", "out", timeout=60)
    assert done.returncode == 1
    assert "2 images could not be used" in done.stdout
    assert done.stderr.count("a pipe or a device") == 2


def test_a_death_while_reading_is_blamed_on_the_image(
    edge_seg: Any, make_bundle: Callable[..., Path], images: Path, tmp_path: Path
) -> None:
    spoil = "import os, cv2\ncv2.imdecode = lambda *_: os.kill(os.getpid(), 9)\n"
    (tmp_path / "sitecustomize.py").write_text(spoil)
    environment = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    words = ("predict", make_bundle(), images, "--engine", "null", "--out", "out")
    done = edge_seg(*words, env=environment)
    assert done.returncode == 1
    assert f"died of SIGKILL while reading {images / 'a.jpg'}\n" in done.stderr


@pytest.mark.parametrize("threads", ["-1", "1025", "100000"])
def test_threads_that_no_device_has(edge_seg: Any, make_bundle: Callable[..., Path], threads: str) -> None:
    done = edge_seg("predict", make_bundle(), "x.png", "--out", "out", "--threads", threads)
    assert done.returncode == 2
    assert "'--threads'" in done.stderr
    assert "range 0<=x<=1024" in done.stderr


def test_full_disk(edge_seg: Any, make_bundle: Callable[..., Path], images: Path, tmp_path: Path) -> None:
    words = ("predict", make_bundle(), images, "--engine", "null", "--out", tmp_path / "out")
    done = edge_seg(*words, file_limit=1000)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "a.jpg" in done.stderr.splitlines()[-2]
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("side", [1, 20, 200, 700])
def test_overlay_of_any_size(side: int) -> None:
    image = np.full((side, side, 3), 90, np.uint8)
    codes = [{"size": [side, side], "counts": code} for code in (b"0" + _length(side * side), _length(side * side))]
    boxes = np.array([[0, 0, side, side], [side / 2, side / 2, side / 2, side / 2]], np.float32)
    found = Instances(side, side, boxes, np.array([0.9, 0.1], np.float32), np.array([0, 5]), codes)
    drawn = draw(image, found, ("größe",))
    assert drawn.shape[0] % side == 0
    assert (drawn != 90).any()
    assert (image == 90).all()


def _length(value: int) -> bytes:
    """A run length in COCO's compressed form."""
    out = b""
    while True:
        bits, value = value & 31, value >> 5
        more = value != (-1 if bits & 16 else 0)
        out += bytes([bits + 48 + 32 * more])
        if not more:
            return out
