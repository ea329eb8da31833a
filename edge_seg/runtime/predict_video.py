"""A video or a camera → a video with what was found drawn, and a line of JSON for each frame."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2

from edge_seg.errors import EdgeSegError, UsageError
from edge_seg.files import atomic_file
from edge_seg.process.guard import held_stops
from edge_seg.runtime.result import Frame
from edge_seg.runtime.segmenter import Segmenter
from edge_seg.runtime.sources import open_source
from edge_seg.words import counted

RATE = 25.0
"""Frames a second where the source doesn't tell."""
_MOST_REPEATED = 250  # of one drawn frame, where a camera's frames were passed over
_TELL_S = 2.0


@dataclass(frozen=True)
class VideoReport:
    """What `edge-seg predict` did with a video or a camera."""

    source: str
    video: Path
    results: Path
    frames: int
    instances: int
    seconds: float

    exit_code = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "video": str(self.video),
            "results": str(self.results),
            "frames": self.frames,
            "instances": self.instances,
            "seconds": round(self.seconds, 3),
        }

    def __str__(self) -> str:
        rate = f", {self.frames / self.seconds:.1f} a second" if self.seconds > 0 else ""
        return (
            f"{counted(self.instances, 'object')} in {counted(self.frames, 'frame')}{rate} → {self.video},"
            f" {self.results}"
        )


def video_paths(source: str, out: Path) -> tuple[Path, Path]:
    """Where the video and the results of ``source`` go in the folder ``out``.

    Raises UsageError when that would overwrite the source.
    """
    name = re.sub(r"[^\w.-]+", "-", Path(source.partition("?")[0]).stem).strip("-.") or "video"
    video, results = out / f"{name}.mp4", out / f"{name}.jsonl"
    if Path(source).exists() and video.resolve() == Path(source).resolve():
        raise UsageError(
            f"{video}: would be overwritten by the video with what was found in {source}",
            remedy="give --out a folder of its own",
        )
    return video, results


def predict_video(
    segmenter: Segmenter, source: str, out: Path, progress: Callable[[str], None], *, frames: int = 0
) -> VideoReport:
    """Does every frame of ``source``, or the first ``frames``; writes NAME.mp4 and NAME.jsonl into ``out``.

    A line of NAME.jsonl is one frame: its number, seconds since the begin, the image's sides, the milliseconds that it
    took and its instances. Of a camera, frames that came meanwhile are passed over and the drawn one stands for them;
    Ctrl-C ends a camera and keeps what there is. Raises ImageError, EngineError and OSError as they come.
    """
    video, results = video_paths(source, out)
    opened = open_source(source)
    begin, told = time.monotonic(), 0.0
    count = objects = 0
    with (
        held_stops() if opened.live else contextlib.nullcontext(lambda: False) as stopped,
        atomic_file(results) as lines_file,
        atomic_file(video) as video_file,
        lines_file.open("w", encoding="utf-8") as lines,
        _Writer(video_file, opened.rate or RATE) as writer,
    ):
        for frame in _until(segmenter.stream(opened), frames, stopped):
            lines.write(json.dumps(_line(frame)) + "\n")
            writer.add(frame)
            count, objects = count + 1, objects + len(frame.found)
            if time.monotonic() - told > _TELL_S:
                told = time.monotonic()
                progress(f"{source}: {counted(count, 'frame')}, {counted(objects, 'object')}")
        if count == 0:
            raise EdgeSegError(f"{source}: no frame came", remedy="check the camera and what connects it")
        writer.finish()
        progress(f"{source}: {counted(count, 'frame')} → {video}")
    return VideoReport(source, video, results, count, objects, time.monotonic() - begin)


def _until(frames: Generator[Frame, None, None], most: int, stopped: Callable[[], bool]) -> Iterator[Frame]:
    """The frames up to ``most`` (0: all), and until ``stopped``; the stream is closed then."""
    with contextlib.closing(frames):
        for number, frame in enumerate(frames, 1):
            yield frame
            if number == most or stopped():
                return


def _line(frame: Frame) -> dict[str, Any]:
    instances = [{**one, "name": frame.found.names[one["class"]]} for one in frame.found.as_json()]
    return {
        "frame": frame.number,
        "time_s": None if frame.time_s is None else round(frame.time_s, 4),
        "width": frame.found.width,
        "height": frame.found.height,
        "ms": round(sum(frame.ns.values()) / 1e6, 3),
        "instances": instances,
    }


class _Writer:
    """Draws and encodes a frame in a thread of its own, while the next one is worked on."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._rate = path, rate
        self._thread = ThreadPoolExecutor(1, "edge-seg-write")
        self._pending: Future[None] | None = None
        self._video: cv2.VideoWriter | None = None
        self._last = -1
        self._written = 0

    def __enter__(self) -> _Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        if self._video is not None:
            self._video.release()

    def add(self, frame: Frame) -> None:
        """Hands a frame over once the one before is written; raises what its writing raised."""
        self._wait()
        times = min(_MOST_REPEATED, frame.number - self._last)  # it stands for those that were passed over
        self._last = frame.number
        self._pending = self._thread.submit(self._write, frame, times)

    def finish(self) -> None:
        """Completes the file. Raises EdgeSegError where it isn't whole: OpenCV reports a full disk as success."""
        self._wait()
        assert self._video is not None
        self._video.release()
        self._video = None
        there = cv2.VideoCapture(str(self._path))
        found = int(there.get(cv2.CAP_PROP_FRAME_COUNT)) if there.isOpened() else 0
        there.release()
        if found != self._written:
            raise EdgeSegError(
                f"{self._path.name}: {found} of {self._written} frames were written",
                remedy="see whether the disk is full, or write to another",
            )

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def _write(self, frame: Frame, times: int) -> None:
        drawn = frame.found.draw(frame.image)
        if self._video is None:
            size = (drawn.shape[1], drawn.shape[0])
            # MPEG-4 is the one format that every OpenCV wheel can write.
            self._video = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*"mp4v"), self._rate, size)
            if not self._video.isOpened():
                raise EdgeSegError(
                    f"{self._path.name}: OpenCV can't write a video here",
                    remedy="install the wheel of opencv-python or opencv-python-headless, which can",
                )
        for _ in range(times):
            self._video.write(drawn)
            self._written += 1
