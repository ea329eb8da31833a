"""What files from outside may ask of the machine, and that both languages hold the same figures."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import struct
import subprocess
import time
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.native.bundles import Lines, native
from tests.native.running import RUN

LIMITS = Path(__file__).parents[2] / "cmake" / "src" / "core" / "limits.h"
SAME = {
    "JSON_BYTES": "kJsonBytes",
    "TEXT_FILE_BYTES": "kTextFileBytes",
    "JPEG_SCANS": "kJpegScans",
    "JPEG_SCAN_PIXELS": "kJpegScanPixels",
    "RLE_GROUPS": "kRleGroups",
    "_PIXELS": "kPixels",
    "_LEAST_PIXELS": "kLeastPixels",
    "_BYTES_OF_A_PIXEL": "kBytesOfAPixel",
}
MEBIBYTE = 1 << 20


def figures() -> dict[str, int]:
    """The constants of limits.h by name."""
    found = re.findall(
        r"constexpr \w+ (k\w+) = (?:uint64_t\{(\d+)\} << (\d+)|(\d+) << (\d+)|(\d+));", LIMITS.read_text()
    )
    return {name: int(a or b or c) << int(d or e or 0) for name, a, d, b, e, c in found}


def test_both_languages_have_the_same_figures() -> None:
    if importlib.util.find_spec("edge_seg.limits") is None:
        pytest.skip("edge_seg has no module limits")
    limits = importlib.import_module("edge_seg.limits")
    here = figures()
    assert {name: here[other] for name, other in SAME.items()} == {name: getattr(limits, name) for name in SAME}


def error_of(code: int, lines: Lines) -> dict[str, Any]:
    assert code == 1, lines
    assert lines[-1]["type"] == "error"
    assert lines[-1]["remedy"]
    return lines[-1]


def run_one(command: list[str], image: str) -> tuple[int, Lines]:
    return native(command, *RUN, "--repeat", "1", "--image", image)


def header_only(width: int, height: int) -> bytes:
    """A JPEG of 117 bytes: its tables are missing, its size isn't."""
    frame = struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\1\x22\0\2\x11\1\3\x11\1"
    return b"\xff\xd8\xff\xc0" + frame + b"\xff\xda\0\x0c\3\1\0\2\x11\3\x11\0\x3f\0" + bytes(20) + b"\xff\xd9"


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("content", [header_only(20039, 35152), png_header(35152, 20039)])
def test_pixels_are_counted_before_memory_is_taken(local: list[str], folder: Path, content: bytes) -> None:
    Path("large.jpg").write_bytes(content)
    done = subprocess.run(
        ["/usr/bin/env", "bash", "-c", 'ulimit -v 1000000 && exec "$@"', "bash", *local, *RUN, "--image", "large.jpg"]
        if "sanitize" not in local[0]  # its shadow takes terabytes of addresses
        else [*local, *RUN, "--image", "large.jpg"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    error = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, error["code"]) == (1, "image-too-large")
    assert re.search(r"20039 x 35152|35152 x 20039", error["message"])


def test_the_limit_of_pixels_can_be_set(command: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_SEG_MAX_PIXELS", "23999")
    error = error_of(*run_one(command, "a photo.jpg"))
    assert (error["code"], "200 x 120 pixels, expected at most 23999" in error["message"]) == ("image-too-large", True)
    for setting in ("24000", "", "none", "-1", "0"):
        monkeypatch.setenv("EDGE_SEG_MAX_PIXELS", setting)
        assert run_one(command, "a photo.jpg")[0] == 0, setting


def test_a_video_of_too_many_pixels(local: list[str], folder: Path) -> None:
    Path("v.y4m").write_bytes(b"YUV4MPEG2 W65535 H65535 F1:1 C420\nFRAME\n")
    code, lines = native(local, *RUN, "--video", "v.y4m")
    assert (code, error_of(code, lines)["code"]) == (1, "image-too-large")


def test_scans_of_a_progressive_jpeg(local: list[str], folder: Path) -> None:
    """An image of 3000 x 3000 pixels whose last scan is repeated: each costs a walk over all blocks."""
    image = np.full((3000, 3000, 3), 120, np.uint8)
    content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    Path("sound.jpg").write_bytes(content)
    assert run_one(local, "sound.jpg")[0] == 0
    last = content.rindex(b"\xff\xda")
    Path("many.jpg").write_bytes(content[:last] + content[last:-2] * 5000 + b"\xff\xd9")
    begin = time.monotonic()
    error = error_of(*run_one(local, "many.jpg"))
    assert time.monotonic() - begin < 120
    assert (error["code"], "more scans" in error["message"]) == ("image-unreadable", True)


@pytest.mark.parametrize("place", ["image", "golden", "manifest", "key"])
def test_only_regular_files_are_opened(local: list[str], folder: Path, place: str) -> None:
    """A pipe would be waited for, and a device may have no end."""
    name = {"image": "x.jpg", "golden": "bundle/golden/image.png", "manifest": "bundle/manifest.json", "key": "k"}[
        place
    ]
    for make in (os.mkfifo, lambda path: os.symlink("/dev/zero", path)):
        Path(name).unlink(missing_ok=True)
        make(name)
        options = ["--image", "x.jpg" if place == "image" else "a photo.jpg"]
        code, lines = native(local, *RUN, *options, *(["--public-key", "k"] if place == "key" else []))
        assert code in (1, 2), lines
        assert lines[-1]["code"] not in ("bug", "crashed"), lines
        assert lines[-1]["remedy"]


def test_files_larger_than_they_may_be(local: list[str], folder: Path) -> None:
    with Path("x.jpg").open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(600 * MEBIBYTE)
    assert "limit of 512 MiB" in error_of(*run_one(local, "x.jpg"))["message"]
    with Path("bundle/manifest.json").open("ab") as file:
        file.write(b" " * (17 * MEBIBYTE))
    assert "limit of 16 MiB" in error_of(*run_one(local, "a photo.jpg"))["message"]


def test_a_name_without_end(local: list[str], folder: Path) -> None:
    done = subprocess.run(
        [*local, *RUN, "--images", "-"], input=b"x" * 200_000, capture_output=True, timeout=30, check=False
    )
    error = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, error["code"]) == (2, "usage")
    assert "65536" in error["message"]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_whatever_waits(local: list[str], folder: Path, stop: signal.Signals) -> None:
    os.mkfifo("pipe")
    Path("empty").mkdir()
    for options in (["--video", "-"], ["--images", "-"], ["--folder", "empty", "--watch"]):
        process = subprocess.Popen([*local, *RUN, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout
        process.stdout.readline()  # hello
        time.sleep(0.3)
        process.send_signal(stop)
        assert process.wait(20) == 130, options
        process.stdout.close()
        assert process.stdin
        process.stdin.close()
