"""Videos, cameras and watched folders: every frame once, in order, and the pixels that Python sees."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.native.bundles import Lines, native
from tests.native.conftest import command_of
from tests.native.probe import Probe
from tests.native.running import RUN, Running, of_kind
from tests.native.videos import Pixels, clip, noise, y4m


def saved(folder: str) -> list[Pixels]:
    return [np.asarray(cv2.imread(str(file)), np.uint8) for file in sorted(Path(folder).iterdir())]


def assert_in_order(lines: Lines, frames: int, name: str) -> None:
    for kind in ("sample", "result"):
        assert [line["frame"] for line in of_kind(lines, kind)] == list(range(frames))
        assert {line["image"] for line in of_kind(lines, kind)} == {name}
    assert all(line["ns"]["total"] >= line["ns"]["pre"] > 0 for line in of_kind(lines, "sample"))
    assert [line["type"] for line in lines[:3]] == ["hello", "load", "first_run"]
    (end,) = of_kind(lines, "stream")
    assert (end["frames"], end["skipped"]) == (frames, 0)


def test_y4m_file(command: list[str], folder: Path) -> None:
    content, images = clip()
    Path("clip.y4m").write_bytes(content)
    code, lines = native(command, *RUN, "--video", "clip.y4m", "--instances", "0", "--save", "out")
    assert (code, lines[-1]) == (0, {"type": "done"})
    assert_in_order(lines, len(images), "clip.y4m")
    assert sorted(file.name for file in Path("out").iterdir())[0] == "clip-000000.png"
    np.testing.assert_array_equal(saved("out"), images)


def test_frames_are_segmented_as_images_are(command: list[str], folder: Path) -> None:
    content, images = clip(3)
    Path("clip.y4m").write_bytes(content)
    cv2.imwrite("frame.png", images[0])
    _, lines = native(command, *RUN, "--video", "clip.y4m", "--instances", "7")
    _, single = native(command, *RUN, "--image", "frame.png", "--instances", "7")
    (expected,) = of_kind(single, "result")
    assert len(expected["instances"]) == 7
    for result in of_kind(lines, "result"):
        assert (result["width"], result["height"]) == (54, 38)
        assert result["instances"] == expected["instances"]


def test_video_on_stdin_and_a_limit(command: list[str], folder: Path) -> None:
    content, _ = clip(20)
    finished = subprocess.run(
        [*command, *RUN, "--video", "-", "--frames", "4"], input=content, capture_output=True, timeout=60
    )
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    assert finished.returncode == 0
    assert_in_order(lines, 4, "stdin")


def test_motion_jpeg(command: list[str], folder: Path) -> None:
    jpegs = []
    for quality, progressive in ((95, 0), (50, 1), (95, 0)):
        image = cv2.GaussianBlur(noise(45, 70, 3), (0, 0), 2)
        options = (cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
        jpegs.append(cv2.imencode(".jpg", image, options)[1].tobytes())
    thumbnail = b"\xff\xe1\x00\x0a" + b"Thumb\0" + b"\xff\xd9"  # an end marker in a segment isn't the image's
    jpegs[1] = jpegs[1][:2] + thumbnail + jpegs[1][2:]
    Path("clip.mjpg").write_bytes(b"\r\n--boundary\r\n\r\n".join(jpegs)[:])
    code, lines = native(command, *RUN, "--video", "clip.mjpg", "--instances", "0", "--save", "out")
    assert code == 0
    assert_in_order(lines, 3, "clip.mjpg")
    expected = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in jpegs]
    np.testing.assert_array_equal(saved("out"), expected)


def converted(probe: Probe, planes: list[Pixels], width: int, height: int, **layout: Any) -> Pixels:
    values = {
        "u": 0,
        "v": 0,
        "y_row": width,
        "chroma_row": 0,
        "y_step": 1,
        "chroma_step": 1,
        "shift_x": 0,
        "shift_y": 0,
    }
    content = np.concatenate([plane.ravel() for plane in planes])
    _, (found,) = probe("yuv", content, width=width, height=height, **{**values, "full": False, **layout})
    return np.frombuffer(found, np.uint8).reshape(height, width, 3)


def test_colours_of_420_are_opencvs(probe: Probe) -> None:
    for width, height in ((64, 48), (2, 2), (1280, 720)):
        planes = [noise(height, width), noise(height // 2, width // 2), noise(height // 2 + 0, width // 2)[::-1]]
        expected = cv2.cvtColor(
            np.concatenate([plane.ravel() for plane in planes]).reshape(-1, width), cv2.COLOR_YUV2BGR_I420
        )
        size = width * height
        layout = {"u": size, "v": size * 5 // 4, "chroma_row": width // 2, "shift_x": 1, "shift_y": 1}
        np.testing.assert_array_equal(converted(probe, planes, width, height, **layout), expected)


def test_colours_of_yuyv_are_opencvs(probe: Probe) -> None:
    packed = noise(48, 64, 2)
    expected = cv2.cvtColor(packed, cv2.COLOR_YUV2BGR_YUY2)
    layout = {"u": 1, "v": 3, "y_row": 128, "chroma_row": 128, "y_step": 2, "chroma_step": 4, "shift_x": 1}
    np.testing.assert_array_equal(converted(probe, [packed], 64, 48, **layout), expected)


def test_colours_of_full_range(probe: Probe) -> None:
    """BT.601 with all 256 values, as JPEG has it: to within rounding."""
    y, u, v = (noise(16, 16 + c)[:, :16] for c in range(3))
    found = converted(probe, [y, u, v], 16, 16, u=256, v=512, chroma_row=16, full=True).astype(float)
    b = y + 1.772 * (u - 128.0)
    g = y - 0.344136 * (u - 128.0) - 0.714136 * (v - 128.0)
    r = y + 1.402 * (v - 128.0)
    assert np.abs(found - np.clip(np.stack([b, g, r], axis=2), 0, 255)).max() <= 0.51


@pytest.mark.parametrize(
    ("words", "x", "y"), [("C420paldv", 1, 1), ("C422", 1, 0), ("C444", 0, 0), ("Cmono", 0, 0), ("", 1, 1)]
)
def test_kinds_of_y4m_with_odd_sides(command: list[str], folder: Path, words: str, x: int, y: int) -> None:
    width, height = 33, 21
    small = (height + y) >> y, (width + x) >> x
    planes = [noise(height, width), *((noise(*small), noise(*small)[::-1]) if words != "Cmono" else ())]
    Path("clip.y4m").write_bytes(y4m([planes], width, height, words))
    code, _ = native(command, *RUN, "--video", "clip.y4m", "--instances", "0", "--save", "out")
    assert code == 0
    u, v = planes[1:] if len(planes) > 1 else (np.full(small, 128, np.uint8),) * 2
    wide = [np.repeat(np.repeat(p, 1 << y, 0), 1 << x, 1)[:height, :width].astype(float) - 128 for p in (u, v)]
    bright = 1.164383 * np.maximum(planes[0].astype(float) - 16, 0)
    expected = np.stack(
        [bright + 2.017232 * wide[0], bright - 0.391762 * wide[0] - 0.812968 * wide[1], bright + 1.596027 * wide[1]], 2
    )
    assert np.abs(saved("out")[0] - np.clip(expected, 0, 255)).max() < 1.5  # OpenCV's factors have fewer places


CLIP = clip(5)[0]
FRAME = 54 * 38 * 3 // 2 + len(b"FRAME\n")
BROKEN = {
    "cut in a frame": (CLIP[:-10], 4),
    "cut in a frame's line": (CLIP[: -FRAME + 3], 4),
    "no begin of a frame": (CLIP[:-FRAME] + b"X" + CLIP[-FRAME + 1 :], 4),
    "no sides": (b"YUV4MPEG2 F25:1\n" + CLIP, 0),
    "side of another kind": (b"YUV4MPEG2 Wide H30\n" + CLIP, 0),
    "no width": (b"YUV4MPEG2 W0 H30\n", 0),
    "far too large": (b"YUV4MPEG2 W65535 H65535 C444\nFRAME\n" + CLIP, 0),
    "ten bits": (b"YUV4MPEG2 W54 H38 C420p10\n" + CLIP, 0),
    "a line without end": (b"YUV4MPEG2 " + b"x" * 9999, 0),
    "empty": (b"", 0),
    "garbage": (b"garbage", 0),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_video(command: list[str], folder: Path, name: str) -> None:
    content, good = BROKEN[name]
    finished = subprocess.run([*command, *RUN, "--video", "-"], input=content, capture_output=True, timeout=60)
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    assert finished.returncode == 1
    assert lines[-1]["code"] == ("image-too-large" if name == "far too large" else "video-unreadable")
    assert lines[-1]["remedy"]
    assert len(of_kind(lines, "result")) == good  # what came before is said all the same


@pytest.mark.parametrize("change", ["cut", "flipped"])
def test_broken_motion_jpeg(command: list[str], folder: Path, change: str) -> None:
    jpeg = cv2.imencode(".jpg", noise(30, 40, 3))[1].tobytes()
    broken = jpeg[:-30] if change == "cut" else jpeg.replace(b"\xff\xdb", b"\xff\xe5")
    Path("clip.mjpg").write_bytes(jpeg + jpeg + broken)
    code, lines = native(command, *RUN, "--video", "clip.mjpg")
    assert (code, lines[-1]["code"]) == (1, "image-unreadable")
    assert "frame 2" in lines[-1]["message"]
    assert len(of_kind(lines, "result")) == 2


def test_other_videos_through_ffmpeg(command: list[str], folder: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("the program ffmpeg isn't here")
    writer = cv2.VideoWriter("clip.avi", cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    images = [cv2.GaussianBlur(noise(48, 64, 3), (0, 0), n + 2) for n in range(6)]
    for image in images:
        writer.write(image)
    writer.release()
    code, lines = native(command, *RUN, "--video", "clip.avi", "--instances", "0", "--save", "out")
    assert (code, lines[-1]) == (0, {"type": "done"})
    assert_in_order(lines, len(images), "clip.avi")
    for found, expected in zip(saved("out"), images, strict=True):
        assert np.abs(found.astype(int) - expected).mean() < 8  # two lossy steps; another matrix would show more
    Path("garbage.mp4").write_bytes(b"garbage")
    code, lines = native(command, *RUN, "--video", "garbage.mp4")
    assert (code, lines[-1]["code"]) == (1, "video-unreadable")


def test_without_ffmpeg_the_way_is_told(folder: Path) -> None:
    Path("clip.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    command = command_of("host", "edge-seg-run")
    code, lines = native(command, *RUN, "--video", "clip.mp4", env={"PATH": "/nonexistent"})
    assert (code, lines[-1]["code"]) == (1, "video-unreadable")
    assert "yuv4mpegpipe" in lines[-1]["remedy"]


REFUSED = {
    "no such video": (("--video", "none.y4m"), 1, "video-missing"),
    "a folder for a video": (("--video", "bundle"), 1, "video-unreadable"),
    "no such camera": (("--camera", "987"), 1, "camera"),
    "a negative camera": (("--camera", "-1"), 2, "usage"),
    "two streams": (("--camera", "0", "--video", "-"), 2, "usage"),
    "images and a video": (("--video", "-", "--image", "grey.png"), 2, "usage"),
    "a folder and a video": (("--video", "-", "--folder", "."), 2, "usage"),
    "nothing to watch": (("--watch",), 2, "usage"),
    "no such folder to watch": (("--watch", "--folder", "none"), 1, "image-missing"),
    "an image to watch": (("--watch", "--folder", "grey.png"), 1, "image-unreadable"),
    "saving where it watches": (("--watch", "--folder", ".", "--save", "./bundle/.."), 2, "usage"),
    "a repeated video": (("--video", "-", "--repeat", "3"), 2, "usage"),
    "a self-test in a video": (("--video", "-", "--self-test"), 2, "usage"),
    "frames of an image": (("--image", "grey.png", "--frames", "3"), 2, "usage"),
    "negative frames": (("--video", "-", "--frames", "-3"), 2, "usage"),
    "an empty folder": (("--folder", "bundle"), 1, "image-missing"),
    "no such folder": (("--folder", "none"), 1, "image-missing"),
    "top-k of none": (("--image", "grey.png", "--top-k", "0"), 2, "usage"),
    "top-k beyond the model's": (("--image", "grey.png", "--top-k", "21"), 2, "usage"),
    "top-k below the instances": (("--image", "grey.png", "--top-k", "3", "--instances", "4"), 2, "usage"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(command: list[str], folder: Path, name: str) -> None:
    options, code, error = REFUSED[name]
    found, lines = native(command, *RUN, *options, stdin=subprocess.DEVNULL)
    assert (found, lines[-1]["code"]) == (code, error)
    assert lines[-1]["message"]
    assert lines[-1]["remedy"]


def test_folder_of_images(command: list[str], folder: Path) -> None:
    """All images in it by name, after those named; hidden files, others and folders below are left out."""
    Path("more/below").mkdir(parents=True)
    for name in ("b.PNG", "a.jpeg", ".hidden.png", "below/c.png", "notes.txt"):
        shutil.copy("grey.png", f"more/{name}")
    code, lines = native(command, *RUN, "--repeat", "1", "--folder", "./more//", "--image", "pixel.png")
    assert code == 0
    assert [line["image"] for line in of_kind(lines, "result")] == ["pixel.png", "more/a.jpeg", "more/b.PNG"]


@pytest.fixture
def watching(command: list[str], folder: Path) -> Iterator[Running]:
    Path("incoming").mkdir()
    shutil.copy("pixel.png", "incoming/first.png")
    running = Running(command, "--folder", "incoming", "--watch", "--instances", "0", "--save", "out")
    yield running
    running.process.kill()
    running.process.communicate()


def test_watched_folder(watching: Running, folder: Path) -> None:
    assert watching.until("result")["image"] == "incoming/first.png"
    shutil.copy("grey.png", "incoming/notes.txt")
    content = Path("a photo.jpg").read_bytes()
    with open("incoming/slow.jpg", "wb") as slow:
        slow.write(content[:1000])
        slow.flush()
        shutil.copy("grey.png", "incoming/.partial")
        Path("incoming/.partial").rename("incoming/moved.png")
        assert watching.until("result")["image"] == "incoming/moved.png"  # not the one that isn't complete
        slow.write(content[1000:])
    assert watching.until("result")["image"] == "incoming/slow.jpg"
    Path("incoming/bad.png").write_bytes(b"no image")
    skipped = watching.until("skipped")
    assert (skipped["image"], skipped["code"]) == ("incoming/bad.png", "image-unreadable")
    shutil.copy("grey.png", "incoming/first.png")  # another image of a known name
    assert watching.until("result")["image"] == "incoming/first.png"
    code, lines = watching.stop()
    assert code == 130
    assert [line["type"] for line in lines] == ["stream", "memory", "error"]
    assert (lines[0]["frames"], lines[0]["skipped"], lines[-1]["code"]) == (4, 1, "interrupted")
    assert sorted(file.name for file in Path("out").iterdir()) == ["first.png", "moved.png", "slow.jpg.png"]


def test_watched_folder_that_goes(watching: Running, folder: Path) -> None:
    watching.until("result")
    shutil.rmtree("incoming")
    code, lines = watching.rest()
    assert (code, lines[-1]["code"]) == (1, "watch")


def test_many_images_at_once_are_each_seen_once(watching: Running, folder: Path) -> None:
    watching.until("result")
    names = [f"incoming/{number:03}.png" for number in range(150)]
    for name in names:
        os.link("pixel.png", name + ".partial")
        os.rename(name + ".partial", name)
    assert [watching.until("result")["image"] for _ in names] == names
    time.sleep(0.1)
    assert watching.stop()[1][0]["frames"] == 151


def test_after_an_overflow_old_images_are_not_taken_again(watching: Running, folder: Path) -> None:
    """The kernel drops events when its queue is full; the folder is listed then, and only what is new counts."""
    watching.until("result")
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 20_000:
        pytest.skip("the system's queue of events is too long to be filled in a test")
    # It is its worker that watches; while that stands still, the queue fills.
    group = [watching.process.pid, *children_of(watching.process.pid)]
    for process in group:
        os.kill(process, signal.SIGSTOP)
    for _ in range(limit // 2 + 200):
        for name in ("a.txt", "b.txt"):  # in turn, because the kernel joins equal events
            with open(f"incoming/{name}", "wb"):
                pass
    shutil.copy("grey.png", "incoming/new.png")
    for process in reversed(group):
        os.kill(process, signal.SIGCONT)
    assert watching.until("result")["image"] == "incoming/new.png"
    time.sleep(0.3)
    assert watching.stop()[1][0]["frames"] == 2


def children_of(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(child) for child in found]
