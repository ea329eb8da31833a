"""Streams: every frame once and in order, the stages overlapped, threads that end, errors at their place."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from edge_seg import Segmenter
from edge_seg.errors import EdgeSegError, EngineError, ImageError, UsageError
from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from edge_seg.runtime import sources as opening
from edge_seg.runtime.image import ImageLike, load_image
from edge_seg.runtime.pipeline import Channel, overlapped
from tests.conftest import ROOT
from tests.runtime.videos import grey_of, write_video


def over(engine: Any) -> Segmenter:
    return Segmenter.over(
        engine, PreprocessSpec((64, 96)), PostprocessSpec(keep=8), classes=("circle", "star"), category_ids=(3, 7)
    )


def our_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("edge-seg-")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert our_threads() == []


def test_a_video(fake_engine: Any, tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", 12)
    frames = list(over(fake_engine(2)).stream(tmp_path / "clip.mp4"))
    assert [frame.number for frame in frames] == list(range(12))
    assert {frame.name for frame in frames} == {str(tmp_path / "clip.mp4")}
    for frame in frames:
        assert abs(float(frame.image.mean()) - grey_of(frame.number)) < 4
        assert frame.time_s == pytest.approx(frame.number / 25, abs=1e-3)
        assert list(frame.ns) == ["pre", "detect", "nms", "mask", "post"]
        assert (len(frame.found), frame.found.names) == (2, ("circle", "star"))
        assert [one["category_id"] for one in frame.found.to_coco()] == [3, 7]


def test_frames_hold_what_a_call_finds(tiny_bundles: Path, photo: np.ndarray) -> None:
    images = [photo, photo[::2], photo[:, ::3], photo[:7, :5]]
    with Segmenter(tiny_bundles / "onnx-fp32", score=0.0) as segmenter:
        alone = [segmenter(image) for image in images]
        for found in ([frame.found for frame in segmenter.stream(images)], segmenter(images)):
            for one, expected in zip(found, alone, strict=True):
                assert one.boxes.tobytes() == expected.boxes.tobytes()
                assert (one.rles, one.names) == (expected.rles, segmenter.classes)
        assert any(map(len, alone))


def test_everything_that_a_segmenter_takes(fake_engine: Any, photo: np.ndarray, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("b.png", "a.png"):
        cv2.imwrite(str(folder / name), photo)
    file = folder / "a.png"
    segmenter = over(fake_engine(1))
    given: list[ImageLike] = [photo, file, str(file), Image.open(file)]
    sources: list[Iterable[ImageLike]] = [given, tuple(given), iter(given)]
    for source in sources:
        frames = list(segmenter.stream(source))
        assert [frame.name for frame in frames] == ["image 0", str(file), str(file), "image 3"]
        assert all(np.array_equal(frame.image, photo) for frame in frames)
        assert [frame.time_s for frame in frames] == [None] * 4
    assert [frame.name for frame in segmenter.stream(str(folder))] == [
        str(folder / name) for name in ("a.png", "b.png")
    ]
    assert [frame.name for frame in segmenter.stream(file)] == [str(file)]


def test_sources_that_can_not_be_opened(fake_engine: Any, tmp_path: Path) -> None:
    """At once, not when the first frame is asked for."""
    segmenter = over(fake_engine(1))
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    cases: dict[str, tuple[Any, type[EdgeSegError], str]] = {
        "missing": (tmp_path / "none.mp4", ImageError, "none.mp4: no such"),
        "empty folder": (tmp_path / "empty", ImageError, "no images in this folder"),
        "text": (tmp_path / "text.mp4", ImageError, "text.mp4: can't be opened as a video"),
        "device": ("/dev/null", ImageError, "/dev/null: no regular file"),
        "camera": (97, ImageError, "camera:97: can't be opened"),
        "camera's name": ("camera:97", ImageError, "/dev/video97"),
        "negative": (-1, UsageError, "camera: -1"),
        "address": ("rtsp://127.0.0.1:9/none", ImageError, "rtsp://127.0.0.1:9/none: can't be opened"),
        "no source": (1.5, UsageError, "source: float"),
        "truth": (True, UsageError, "source: bool"),
    }
    for name, (source, kind, words) in cases.items():
        with pytest.raises(kind) as caught:
            segmenter.stream(source)
        assert words in str(caught.value), name
        assert caught.value.remedy, name


def test_a_large_video_is_refused(fake_engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "clip.mp4", 1, 64, 48)
    monkeypatch.setenv("EDGE_SEG_MAX_PIXELS", "3000")
    with pytest.raises(ImageError, match="64 x 48 pixels .* at most 3,000") as caught:
        over(fake_engine(1)).stream(tmp_path / "clip.mp4")
    assert caught.value.code == "image-too-large"


def test_an_error_comes_after_the_frames_before_it(fake_engine: Any, photo: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"broken")
    seen = []
    with pytest.raises(ImageError, match=r"bad\.png: damaged"):
        for frame in over(fake_engine(1)).stream([photo, photo, tmp_path / "bad.png", photo]):
            seen.append(frame.number)
    assert seen == [0, 1]
    with pytest.raises(ImageError, match="image 1: an image array holds uint8"):
        list(over(fake_engine(1)).stream([photo, photo.astype(float)]))


def test_an_engine_that_fails(fake_engine: Any, photo: np.ndarray) -> None:
    def spoil(graph: str, outputs: dict[str, np.ndarray]) -> None:
        raise EngineError("the engine is broken")

    with pytest.raises(EngineError, match="the engine is broken"):
        list(over(fake_engine(1, spoil)).stream([photo] * 9))


def test_a_segmenter_that_is_closed_meanwhile(fake_engine: Any, photo: np.ndarray) -> None:
    segmenter = over(fake_engine(1))
    frames = segmenter.stream([photo] * 50)
    next(frames)
    segmenter.close()
    with pytest.raises(EngineError, match="was closed"):
        list(frames)


@pytest.mark.parametrize("way", ["close", "break", "throw"])
def test_leaving_early_ends_the_threads(fake_engine: Any, photo: np.ndarray, way: str) -> None:
    def endless() -> Iterator[np.ndarray]:
        while True:
            yield photo

    frames = over(fake_engine(1)).stream(endless())
    for frame in frames:
        assert len(our_threads()) == 3
        if frame.number == 3:
            break
    if way == "throw":
        with pytest.raises(ZeroDivisionError):
            frames.throw(ZeroDivisionError())
    elif way == "close":
        frames.close()
    del frames  # as a loop that was left does
    assert our_threads() == []


def test_the_stages_overlap() -> None:
    """Three stages that wait 20 ms each take as long as one of them, not as three."""

    def work(number: int) -> int:
        time.sleep(0.02)
        return number + 1

    begin = time.monotonic()
    assert list(overlapped(range(20), (work, work, work))) == list(range(3, 23))
    assert time.monotonic() - begin < 20 * 0.06 * 0.9


def test_what_is_newest_takes_the_place_of_what_waits() -> None:
    channel: Channel[int] = Channel(1)
    for number in range(10):
        assert channel.put(number, newest=True), "a camera never waits for the model"
    channel.end()
    assert list(channel) == [9]


def test_a_camera_is_closed_at_its_end(fake_engine: Any, monkeypatch: pytest.MonkeyPatch, photo: np.ndarray) -> None:
    class Camera:
        name, live, rate = "camera:0", True, 25.0
        closed = False

        def frames(self) -> Iterator[opening.RawFrame]:
            for number in range(20):
                yield opening.RawFrame(number, self.name, photo, number / 25)

        def close(self) -> None:
            self.closed = True

    camera = Camera()
    monkeypatch.setattr(opening, "open_source", lambda source: camera)
    numbers = [frame.number for frame in over(fake_engine(0)).stream(0)]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 19, "the newest frame is never passed over"
    assert camera.closed


FLAT = """
import os, sys, time
import numpy as np
from edge_seg import Segmenter
from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from tests.runtime.conftest import FakeEngine

MODEL_S = 0.03

class Slow(FakeEngine):
    spent = 0.0
    def run(self, graph, inputs):
        begin = time.perf_counter()
        outputs = super().run(graph, inputs)
        time.sleep(max(0.0, MODEL_S - (time.perf_counter() - begin)) if graph == "detect" else 0)
        self.spent += time.perf_counter() - begin
        return outputs

def memory():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

engine = Slow(8)
segmenter = Segmenter.over(engine, PreprocessSpec((64, 96)), PostprocessSpec(keep=8), classes=("circle", "star"))
count, kept = 0, []
begin = time.perf_counter()
for frame in segmenter.stream(sys.argv[1]):
    count += 1
    if count in (60, 300):
        kept.append(memory())
wall = time.perf_counter() - begin
print(count, kept[1] - kept[0], wall / engine.spent)
"""


@pytest.mark.slow
def test_three_hundred_frames_of_720p(tmp_path: Path) -> None:
    """Memory stays flat, and the loop takes as long as its model. The model waits: it leaves the cores to the rest."""
    write_video(tmp_path / "clip.mp4", 300, 1280, 720)
    done = subprocess.run(
        [sys.executable, "-c", FLAT, str(tmp_path / "clip.mp4")], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    count, grown, ratio = done.stdout.split()
    assert int(count) == 300
    assert int(grown) < 8 << 20
    assert float(ratio) < 1.6, "a busy machine's limit; an idle one's is 1.1"


def test_pillow_images_are_as_their_files(photo: np.ndarray, exif_jpeg: bytes, tmp_path: Path) -> None:
    (tmp_path / "turned.jpg").write_bytes(exif_jpeg)
    cv2.imwrite(str(tmp_path / "grey.png"), photo[:, :, 0])
    cv2.imwrite(str(tmp_path / "deep.png"), photo[:, :, 0].astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([photo, photo[:, :, :1]]))
    for name in ("grey.png", "deep.png", "alpha.png"):
        np.testing.assert_array_equal(load_image(Image.open(tmp_path / name)), load_image(tmp_path / name))
    turned = load_image(Image.open(tmp_path / "turned.jpg"))
    assert turned.shape == load_image(tmp_path / "turned.jpg").shape == (200, 120, 3)
    assert np.abs(turned.astype(int) - load_image(tmp_path / "turned.jpg")).mean() < 2
    with pytest.raises(ImageError, match="mode F"):
        load_image(Image.new("F", (4, 4)))
    (tmp_path / "short.png").write_bytes((tmp_path / "grey.png").read_bytes()[:200])
    with pytest.raises(ImageError, match="an image of Pillow"):
        load_image(Image.open(tmp_path / "short.png"))


def test_importing_edge_seg_imports_nothing_heavy() -> None:
    code = "import sys, edge_seg; print([name for name in ('numpy', 'cv2', 'PIL', 'click') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
