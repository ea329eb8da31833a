"""`edge-seg predict` of a video: a video with what was found, and a line for each frame."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge_seg import cli
from edge_seg.errors import EdgeSegError, ImageError, UsageError
from edge_seg.manifest import PostprocessSpec, PreprocessSpec
from edge_seg.runtime.predict_video import predict_video, video_paths
from edge_seg.runtime.segmenter import Segmenter
from edge_seg.runtime.sources import is_video
from tests.runtime.videos import write_video


def over(engine: Any) -> Segmenter:
    return Segmenter.over(engine, PreprocessSpec((64, 96)), PostprocessSpec(keep=8), classes=("circle", "star"))


def frames_of(path: Path) -> tuple[int, int, tuple[int, int]]:
    video = cv2.VideoCapture(str(path))
    count = 0
    while video.read()[0]:
        count += 1
    size = int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT))
    return count, round(video.get(cv2.CAP_PROP_FPS)), size


def test_a_video_and_its_lines(fake_engine: Any, tmp_path: Path) -> None:
    write_video(tmp_path / "my clip.avi", 7, 256, 128, rate=12)
    told: list[str] = []
    report = predict_video(over(fake_engine(2)), str(tmp_path / "my clip.avi"), tmp_path / "out", told.append)
    assert (report.frames, report.instances) == (7, 14)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["my-clip.jsonl", "my-clip.mp4"]
    assert frames_of(report.video) == (7, 12, (256, 128))
    lines = [json.loads(line) for line in report.results.read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(7))
    assert [line["time_s"] for line in lines] == pytest.approx([n / 12 for n in range(7)], abs=1e-3)
    assert {(line["width"], line["height"]) for line in lines} == {(256, 128)}
    assert [one["name"] for one in lines[0]["instances"]] == ["circle", "star"]
    assert list(lines[0]["instances"][0]) == ["box", "score", "class", "segmentation", "name"]
    assert str(report).startswith("14 objects in 7 frames")
    assert told[-1].endswith(f"7 frames → {report.video}")


def test_the_first_frames_only(fake_engine: Any, tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", 9, 256, 128)
    report = predict_video(over(fake_engine(1)), str(tmp_path / "clip.mp4"), tmp_path / "out", print, frames=4)
    assert report.frames == 4
    assert frames_of(report.video)[0] == 4


def test_what_fails_leaves_nothing(fake_engine: Any, tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", 9, 256, 128)

    left = iter(range(5))

    def spoil(graph: str, outputs: Any) -> None:
        if next(left, None) is None:
            raise EdgeSegError("no more")

    with pytest.raises(EdgeSegError, match="no more"):
        predict_video(over(fake_engine(1, spoil)), str(tmp_path / "clip.mp4"), tmp_path / "out", print)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_is_told(fake_engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV's writer says nothing of it: the file is counted again."""
    write_video(tmp_path / "clip.mp4", 5, 256, 128)

    class Silent:
        fourcc = staticmethod(cv2.VideoWriter.fourcc)

        def __init__(self, *arguments: Any) -> None:
            pass

        def isOpened(self) -> bool:
            return True

        def write(self, image: Any) -> None:
            pass

        release = __init__

    monkeypatch.setattr(cv2, "VideoWriter", Silent)
    with pytest.raises(EdgeSegError, match="0 of 5 frames were written"):
        predict_video(over(fake_engine(1)), str(tmp_path / "clip.mp4"), tmp_path / "out", print)


def test_names() -> None:
    assert [is_video(text) for text in ("a.mp4", "b.MKV", "camera:0", "/dev/video1", "rtsp://host/x")] == [True] * 5
    assert [is_video(text) for text in ("a.jpg", "folder", "camera", "a:b")] == [False] * 4
    assert video_paths("rtsp://user@host/live?quality=1", Path("out"))[0] == Path("out/live.mp4")
    assert video_paths("camera:0", Path("out"))[1] == Path("out/camera-0.jsonl")


def test_a_video_is_never_overwritten(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", 1)
    with pytest.raises(UsageError, match="would be overwritten"):
        video_paths(str(tmp_path / "clip.mp4"), tmp_path)


def test_a_damaged_video(fake_engine: Any, tmp_path: Path) -> None:
    write_video(tmp_path / "clip.avi", 4, 256, 128)
    whole = (tmp_path / "clip.avi").read_bytes()
    (tmp_path / "clip.avi").write_bytes(whole[:200])
    with pytest.raises(ImageError, match=r"clip\.avi: ") as caught:
        predict_video(over(fake_engine(1)), str(tmp_path / "clip.avi"), tmp_path / "out", print)
    assert caught.value.code == "video-unreadable"


def test_command(edge_seg: Any, make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", 3, 256, 128)
    bundle = make_bundle()
    words = ("predict", bundle, "clip.mp4", "--engine", "null", "--out", "out")
    done = edge_seg(*words, "--json", "--frames", "2")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["frames"], answer["video"], answer["results"]) == (2, "out/clip.mp4", "out/clip.jsonl")
    assert len((tmp_path / "out/clip.jsonl").read_text().splitlines()) == 2


def test_command_lines_that_can_not_be_meant(
    make_bundle: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clip.mp4", 1)
    cv2.imwrite("a.png", cv2.imread(str(make_bundle() / "golden/image.png")))
    for words, code, said in (
        (("clip.mp4", "a.png"), 2, "done by itself"),
        (("clip.mp4", "--format", "coco"), 2, "--format: only for images"),
        (("a.png", "--frames", "3"), 2, "--frames: only for a video"),
        (("clip.mp4", "--on", "ssh://nobody@127.0.0.1"), 2, "--on takes images only"),
        (("none.mp4",), 1, "none.mp4: no such"),
    ):
        assert cli.main(["predict", "bundle", *words, "--engine", "null", "--out", "out", "--json"]) == code
        assert said in "".join(capsys.readouterr()), words
        assert not (tmp_path / "out").exists()
